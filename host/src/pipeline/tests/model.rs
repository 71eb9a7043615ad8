//! Seeded sequences of appends, crashes, stops and failing sinks, against a model: every record is
//! delivered, in order, and exactly once where the sink holds the position.

use crate::sinks::SinkError;

use super::*;

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

struct Model {
    node: Node,
    plan: Plan,
    once: MemoryTarget,
    often: MemoryTarget,
    /// Values by partition.
    appended: [Vec<String>; 2],
    random: Random,
}

impl Model {
    async fn new(seed: u64, steps: usize) -> Self {
        let node = Node::new(2).await;
        let (once, often) = (MemoryTarget::new(true), MemoryTarget::new(false));
        let sinks = [
            SinkTarget::memory("m", once.clone()),
            SinkTarget::memory("often", often.clone()),
        ];
        let mut config = config(steps);
        config.to.push("often".to_owned());
        let mut probes = Vec::new();
        for _ in 0..steps {
            probes.push(node.probe("probe").await);
        }
        let plan = node.plan(&config, probes, &sinks);
        Self {
            node,
            plan,
            once,
            often,
            appended: [Vec::new(), Vec::new()],
            random: Random::new(seed),
        }
    }

    async fn append(&mut self) {
        let partition = usize::try_from(self.random.below(2)).unwrap();
        let count = 1 + self.random.below(20);
        let mut values = Vec::new();
        for _ in 0..count {
            let number = self.appended[partition].len() + values.len();
            values.push(match self.random.below(12) {
                0 => "!f".to_owned(),
                1 => "!d".to_owned(),
                _ => format!("v{number}"),
            });
        }
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        self.node
            .append(i32::try_from(partition).unwrap(), &texts)
            .await;
        self.appended[partition].extend(values);
    }

    async fn run_for_a_while(&mut self) {
        if self.random.below(3) == 0 {
            self.often.commit_by_hand();
        }
        for target in [&self.once, &self.often] {
            let failures = (0..self.random.below(4)).map(|_| match self.random.below(3) {
                0 => Some(SinkError::retry("told to")),
                _ => None,
            });
            target.script(failures.collect::<Vec<_>>());
        }
        let pipeline = self.node.start(&self.plan);
        for _ in 0..self.random.below(3000) {
            tokio::task::yield_now().await;
        }
        match self.random.below(3) {
            0 => drop(pipeline.stop().await),
            _ => drop(pipeline),
        }
        self.often.commit();
    }

    /// What has to arrive of a partition.
    fn expected(&self, partition: usize, steps: usize) -> Vec<(i64, u32, String)> {
        let numbered = (0..).zip(&self.appended[partition]);
        let arrives = |v: &str| steps == 0 || (v != "!f" && v != "!d");
        numbered
            .filter(|(_, v)| arrives(v))
            .map(|(o, v)| (o, 0, v.clone()))
            .collect()
    }

    async fn check(&self, steps: usize) {
        for partition in [0, 1] {
            let number = usize::try_from(partition).unwrap();
            let expected = self.expected(number, steps);
            assert_eq!(stored(&self.once, partition), expected, "exactly once");
            let often = stored(&self.often, partition);
            let mut distinct = often.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct, expected, "at least once");
            // A repetition starts again somewhere before; from there the order holds.
            let mut next = 0;
            for (offset, ..) in &often {
                let at = expected.iter().position(|(o, ..)| o == offset).unwrap();
                assert!(at <= next, "{offset} came before what is in front of it");
                next = at + 1;
            }
            let failing = self.appended[number].iter().filter(|v| *v == "!f").count();
            if steps > 0 && failing > 0 {
                let mut letters: Vec<String> = self
                    .node
                    .read("in.dlq", partition)
                    .await
                    .iter()
                    .map(|l| {
                        String::from_utf8(l.record.header("wstream.error.offset").unwrap().to_vec())
                            .unwrap()
                    })
                    .collect();
                letters.sort();
                letters.dedup();
                assert_eq!(
                    letters.len(),
                    failing,
                    "each failed record has a dead letter"
                );
            }
            let end = i64::try_from(self.appended[number].len()).unwrap();
            assert_eq!(self.node.committed(&tp("in", partition)).unwrap_or(0), end);
        }
    }
}

async fn sequence(seed: u64, steps: usize) {
    let mut model = Model::new(seed, steps).await;
    for _ in 0..12 {
        for _ in 0..model.random.below(4) {
            model.append().await;
        }
        model.run_for_a_while().await;
    }
    let status = model.node.run_to_end(&model.plan).await;
    assert_eq!(status.state, PipelineState::Done, "{status:?}");
    model.check(steps).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_whatever_ends_when() {
    for seed in 1..=40 {
        println!("seed {seed} without transforms");
        sequence(seed, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_with_transforms_either() {
    for seed in 1..=10 {
        println!("seed {seed} with transforms");
        sequence(seed, 1 + usize::try_from(seed % 2).unwrap()).await;
    }
}
