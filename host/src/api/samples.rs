//! Metrics that the log, the index and the system count: read when `/metrics` is read.

use super::{ApiState, stats};
use crate::metrics::{Kind, Sample};

#[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are doubles")]
fn sample(
    out: &mut Vec<Sample>,
    kind: Kind,
    name: &'static str,
    help: &'static str,
    labels: &[(&'static str, &str)],
    value: u64,
) {
    let labels = labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    out.push(Sample {
        name,
        help,
        kind,
        labels,
        value: value as f64,
    });
}

/// Everything at once.
pub(super) async fn collect(state: &ApiState) -> Vec<Sample> {
    let mut out = Vec::new();
    topics(state, &mut out);
    transforms(state, &mut out);
    indices(state, &mut out).await;
    let facts = stats::node_view(state);
    let build = [("version", env!("CARGO_PKG_VERSION"))];
    sample(
        &mut out,
        Kind::Gauge,
        "wstream_build_info",
        "1, with the version.",
        &build,
        1,
    );
    let seconds = facts.uptime_ms / 1000;
    sample(
        &mut out,
        Kind::Gauge,
        "wstream_uptime_seconds",
        "Seconds since the start.",
        &[],
        seconds,
    );
    sample(
        &mut out,
        Kind::Gauge,
        "wstream_memory_bytes",
        "Resident memory of the process.",
        &[],
        facts.memory_bytes,
    );
    sample(
        &mut out,
        Kind::Gauge,
        "wstream_disk_free_bytes",
        "Bytes left for the data directory.",
        &[],
        facts.disk_free_bytes,
    );
    log(state, &mut out);
    out
}

/// What is missing, and what is wrong.
fn log(state: &ApiState, out: &mut Vec<Sample>) {
    let missing = state.log.missing();
    let offsets = missing.iter().map(|m| m.next.0.saturating_sub(m.first.0));
    let gauges = [
        (
            "wstream_log_missing_ranges",
            "Ranges of offsets that were stored and cannot be read.",
            count(missing.len()),
        ),
        (
            "wstream_log_missing_offsets",
            "Offsets that were stored and cannot be read.",
            offsets.map(|n| n.max(0).cast_unsigned()).sum(),
        ),
        (
            "wstream_log_problems",
            "What is wrong with the log at the moment, as /health/ready names it.",
            count(state.log.health().len()),
        ),
    ];
    for (name, help, value) in gauges {
        sample(out, Kind::Gauge, name, help, &[], value);
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

async fn indices(state: &ApiState, out: &mut Vec<Sample>) {
    for index in state.search.list("*").await.unwrap_or_default() {
        let l: &[(&'static str, &str)] = &[("index", &index.name)];
        sample(
            out,
            Kind::Gauge,
            "wstream_index_documents",
            "Documents of an index.",
            l,
            index.documents,
        );
        sample(
            out,
            Kind::Gauge,
            "wstream_index_bytes",
            "Bytes of an index on disk.",
            l,
            index.bytes,
        );
        sample(
            out,
            Kind::Counter,
            "wstream_index_documents_beyond_columns_total",
            "Documents with a field that got no column, because the index has its most.",
            l,
            index.beyond_columns,
        );
    }
}

fn topics(state: &ApiState, out: &mut Vec<Sample>) {
    for info in state.log.topics() {
        for partition in state.log.partitions(&info.name) {
            let (marks, stats) = (partition.marks(), partition.stats());
            let number = partition.name().partition.to_string();
            let l: &[(&'static str, &str)] =
                &[("topic", info.name.as_str()), ("partition", &number)];
            let offset = |o: wstream_record::Offset| o.0.max(0).cast_unsigned();
            sample(
                out,
                Kind::Counter,
                "wstream_log_appended_records_total",
                "Records appended since the start.",
                l,
                stats.appended_records,
            );
            sample(
                out,
                Kind::Counter,
                "wstream_log_appended_bytes_total",
                "Bytes of batches appended since the start.",
                l,
                stats.appended_bytes,
            );
            sample(
                out,
                Kind::Gauge,
                "wstream_log_bytes",
                "Bytes of batches held.",
                l,
                stats.bytes.0,
            );
            sample(
                out,
                Kind::Gauge,
                "wstream_log_start_offset",
                "The oldest offset.",
                l,
                offset(marks.log_start),
            );
            sample(
                out,
                Kind::Gauge,
                "wstream_log_high_watermark",
                "The end of what is acknowledged.",
                l,
                offset(marks.high_watermark),
            );
        }
        for lag in state.group_lags(&info.name) {
            let l: &[(&'static str, &str)] =
                &[("group", &lag.group), ("topic", info.name.as_str())];
            sample(
                out,
                Kind::Gauge,
                "wstream_group_lag",
                "Records between a group's position and the end.",
                l,
                lag.lag.max(0).cast_unsigned(),
            );
        }
    }
}

fn transforms(state: &ApiState, out: &mut Vec<Sample>) {
    for t in state.running.transforms() {
        let l: &[(&'static str, &str)] = &[("transform", &t.name)];
        let counter = Kind::Counter;
        sample(
            out,
            counter,
            "wstream_transform_records_total",
            "Records given to the module.",
            l,
            t.records,
        );
        sample(
            out,
            counter,
            "wstream_transform_outputs_total",
            "Outputs taken from the module.",
            l,
            t.outputs,
        );
        sample(
            out,
            counter,
            "wstream_transform_nanoseconds_total",
            "Nanoseconds in the module's calls.",
            l,
            t.nanoseconds,
        );
        sample(
            out,
            Kind::Gauge,
            "wstream_transform_memory_bytes",
            "Memory of the module's instances.",
            l,
            t.memory_bytes,
        );
        sample(
            out,
            Kind::Gauge,
            "wstream_transform_instances",
            "Instances of the module alive.",
            l,
            t.instances,
        );
        for (code, n) in &t.failures {
            let l: &[(&'static str, &str)] = &[("transform", &t.name), ("code", code)];
            sample(
                out,
                counter,
                "wstream_transform_failures_total",
                "Records that failed in the module.",
                l,
                *n,
            );
        }
    }
}
