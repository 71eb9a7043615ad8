//! Every metric of the process: its name, type, help text and labels stand in this folder only.
//!
//! A component asks for its family once (`metrics.pipeline(name)`) and then touches atomics; the
//! registry is locked when a family is made and when `/metrics` is read, never per record.
//! What others already count (the log, the index, sled) is handed in as `Sample`s at reading time.

mod primitive;
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
    transforms: Mutex<BTreeMap<String, Arc<TransformMetrics>>>,
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

/// What one module did in all pipelines.
#[derive(Debug, Default)]
pub struct TransformMetrics {
    /// Records given to it.
    pub records: Counter,
    /// Outputs taken from it.
    pub outputs: Counter,
    /// Failed records by the failure's name.
    pub failures: ByCode,
    /// Nanoseconds its calls took.
    pub nanoseconds: Counter,
    /// Bytes of linear memory of all its instances.
    pub memory_bytes: Gauge,
    /// Instances alive.
    pub instances: Gauge,
    /// Seconds of one call.
    pub call_seconds: Histogram,
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

    /// The family of a transform.
    #[must_use]
    pub fn transform(&self, name: &str) -> Arc<TransformMetrics> {
        family(&self.0.transforms, name.to_owned())
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

    /// Prometheus text: everything registered, then `samples`, which others count.
    #[must_use]
    pub fn render(&self, samples: &[Sample]) -> String {
        let mut out = TextWriter::new();
        self.render_sources(&mut out);
        self.render_pipelines(&mut out);
        self.render_transforms(&mut out);
        self.render_sinks(&mut out);
        self.render_requests(&mut out);
        samples.iter().for_each(|s| out.sample(s));
        out.finish()
    }

    fn render_sources(&self, out: &mut TextWriter) {
        for (name, m) in all(&self.0.sources) {
            let l: &[(&str, &str)] = &[("source", &name)];
            out.counter(
                "wstream_source_records_total",
                "Rows put into the log.",
                l,
                m.records.get(),
            );
            out.counter(
                "wstream_source_bytes_total",
                "Bytes of values put into the log.",
                l,
                m.bytes.get(),
            );
            out.counter(
                "wstream_source_bad_rows_total",
                "Rows that became dead letters.",
                l,
                m.bad_rows.get(),
            );
            out.gauge(
                "wstream_source_read_bytes",
                "Bytes read of the input.",
                l,
                m.bytes_read.get(),
            );
            out.gauge(
                "wstream_source_input_bytes",
                "Bytes of the input.",
                l,
                m.bytes_total.get(),
            );
            out.gauge(
                "wstream_source_done",
                "1 when a finite input was read to its end.",
                l,
                m.done.get(),
            );
        }
    }

    fn render_pipelines(&self, out: &mut TextWriter) {
        for (name, m) in all(&self.0.pipelines) {
            let l: &[(&str, &str)] = &[("pipeline", &name)];
            out.counter(
                "wstream_pipeline_records_in_total",
                "Records read from topics.",
                l,
                m.records_in.get(),
            );
            out.counter(
                "wstream_pipeline_bytes_in_total",
                "Bytes of records read from topics.",
                l,
                m.bytes_in.get(),
            );
            out.counter(
                "wstream_pipeline_records_out_total",
                "Records handed to sinks.",
                l,
                m.records_out.get(),
            );
            out.counter(
                "wstream_pipeline_skipped_total",
                "Failed records skipped by policy.",
                l,
                m.skipped.get(),
            );
            out.gauge(
                "wstream_pipeline_lag",
                "Records between position and high watermark.",
                l,
                m.lag.get(),
            );
            out.histogram(
                "wstream_pipeline_batch_seconds",
                "Seconds from reading a batch to its hand-over to sinks.",
                l,
                &m.batch_seconds,
            );
            out.histogram(
                "wstream_pipeline_delivery_seconds",
                "Seconds from a record's timestamp to its being durable in the sinks.",
                l,
                &m.delivery_seconds,
            );
            for (code, n) in m.dead_letters.snapshot() {
                let l = &[("pipeline", name.as_str()), ("code", code.as_str())];
                out.counter(
                    "wstream_pipeline_dead_letters_total",
                    "Records that became dead letters.",
                    l,
                    n,
                );
            }
        }
    }

    fn render_transforms(&self, out: &mut TextWriter) {
        for (name, m) in all(&self.0.transforms) {
            let l: &[(&str, &str)] = &[("transform", &name)];
            out.counter(
                "wstream_transform_records_total",
                "Records given to the module.",
                l,
                m.records.get(),
            );
            out.counter(
                "wstream_transform_outputs_total",
                "Outputs taken from the module.",
                l,
                m.outputs.get(),
            );
            out.counter(
                "wstream_transform_nanoseconds_total",
                "Nanoseconds spent in the module's calls.",
                l,
                m.nanoseconds.get(),
            );
            out.gauge(
                "wstream_transform_memory_bytes",
                "Linear memory of the module's instances.",
                l,
                m.memory_bytes.get(),
            );
            out.gauge(
                "wstream_transform_instances",
                "Instances of the module alive.",
                l,
                m.instances.get(),
            );
            out.histogram(
                "wstream_transform_call_seconds",
                "Seconds of one call.",
                l,
                &m.call_seconds,
            );
            for (code, n) in m.failures.snapshot() {
                let l = &[("transform", name.as_str()), ("code", code.as_str())];
                out.counter(
                    "wstream_transform_failures_total",
                    "Records that failed in the module.",
                    l,
                    n,
                );
            }
        }
    }

    fn render_sinks(&self, out: &mut TextWriter) {
        for (name, m) in all(&self.0.sinks) {
            let l: &[(&str, &str)] = &[("sink", &name)];
            out.counter(
                "wstream_sink_records_total",
                "Records accepted.",
                l,
                m.records.get(),
            );
            out.counter(
                "wstream_sink_bytes_total",
                "Bytes accepted.",
                l,
                m.bytes.get(),
            );
            out.counter(
                "wstream_sink_retries_total",
                "Attempts that failed and were repeated.",
                l,
                m.retries.get(),
            );
            out.gauge(
                "wstream_sink_in_flight",
                "Records accepted and not durable yet.",
                l,
                m.in_flight.get(),
            );
            for (code, n) in m.refused.snapshot() {
                let l = &[("sink", name.as_str()), ("code", code.as_str())];
                out.counter(
                    "wstream_sink_refused_total",
                    "Records refused for good.",
                    l,
                    n,
                );
            }
        }
    }

    fn render_requests(&self, out: &mut TextWriter) {
        for ((route, status), m) in all(&self.0.requests) {
            let status = status.to_string();
            let l: &[(&str, &str)] = &[("route", &route), ("status", &status)];
            out.histogram(
                "wstream_http_request_seconds",
                "Seconds per answer.",
                l,
                &m.seconds,
            );
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
