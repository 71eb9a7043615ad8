//! Log events of 305 bytes on average, the same for the same seed.

const LEVELS: [&str; 8] = [
    "info", "info", "info", "info", "warn", "error", "debug", "debug",
];
const STATUS: [u16; 5] = [200, 200, 204, 404, 500];
const WORDS: [&str; 12] = [
    "order", "checkout", "payment", "stream", "cache", "session", "upload", "search", "billing",
    "gateway", "retry", "index",
];

/// Events as JSON.
#[must_use]
pub fn sample(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    (0..count)
        .map(|n| event(n, &mut random).into_bytes())
        .collect()
}

fn event(n: usize, random: &mut Random) -> String {
    let words = 11 + random.below(4);
    let text: Vec<_> = (0..words).map(|_| random.of(&WORDS)).collect();
    format!(
        concat!(
            r#"{{"ts":{},"level":"{}","host":"web-{:03}.example.net","service":"{}-api","#,
            r#""latency_ms":{}.{},"status":{},"user":{{"id":{},"plan":"free","country":"NL"}},"#,
            r#""tags":["eu-west-1","blue","canary"],"msg":"{}"}}"#
        ),
        1_760_000_000_000 + n,
        random.of(&LEVELS),
        random.below(40),
        random.of(&WORDS),
        random.below(100),
        // A last digit that is not 0, so that every way writes the number alike.
        random.below(100) * 10 + 1 + random.below(9),
        random.of(&STATUS),
        1_000_000 + random.below(9_000_000),
        text.join(" "),
    )
}

/// A linear congruential generator: nothing here needs better.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let place = self.below(choices.len() as u64);
        choices[usize::try_from(place).unwrap_or(0)]
    }
}
