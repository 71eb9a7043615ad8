//! Every metric of the process: its name, type, help text and labels stand in this folder only.
//!
//! A component asks for its family once (`metrics.pipeline(name)`) and then touches atomics; the
//! registry is locked when a family is made and when `/metrics` is read, never per record.
//! What others already count (the log, the index, sled) is handed in as `Sample`s at reading time.

mod primitive;
mod render;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub use primitive::{Counter, Gauge, Histogram};
pub use text::{Kind, Sample, TextWriter};

/// The registry. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Families>);

#[derive(Debug, Default)]
struct Families {
    sources: Mutex<BTreeMap<String, Arc<SourceMetrics>>>,
    pipelines: Mutex<BTreeMap<String, Arc<PipelineMetrics>>>,
    sinks: Mutex<BTreeMap<String, Arc<SinkMetrics>>>,
    requests: Mutex<BTreeMap<(String, u16), Arc<RequestMetrics>>>,
}

/// What one source did.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Rows put into the log.
    pub records: Counter,
    /// Bytes of values put into the log.
    pub bytes: Counter,
    /// Rows that became dead letters.
    pub bad_rows: Counter,
    /// Bytes read of the input.
    pub bytes_read: Gauge,
    /// Bytes of the input; 0 when it has no end.
    pub bytes_total: Gauge,
    /// 1 when a finite input was read to its end.
    pub done: Gauge,
}

/// What one pipeline did, over all its partitions.
#[derive(Debug, Default)]
pub struct PipelineMetrics {
    /// Records read from topics.
    pub records_in: Counter,
    /// Bytes of keys, values and headers read.
    pub bytes_in: Counter,
    /// Records handed to sinks.
    pub records_out: Counter,
    /// Records that became dead letters, by the failure's name.
    pub dead_letters: ByCode,
    /// Records failed and skipped by policy.
    pub skipped: Counter,
    /// Records between the position and the high watermark, all partitions.
    pub lag: Gauge,
    /// Seconds from a batch being read to its hand-over to the sinks.
    pub batch_seconds: Histogram,
    /// Seconds from a record's timestamp to its sinks having it durable.
    pub delivery_seconds: Histogram,
}

/// What one sink did.
#[derive(Debug, Default)]
pub struct SinkMetrics {
    /// Records accepted.
    pub records: Counter,
    /// Bytes accepted.
    pub bytes: Counter,
    /// Attempts that failed and were repeated.
    pub retries: Counter,
    /// Records refused for good, by reason.
    pub refused: ByCode,
    /// Records accepted and not durable yet.
    pub in_flight: Gauge,
}

/// One route's answers with one status.
#[derive(Debug, Default)]
pub struct RequestMetrics {
    /// Seconds per answer.
    pub seconds: Histogram,
}

/// Counters by a short code that the project itself chooses.
#[derive(Debug, Default)]
pub struct ByCode(Mutex<BTreeMap<String, u64>>);

/// Codes a family keeps; a guest's own codes are folded into `other` beyond it.
const CODES_MAX: usize = 100;

impl ByCode {
    /// Adds `n` under `code`.
    pub fn add(&self, code: &str, n: u64) {
        let mut codes = self.0.lock();
        if let Some(count) = codes.get_mut(code) {
            *count += n;
        } else {
            let code = if codes.len() < CODES_MAX {
                code
            } else {
                "other"
            };
            *codes.entry(code.to_owned()).or_default() += n;
        }
    }

    /// All codes and their counts.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    /// The sum over all codes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.lock().values().sum()
    }
}

fn family<K: Ord, V: Default>(map: &Mutex<BTreeMap<K, Arc<V>>>, key: K) -> Arc<V> {
    Arc::clone(map.lock().entry(key).or_default())
}

fn all<K: Ord + Clone, V>(map: &Mutex<BTreeMap<K, Arc<V>>>) -> Vec<(K, Arc<V>)> {
    map.lock()
        .iter()
        .map(|(k, v)| (k.clone(), Arc::clone(v)))
        .collect()
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The family of a source.
    #[must_use]
    pub fn source(&self, name: &str) -> Arc<SourceMetrics> {
        family(&self.0.sources, name.to_owned())
    }

    /// The family of a pipeline.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> Arc<PipelineMetrics> {
        family(&self.0.pipelines, name.to_owned())
    }

    /// The family of a sink.
    #[must_use]
    pub fn sink(&self, name: &str) -> Arc<SinkMetrics> {
        family(&self.0.sinks, name.to_owned())
    }

    /// The family of a route's answers with a status.
    #[must_use]
    pub fn request(&self, route: &str, status: u16) -> Arc<RequestMetrics> {
        family(&self.0.requests, (route.to_owned(), status))
    }

    /// Every counter that has a rate, by the name that the rate is kept under.
    pub fn counters(&self, mut note: impl FnMut(String, u64)) {
        for (name, m) in all(&self.0.sources) {
            note(format!("source_records/{name}"), m.records.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_one_name_are_one() {
        let metrics = Metrics::new();
        metrics.pipeline("p").records_in.add(2);
        metrics.pipeline("p").records_in.add(3);
        metrics.pipeline("p").dead_letters.add("trap", 1);
        let text = metrics.render(&[]);
        assert!(
            text.contains("wstream_pipeline_records_in_total{pipeline=\"p\"} 5\n"),
            "{text}"
        );
        let row = "wstream_pipeline_dead_letters_total{pipeline=\"p\",code=\"trap\"} 1\n";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn codes_are_bounded() {
        let codes = ByCode::default();
        (0..1000).for_each(|i| codes.add(&format!("c{i}"), 1));
        assert_eq!(codes.snapshot().len(), CODES_MAX + 1);
        assert_eq!(codes.total(), 1000);
    }
}
