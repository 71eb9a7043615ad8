//! The registry as Prometheus text: the names, types and help texts of what `mod.rs` counts.

use super::text::{Sample, TextWriter};
use super::{Metrics, all};

impl Metrics {
    /// Prometheus text: everything registered, then `samples`, which others count.
    #[must_use]
    pub fn render(&self, samples: &[Sample]) -> String {
        let mut out = TextWriter::new();
        self.render_sources(&mut out);
        self.render_pipelines(&mut out);
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
