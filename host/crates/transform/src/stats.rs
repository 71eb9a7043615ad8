//! Counters of one transform, cheap enough for the hot path, read by `/metrics` and the page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use wstream_record::ByteSize;

use crate::failure::Cause;

/// Names of metrics a module may use.
pub(crate) const METRICS_MAX: usize = 100;
/// Upper bounds of the buckets of a module's histograms.
pub const HISTOGRAM_BOUNDS: [f64; 10] = [
    0.001,
    0.01,
    0.1,
    1.0,
    10.0,
    100.0,
    1_000.0,
    10_000.0,
    100_000.0,
    1_000_000.0,
];

/// What a transform did since it was made, all instances together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Records worked on, failed ones included; a replayed record counts once.
    pub records: u64,
    /// Outputs of all kinds.
    pub outputs: u64,
    /// Calls of `wstream_process` that were begun.
    pub calls: u64,
    /// Failures by name: `guest`, `trap`, ...; only those that happened.
    pub failures: BTreeMap<&'static str, u64>,
    /// Time in the module, frames and replays included.
    pub nanos: u64,
    /// Instances alive.
    pub instances: u64,
    /// Instances made because an earlier one failed.
    pub restarts: u64,
    /// Memory and tables of the instances alive.
    pub memory: ByteSize,
    /// Log lines above the limit.
    pub log_lines_dropped: u64,
    /// Metric updates that were dropped.
    pub metrics_dropped: u64,
    /// The module's own metrics, by name.
    pub metrics: BTreeMap<Box<str>, Metric>,
}

/// A metric of the module's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// The sum of what was added.
    Counter(f64),
    /// What was set last.
    Gauge(f64),
    /// Observations.
    Histogram(Box<Histogram>),
}

/// Observations by bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// How many are at or below each of `HISTOGRAM_BOUNDS` and above the one before.
    pub buckets: [u64; HISTOGRAM_BOUNDS.len()],
}

/// The counters behind `Stats`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) outputs: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) nanos: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) memory: AtomicU64,
    pub(crate) log_lines_dropped: AtomicU64,
    pub(crate) metrics_dropped: AtomicU64,
    guest_failures: AtomicU64,
    host_failures: [AtomicU64; Cause::ALL.len()],
    metrics: Mutex<BTreeMap<Box<str>, Metric>>,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    pub(crate) fn failed(&self, code: u16) {
        let host = Cause::ALL.iter().position(|c| c.code() == code);
        let counter = host.and_then(|i| self.host_failures.get(i));
        add(counter.unwrap_or(&self.guest_failures), 1);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let hosts = Cause::ALL.iter().zip(&self.host_failures);
        let failures = std::iter::once(("guest", read(&self.guest_failures)))
            .chain(hosts.map(|(cause, counter)| (cause.name(), read(counter))))
            .filter(|&(_, n)| n > 0)
            .collect();
        Stats {
            records: read(&self.records),
            outputs: read(&self.outputs),
            calls: read(&self.calls),
            failures,
            nanos: read(&self.nanos),
            instances: read(&self.instances),
            restarts: read(&self.restarts),
            memory: ByteSize(read(&self.memory)),
            log_lines_dropped: read(&self.log_lines_dropped),
            metrics_dropped: read(&self.metrics_dropped),
            metrics: self.metrics.lock().clone(),
        }
    }

    /// Takes over what one call reported.
    pub(crate) fn commit(&self, pending: &mut PendingMetrics) {
        if pending.dropped > 0 {
            add(&self.metrics_dropped, std::mem::take(&mut pending.dropped));
        }
        if pending.metrics.is_empty() {
            return;
        }
        let mut metrics = self.metrics.lock();
        for (name, metric) in std::mem::take(&mut pending.metrics) {
            let full = metrics.len() >= METRICS_MAX;
            match metrics.get_mut(&name) {
                Some(known) => {
                    if !known.merge(&metric) {
                        add(&self.metrics_dropped, 1);
                    }
                }
                None if full => add(&self.metrics_dropped, 1),
                None => {
                    metrics.insert(name, metric);
                }
            }
        }
    }
}

impl Metric {
    /// A first update of the kind the ABI numbers so.
    fn first(kind: i32, value: f64) -> Option<Self> {
        match kind {
            0 => Some(Self::Counter(value)),
            1 => Some(Self::Gauge(value)),
            2 => Some(Self::Histogram(Box::new(Histogram::of(value)))),
            _ => None,
        }
    }

    /// Adds a later update; false if it is of another kind.
    fn merge(&mut self, later: &Self) -> bool {
        match (self, later) {
            (Self::Counter(sum), Self::Counter(more)) => *sum += more,
            (Self::Gauge(value), Self::Gauge(last)) => *value = *last,
            (Self::Histogram(sum), Self::Histogram(more)) => sum.merge(more),
            _ => return false,
        }
        true
    }
}

impl Histogram {
    fn of(value: f64) -> Self {
        let mut histogram = Self {
            count: 1,
            sum: value,
            ..Self::default()
        };
        let at = HISTOGRAM_BOUNDS.partition_point(|&bound| bound < value);
        if let Some(bucket) = histogram.buckets.get_mut(at) {
            *bucket = 1;
        }
        histogram
    }

    fn merge(&mut self, more: &Self) {
        self.count += more.count;
        self.sum += more.sum;
        for (bucket, n) in self.buckets.iter_mut().zip(more.buckets) {
            *bucket += n;
        }
    }
}

/// What a call reported and has not been accepted yet: it goes if the call fails.
#[derive(Debug, Default)]
pub(crate) struct PendingMetrics {
    metrics: BTreeMap<Box<str>, Metric>,
    dropped: u64,
}

impl PendingMetrics {
    pub(crate) fn update(&mut self, kind: i32, name: &str, value: f64) {
        let usable = value.is_finite() && !name.is_empty() && (kind != 0 || value >= 0.0);
        let update = Metric::first(kind, value).filter(|_| usable);
        let full = self.metrics.len() >= METRICS_MAX;
        let taken = match (update, self.metrics.get_mut(name)) {
            (Some(update), Some(known)) => known.merge(&update),
            (Some(update), None) if !full => {
                self.metrics.insert(name.into(), update);
                true
            }
            _ => false,
        };
        self.dropped += u64::from(!taken);
    }

    pub(crate) fn clear(&mut self) {
        self.metrics.clear();
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_merge_by_kind_and_are_bounded() {
        let counters = Counters::default();
        let mut call = PendingMetrics::default();
        for value in [1.0, 2.5] {
            call.update(0, "count", value);
            call.update(1, "gauge", value);
            call.update(2, "histogram", value * 4.0);
        }
        call.update(1, "count", 7.0);
        call.update(3, "unknown", 1.0);
        call.update(0, "falling", -1.0);
        call.update(0, "endless", f64::INFINITY);
        counters.commit(&mut call);
        let stats = counters.snapshot();
        assert_eq!(stats.metrics_dropped, 4);
        assert_eq!(stats.metrics["count"], Metric::Counter(3.5));
        assert_eq!(stats.metrics["gauge"], Metric::Gauge(2.5));
        let Metric::Histogram(histogram) = &stats.metrics["histogram"] else {
            panic!("{stats:?}");
        };
        assert_eq!((histogram.count, histogram.sum), (2, 14.0));
        assert_eq!(histogram.buckets, [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]);

        for i in 0..200 {
            call.update(0, &format!("m{i}"), 1.0);
        }
        counters.commit(&mut call);
        let stats = counters.snapshot();
        assert_eq!(stats.metrics.len(), METRICS_MAX);
        assert_eq!(stats.metrics_dropped, 4 + 100 + 3);
    }

    #[test]
    fn failures_are_counted_by_name() {
        let counters = Counters::default();
        for code in [0, 7, 1000, 1001, 1001] {
            counters.failed(code);
        }
        let expected = BTreeMap::from([("guest", 2), ("trap", 1), ("timeout", 2)]);
        assert_eq!(counters.snapshot().failures, expected);
    }
}
