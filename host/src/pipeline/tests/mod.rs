//! Whole pipelines over a log in memory, with sinks that fail when told and a guest that
//! misbehaves when a record asks it to.

mod dead_letters;
mod delivery;
mod model;
mod state;
mod targets;

use std::sync::Arc;

use bytes::Bytes;

use wstream_log::{Log, Partition, TopicSpec, Upto};
use wstream_record::{
    BatchBuilder, ByteSize, Offset, PartitionId, Record, RecordBatch, StoredRecord, Timestamp,
    TopicName, TopicPartition,
};
use wstream_transform::{Limits, Module, Runtime, RuntimeConfig, Transform};

use super::*;
use crate::shutdown::Shutdown;
use crate::sinks::conformance::World;
use crate::sinks::memory::MemoryTarget;
use crate::sinks::{SinkRecord, SinkTarget};

/// Copies each record unless its value begins with `!` and a letter; see its comment.
const PROBE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/transform/guests/probe.wat"
));
const TIME: i64 = 1_760_000_000_000;

struct Node {
    world: World,
    log: Log,
    deps: PipelineDeps,
    runtime: Arc<Runtime>,
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn tp(name: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic(name), PartitionId(partition))
}

fn record(value: &str) -> Record {
    Record {
        timestamp: Timestamp(TIME),
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn batch(records: &[Record]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    records.iter().for_each(|r| builder.push(r));
    builder.finish(None).unwrap()
}

fn value(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

impl Node {
    async fn new(partitions: i32) -> Self {
        let world = World::new();
        let log = world.deps.log.clone();
        let spec = TopicSpec::partitions(partitions);
        log.create_topic(&topic("in"), spec).await.unwrap();
        let offsets = Offsets::open(&log, world.deps.clock.clone()).await.unwrap();
        let deps = PipelineDeps {
            offsets,
            sinks: world.deps.clone(),
            not_durable_bytes_max: NOT_DURABLE_BYTES_MAX,
            shutdown: Shutdown::new(),
        };
        let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
        Self {
            world,
            log,
            deps,
            runtime,
        }
    }

    fn partition(&self, name: &str, partition: i32) -> Partition {
        self.log.partition(&tp(name, partition)).unwrap()
    }

    async fn append(&self, partition: i32, values: &[&str]) {
        let records: Vec<Record> = values.iter().map(|v| record(v)).collect();
        let to = self.partition("in", partition);
        to.append(batch(&records)).await.unwrap();
    }

    async fn probe(&self, name: &str) -> Transform {
        let wasm = wat::parse_str(PROBE).unwrap();
        let module: Module = self.runtime.compile(wasm.into()).await.unwrap();
        Transform::new(name, &module, None, Limits::default())
    }

    fn plan(&self, config: &PipelineConfig, steps: Vec<Transform>, sinks: &[SinkTarget]) -> Plan {
        Plan::with_targets("p", config, steps, sinks).unwrap()
    }

    fn start(&self, plan: &Plan) -> Pipeline {
        Pipeline::start(plan.clone(), self.deps.clone())
    }

    /// Runs until everything is delivered, or the pipeline fails.
    async fn run_to_end(&self, plan: &Plan) -> PipelineStatus {
        let pipeline = self.start(plan);
        pipeline.drain();
        pipeline.finished().await;
        pipeline.stop().await
    }

    fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        let committed = self.deps.offsets.fetch("wstream.pipeline.p", partition);
        committed.map(|c| c.offset.0)
    }

    async fn read(&self, name: &str, partition: i32) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        let from = self.partition(name, partition);
        let mut at = from.marks().log_start;
        loop {
            let fetch = from.fetch(at, ByteSize::mib(1), Upto::HighWatermark, None);
            let fetched = fetch.await.unwrap();
            for batch in &fetched.batches().unwrap() {
                records.extend(wstream_kafka::records(batch, 64 << 20).unwrap());
            }
            if fetched.next == at {
                return records;
            }
            at = fetched.next;
        }
    }
}

/// From `in` to sink `m`, through `steps` probes.
fn config(steps: usize) -> PipelineConfig {
    let step = StepConfig {
        module: "probe".to_owned(),
        config: serde_json::Map::new(),
        outputs: std::collections::BTreeMap::new(),
        output_topics: Vec::new(),
        on_failure: OnFailure::default(),
        limits: LimitsConfig::default(),
    };
    PipelineConfig {
        from: vec![topic("in")],
        transforms: vec![step; steps],
        to: vec!["m".to_owned()],
        dead_letter: None,
    }
}

fn memory(target: &MemoryTarget) -> [SinkTarget; 1] {
    [SinkTarget::memory("m", target.clone())]
}

/// What a target holds of a partition: offsets, numbers and values.
fn stored(target: &MemoryTarget, partition: i32) -> Vec<(i64, u32, String)> {
    let of = PartitionId(partition);
    let stored = target.stored().into_iter();
    stored
        .filter(|(tp, _)| tp.partition == of)
        .map(|(_, r): (_, SinkRecord)| (r.offset.0, r.n, value(&r.record)))
        .collect()
}

fn numbered(values: &[&str]) -> Vec<(i64, u32, String)> {
    let numbered = (0..).zip(values);
    numbered.map(|(o, v)| (o, 0, (*v).to_owned())).collect()
}

/// Returns once `holds` does. Between two looks the runtime may run dry, which is what lets a
/// paused clock move on.
async fn eventually(mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(1));
    while !holds() {
        looks.tick().await;
    }
}

fn offset_of(at: i64) -> Offset {
    Offset(at)
}
