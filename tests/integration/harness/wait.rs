//! Waits for what another process does: asks again until it is so, and fails at a deadline.

use std::time::{Duration, Instant};

/// Far above what any step takes, so that only a real failure meets it.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until `ask` gives a value.
///
/// # Panics
/// Nothing came within the deadline.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "another process keeps the machine's time"
)]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::park_timeout(PAUSE);
    }
}
