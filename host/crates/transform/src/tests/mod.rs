//! Whole runs: modules in WAT, through the runtime, the way a pipeline uses them.

mod blame;
mod component;
mod deadline;
mod hostile;
mod keyed;
mod modules;
mod pull;
mod service;
mod start;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wstream_record::{ByteSize, Offset, PartitionId, Record, StoredRecord, Timestamp, TopicName};

use crate::{InputBatch, Instance, Limits, Processed, Runtime, RuntimeConfig, Transform};

/// Misbehaves as a record's value asks: see its comment.
const PROBE: &str = include_str!("../../guests/probe.wat");

/// The same sort of thing as a Redpanda transform.
const PULL: &str = include_str!("../../guests/pull.wat");

/// The smallest transform; it drops every record.
const SMALLEST: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "wstream_abi_v1"))
  (func (export "wstream_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "wstream_process") (param i32 i32) (result i64) (i64.const 0))
)"#;

fn runtime() -> Arc<Runtime> {
    Runtime::new(RuntimeConfig::default()).unwrap()
}

/// Limits that end a hostile call soon.
fn tight() -> Limits {
    Limits {
        // What a healthy record takes on a machine where others are at work too is far below.
        record_time: Duration::from_millis(400),
        memory: ByteSize::mib(16),
        ..Limits::default()
    }
}

fn wasm(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

/// The probe without its cursor.
fn probe_without_cursor() -> String {
    let keep = |line: &&str| !line.contains(";; CURSOR") && !line.contains(";; STORE");
    PROBE.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

/// `SMALLEST` with more in it.
fn smallest_with(more: &str) -> String {
    let (head, tail) = SMALLEST.rsplit_once(')').unwrap();
    format!("{head}{more}){tail}")
}

/// `SMALLEST` with other bodies of `wstream_alloc` and `wstream_process`.
fn smallest_doing(alloc: &str, process: &str) -> String {
    SMALLEST
        .replace("(i32.const 8)", alloc)
        .replace("(i64.const 0)", process)
}

/// Puts a module into service with limits that end a hostile call soon.
async fn tight_transform(runtime: &Arc<Runtime>, wasm: Bytes) -> Transform {
    let module = runtime.compile(wasm).await.unwrap();
    Transform::new("probe", &module, None, tight())
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

fn values<S: AsRef<str>>(values: &[S]) -> InputBatch {
    batch(values.iter().map(|v| record(v.as_ref())))
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

/// Runs a bad record among good ones, at a place of a batch: it fails as told (`none`: it does not),
/// the others are delivered, and the instance or its replacement goes on. The calls that the batch
/// took.
async fn costs_itself(transform: &Transform, bad: (&str, &str, &str), at: usize) -> u64 {
    let (value, name, message) = bad;
    let mut records = ["a", "b", "c", "d", "e"];
    records[at] = value;
    let mut instance = transform.instantiate().await.unwrap();
    let before = transform.stats().calls;
    let processed = process_all(&mut instance, values(&records)).await;
    let calls = transform.stats().calls - before;
    let (outputs, failures) = seen(&processed);
    let mut neighbours = records.to_vec();
    neighbours.remove(at);
    assert_eq!(outputs, neighbours, "{value} at {at}: {failures:?}");
    let expected = (at as u32, name, message.to_owned());
    let expected = if name == "none" {
        vec![]
    } else {
        vec![expected]
    };
    assert_eq!(failures, expected, "{value} at {at}");
    let processed = process_all(&mut instance, values(&["next"])).await;
    assert_eq!(seen(&processed).0, ["next"], "{value} at {at}");
    calls
}

/// A failure as index, name and message.
type Failed = (u32, &'static str, String);

/// The values of the outputs, and the failures.
fn seen(processed: &Processed) -> (Vec<String>, Vec<Failed>) {
    let value = |o: &crate::Output| {
        let value = o.record.value.clone().unwrap_or_default();
        String::from_utf8(value.to_vec()).unwrap()
    };
    let outputs = processed.outputs.iter().map(value).collect();
    let failures = processed.failures.iter();
    let failures = failures.map(|f| (f.index, f.name, f.message.clone()));
    (outputs, failures.collect())
}
