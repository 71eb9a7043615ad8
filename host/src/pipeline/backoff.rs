//! Pauses between attempts: each longer than the one before, never above the bound, and never the
//! same for two who failed together.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The next pause of one that keeps failing.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// `seed` tells apart those who fail together.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            random: seed | 1,
        }
    }

    /// It worked: the next failure is the first again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Half of the doubled pause, and up to as much again.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = doubled / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_millis(self.random % millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_bound_and_differ() {
        let (mut a, mut b) = (Backoff::new(1), Backoff::new(2));
        let pauses: Vec<_> = (0..20).map(|_| a.next()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] < FIRST, "{pauses:?}");
        assert!(
            pauses[19] >= PAUSE_MAX / 2 && pauses[19] < PAUSE_MAX,
            "{pauses:?}"
        );
        assert_ne!(pauses, (0..20).map(|_| b.next()).collect::<Vec<_>>());
        a.reset();
        assert!(a.next() < FIRST);
    }
}
