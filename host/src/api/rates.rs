//! Rates per second of counters, over the last few seconds.
//!
//! A tick looks at every counter; a rate is the growth over the window, so that a burst shows at
//! once and fades within `WINDOW`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Time that a rate looks back.
const WINDOW: Duration = Duration::from_secs(5);
/// Counters watched; more are not looked at.
const SERIES_MAX: usize = 50_000;

type Series = VecDeque<(Duration, u64)>;

/// The counters' recent values. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rates(Arc<Mutex<BTreeMap<String, Series>>>);

impl Rates {
    /// Notes a counter's value at a time of the monotonic clock.
    pub fn note(&self, name: String, at: Duration, value: u64) {
        let mut all = self.0.lock();
        if all.len() >= SERIES_MAX && !all.contains_key(&name) {
            return;
        }
        let series = all.entry(name).or_default();
        // A counter that fell was replaced by a new one of the same name.
        if series.back().is_some_and(|(_, last)| *last > value) {
            series.clear();
        }
        series.push_back((at, value));
        while series.len() > 2 && series.get(1).is_some_and(|(t, _)| *t + WINDOW <= at) {
            series.pop_front();
        }
    }

    /// Growth per second over the window; 0 for a counter seen less than twice.
    #[must_use]
    pub fn rate(&self, name: &str) -> f64 {
        let all = self.0.lock();
        let ends = all.get(name).and_then(|s| Some((*s.front()?, *s.back()?)));
        let Some(((t0, v0), (t1, v1))) = ends else {
            return 0.0;
        };
        let seconds = t1.saturating_sub(t0).as_secs_f64();
        if seconds <= 0.0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits"
        )]
        let growth = v1.saturating_sub(v0) as f64;
        (growth / seconds * 10.0).round() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_growth_over_the_window() {
        let rates = Rates::default();
        for second in 0..20 {
            rates.note("c".to_owned(), Duration::from_secs(second), second * 100);
        }
        assert!((rates.rate("c") - 100.0).abs() < f64::EPSILON);
        for second in 20..26 {
            rates.note("c".to_owned(), Duration::from_secs(second), 1900);
        }
        assert!(rates.rate("c").abs() < f64::EPSILON, "{}", rates.rate("c"));
    }

    #[test]
    fn a_counter_that_starts_again_has_no_negative_rate() {
        let rates = Rates::default();
        rates.note("c".to_owned(), Duration::from_secs(0), 500);
        rates.note("c".to_owned(), Duration::from_secs(1), 10);
        rates.note("c".to_owned(), Duration::from_secs(2), 30);
        assert!((rates.rate("c") - 20.0).abs() < f64::EPSILON);
        assert!(rates.rate("unknown").abs() < f64::EPSILON);
    }
}
