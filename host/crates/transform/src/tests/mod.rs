//! Whole runs: modules in WAT, through the runtime, the way a pipeline uses them.

mod hostile;
mod service;

use std::sync::Arc;

use bytes::Bytes;
use wstream_record::{Offset, PartitionId, Record, StoredRecord, Timestamp, TopicName};

use crate::{InputBatch, Instance, Limits, Processed, Runtime, RuntimeConfig, Transform};

/// Misbehaves as a record's value asks: see its comment.
const PROBE: &str = include_str!("../../guests/probe.wat");

fn runtime() -> Arc<Runtime> {
    Runtime::new(RuntimeConfig::default()).unwrap()
}

fn wasm(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

/// The probe without its cursor.
fn probe_without_cursor() -> String {
    let keep = |line: &&str| !line.contains(";; CURSOR") && !line.contains(";; STORE");
    PROBE.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

async fn transform(runtime: &Arc<Runtime>, text: &str, limits: Limits) -> Transform {
    let module = runtime.compile(wasm(text)).await.unwrap();
    Transform::new("probe", &module, None, limits)
}

fn record(value: &str) -> Record {
    Record {
        timestamp: Timestamp(1_760_000_000_000),
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn batch(records: impl IntoIterator<Item = Record>) -> InputBatch {
    let stored = |(offset, record)| StoredRecord {
        offset: Offset(offset),
        record,
    };
    let records: Vec<_> = (0..).zip(records).map(stored).collect();
    InputBatch::new(TopicName::new("t").unwrap(), PartitionId(0), records)
}

fn values(values: &[&str]) -> InputBatch {
    batch(values.iter().map(|v| record(v)))
}

/// Calls `process` until the batch is done.
async fn process_all(instance: &mut Instance, batch: InputBatch) -> Processed {
    let mut all = Processed::default();
    let mut next = Some(batch);
    while let Some(batch) = next {
        let processed = instance.process(batch).await;
        all.outputs.extend(processed.outputs);
        all.failures.extend(processed.failures);
        assert_eq!(processed.error, None);
        next = processed.rest;
    }
    all
}

/// The values of the outputs, and index, name and message of the failures.
fn seen(processed: &Processed) -> (Vec<String>, Vec<(u32, &'static str, String)>) {
    let value = |o: &crate::Output| {
        let value = o.record.value.clone().unwrap_or_default();
        String::from_utf8(value.to_vec()).unwrap()
    };
    let outputs = processed.outputs.iter().map(value).collect();
    let failures = processed.failures.iter();
    let failures = failures.map(|f| (f.index, f.name, f.message.clone()));
    (outputs, failures.collect())
}
