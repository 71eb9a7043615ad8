//! A version of a module that runs beside a pipeline and leaves it alone: as a shadow on live
//! records, compared with the version in service, or over a range of the log into a topic of its
//! own. It has readers and instances of its own, begins with empty keyed state, and commits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wstream_log::{Log, Partition, TopicError, TopicSpec};
use wstream_record::{
    BatchBuilder, JsonRecord, Offset, PartitionId, RecordBatch, Timestamp, TopicName,
    TopicPartition,
};

use super::chain::{Chain, Ready};
use super::dead_letter::Letter;
use super::plan::Plan;
use super::reader::{Chunk, Reader};
use crate::shutdown::Shutdown;

/// Differences that are reported whole.
const DIFFERENCES_MAX: usize = 10;
/// Bytes at which a batch for the side topic ends.
const BATCH_BYTES: usize = 100 << 10;

/// What is rehearsed.
#[derive(Debug, Clone)]
pub struct RehearsalPlan {
    /// The steps up to the module, with the version to rehearse.
    pub version: Arc<Plan>,
    /// The same steps as they are in service, to compare with.
    pub service: Option<Arc<Plan>>,
    /// Where it begins.
    pub start: RehearsalStart,
    /// Where outputs go; nowhere for a shadow.
    pub into: Option<TopicName>,
    /// It ends after so many records of all partitions.
    pub records_max: u64,
    /// It ends after so long.
    pub time_max: Duration,
}

/// Where a rehearsal begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RehearsalStart {
    /// With the records that come from now on; it ends at one of its bounds.
    Live,
    /// At an offset of each partition; it ends where the partition ends now.
    Offset(Offset),
    /// With the first record at or after a time; likewise.
    Time(Timestamp),
}

/// A rehearsal under way; clones share it.
#[derive(Debug, Clone)]
pub struct Rehearsal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    plan: RehearsalPlan,
    log: Log,
    stop: Shutdown,
    until: Instant,
    report: Mutex<Report>,
}

/// How it stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Whether it has ended.
    pub done: bool,
    /// Records worked on.
    pub records: u64,
    /// Records that failed in the version that is rehearsed.
    pub failed: u64,
    /// Records that failed in the version in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_in_service: Option<u64>,
    /// Records of which the two made something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differing: Option<u64>,
    /// The first of these: the record's place, and what each made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Value>,
    /// Records written to the side topic.
    pub written: u64,
    /// Nanoseconds a record in the module.
    pub ns_per_record: u64,
    /// The same of the version in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_per_record_in_service: Option<u64>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of the records of a chunk.
#[derive(Default)]
struct Outcome {
    ready: Vec<Ready>,
    letters: Vec<Letter>,
}

impl Rehearsal {
    /// Starts it on every partition that there is.
    ///
    /// # Errors
    /// The side topic cannot be made.
    pub async fn start(plan: RehearsalPlan, log: Log, stop: Shutdown) -> Result<Self, TopicError> {
        let topics = plan.version.from.clone();
        let partitions: Vec<_> = topics
            .iter()
            .flat_map(|topic| log.partitions(topic))
            .collect();
        if let Some(into) = &plan.into
            && log.topic(into).is_none()
        {
            let counts = topics.iter().filter_map(|topic| log.topic(topic));
            let counts = counts.map(|topic| topic.config.partitions);
            let spec = TopicSpec::partitions(counts.max().unwrap_or(1));
            log.create_topic(into, spec).await?;
        }
        let comparing = plan.service.is_some().then_some(0);
        let shared = Arc::new(Shared {
            until: Instant::now() + plan.time_max,
            log,
            stop,
            report: Mutex::new(Report {
                failed_in_service: comparing,
                differing: comparing,
                ..Report::default()
            }),
            plan,
        });
        let rehearsal = Self(Arc::clone(&shared));
        let task = async move {
            let mut tasks = JoinSet::new();
            for partition in partitions {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move { shared.run(partition).await });
            }
            while let Some(ended) = tasks.join_next().await {
                let error = ended.map_or_else(|e| Some(e.to_string()), |ended| ended.err());
                if let Some(error) = error {
                    shared.report.lock().error.get_or_insert(error);
                }
            }
            shared.report.lock().done = true;
        };
        rehearsal.0.stop.clone().spawn(task);
        Ok(rehearsal)
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self) -> Report {
        let plan = &self.0.plan;
        let mut report = self.0.report.lock().clone();
        report.ns_per_record = ns_per_record(&plan.version);
        report.ns_per_record_in_service = plan.service.as_deref().map(ns_per_record);
        report
    }
}

/// Of the last step: the module that is rehearsed.
fn ns_per_record(plan: &Plan) -> u64 {
    let stats = plan.steps.last().map(|step| step.transform.stats());
    let stats = stats.unwrap_or_default();
    stats.nanos.checked_div(stats.records).unwrap_or(0)
}

impl Shared {
    async fn run(&self, partition: Partition) -> Result<(), String> {
        let name = partition.name().clone();
        let marks = partition.marks();
        let (at, end) = match self.plan.start {
            RehearsalStart::Live => (marks.high_watermark, None),
            RehearsalStart::Offset(offset) => {
                let at = offset.max(marks.log_start).min(marks.high_watermark);
                (at, Some(marks.high_watermark))
            }
            RehearsalStart::Time(time) => {
                let found = partition
                    .offset_for(time)
                    .await
                    .map_err(|e| e.to_string())?;
                let at = found.map_or(marks.high_watermark, |(offset, _)| offset);
                (at, Some(marks.high_watermark))
            }
        };
        if end.is_some_and(|end| at >= end) {
            return Ok(());
        }
        let topic = self.log.topic(&name.topic).ok_or("the topic is gone")?;
        let mut version = chain(&self.plan.version, &name).await?;
        let mut service = match &self.plan.service {
            Some(plan) => Some(chain(plan, &name).await?),
            None => None,
        };
        let mut reader = Reader::start(partition, at, topic.config.max_message_bytes);
        loop {
            let chunk = tokio::select! {
                () = self.stop.asked() => return Ok(()),
                () = tokio::time::sleep_until(self.until) => return Ok(()),
                chunk = reader.next() => chunk.map_err(|e| e.to_string())?,
            };
            let next = chunk.next;
            let chunk = Chunk {
                broken: Vec::new(),
                records: self.take(chunk.records, end),
                ..chunk
            };
            self.work(&name, chunk, &mut version, service.as_mut())
                .await?;
            let full = self.report.lock().records >= self.plan.records_max;
            if full || end.is_some_and(|end| next >= end) {
                return Ok(());
            }
        }
    }

    /// As many records as there is still room for.
    fn take(
        &self,
        mut records: Vec<wstream_record::StoredRecord>,
        end: Option<Offset>,
    ) -> Vec<wstream_record::StoredRecord> {
        if let Some(end) = end {
            records.retain(|record| record.offset < end);
        }
        let mut report = self.report.lock();
        let left = self.plan.records_max.saturating_sub(report.records);
        records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        report.records += records.len() as u64;
        records
    }

    async fn work(
        &self,
        name: &TopicPartition,
        chunk: Chunk,
        version: &mut Chain,
        service: Option<&mut Chain>,
    ) -> Result<(), String> {
        let offsets: Vec<Offset> = chunk.records.iter().map(|record| record.offset).collect();
        let same = Chunk {
            records: chunk.records.clone(),
            broken: Vec::new(),
            ..chunk
        };
        let made = outcome(version, chunk).await?;
        self.report.lock().failed += made.letters.len() as u64;
        if let Some(service) = service {
            let expected = outcome(service, same).await?;
            self.compare(name, &offsets, &made, &expected);
        }
        if let Some(into) = &self.plan.into {
            self.write(into, name.partition, made.ready).await?;
        }
        Ok(())
    }

    fn compare(
        &self,
        name: &TopicPartition,
        offsets: &[Offset],
        made: &Outcome,
        expected: &Outcome,
    ) {
        let (made, expected) = (made.by_offset(), expected.by_offset());
        let mut report = self.report.lock();
        let failed = expected
            .values()
            .filter(|made| made[0].get("error").is_some());
        *report.failed_in_service.get_or_insert(0) += failed.count() as u64;
        for offset in offsets {
            let (now, before) = (made.get(offset), expected.get(offset));
            if now == before {
                continue;
            }
            *report.differing.get_or_insert(0) += 1;
            if report.differences.len() < DIFFERENCES_MAX {
                let none = Vec::new();
                report.differences.push(json!({
                    "topic": name.topic, "partition": name.partition, "offset": offset,
                    "in_service": before.unwrap_or(&none), "version": now.unwrap_or(&none),
                }));
            }
        }
    }

    /// Appends outputs to the side topic, by key.
    async fn write(
        &self,
        into: &TopicName,
        from: PartitionId,
        ready: Vec<Ready>,
    ) -> Result<(), String> {
        let partitions = self
            .log
            .topic(into)
            .map_or(1, |topic| topic.config.partitions);
        let mut builders: BTreeMap<PartitionId, BatchBuilder> = BTreeMap::new();
        let mut batches: Vec<(PartitionId, RecordBatch)> = Vec::new();
        // Other outputs have sinks of their own in the pipeline, and none here.
        for Ready {
            partition, record, ..
        } in ready.into_iter().filter(|r| r.route == 0)
        {
            let key = record.key.as_deref();
            let chosen = partition.filter(|p| (0..partitions).contains(&p.0));
            let chosen =
                chosen.unwrap_or_else(|| wstream_kafka::partition_for(key, partitions, from));
            let builder = builders.entry(chosen).or_default();
            builder.push(&record);
            self.report.lock().written += 1;
            if builder.byte_len() > BATCH_BYTES {
                batches.extend(builder.finish(None).map(|batch| (chosen, batch)));
            }
        }
        for (chosen, mut builder) in builders {
            batches.extend(builder.finish(None).map(|batch| (chosen, batch)));
        }
        for (chosen, batch) in batches {
            let to = self
                .log
                .partition(&TopicPartition::new(into.clone(), chosen));
            let to = to.ok_or("the side topic is gone")?;
            to.append(batch).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

impl Outcome {
    /// What became of each record, as JSON; a record that was dropped is not there.
    fn by_offset(&self) -> BTreeMap<Offset, Vec<Value>> {
        let mut by_offset: BTreeMap<Offset, Vec<Value>> = BTreeMap::new();
        for ready in &self.ready {
            let record = JsonRecord {
                partition: ready.partition,
                record: ready.record.clone(),
                ..JsonRecord::default()
            };
            let mut value: Value = serde_json::from_str(&record.to_json()).unwrap_or_default();
            if ready.route > 0 {
                value["output"] = ready.route.into();
            }
            by_offset.entry(ready.offset).or_default().push(value);
        }
        for letter in &self.letters {
            let reason = &letter.reason;
            let error = json!({"code": reason.code, "message": reason.message});
            by_offset.insert(letter.offset, vec![json!({"error": error})]);
        }
        by_offset
    }
}

async fn chain(plan: &Arc<Plan>, of: &TopicPartition) -> Result<Chain, String> {
    let chain = Chain::start(Arc::clone(plan), of.clone(), false, None).await;
    chain.map_err(|(transform, error)| format!("transform {transform}: {error}"))
}

async fn outcome(chain: &mut Chain, chunk: Chunk) -> Result<Outcome, String> {
    let mut work = chain.begin(chunk);
    let mut outcome = Outcome::default();
    loop {
        let more = chain.advance(&mut work).await;
        let more = more.map_err(|(transform, error)| format!("transform {transform}: {error}"))?;
        if let Some(complete) = work.complete() {
            outcome.ready.extend(complete.ready);
            outcome.letters.extend(complete.letters);
        }
        if !more {
            return Ok(outcome);
        }
    }
}
