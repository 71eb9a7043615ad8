//! Committed positions of all groups: what `commit` returned `Ok` for is found again by `open`.
//!
//! They are records of `__consumer_offsets` in Kafka's formats, all of a group's in one partition,
//! and a map in memory that is rebuilt by reading the topic at open. There is no compaction yet:
//! a partition that holds much more than its live records is rewritten with those alone.
//! Records of other kinds are kept as they are. Members and rebalancing are not kept here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tracing::{debug, warn};

use wstream_log::{AppendError, Log, Partition, ReadError, RewriteError, TopicConfig, TopicError};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, LeaderEpoch, Offset, PartitionId, RecordBatch, Timestamp,
    TopicName, TopicPartition,
};

use super::format::{OffsetKey, java_hash};

/// The topic that holds the positions.
const TOPIC: &str = "__consumer_offsets";
/// Its partitions.
const PARTITIONS: i32 = 16;
/// Bytes read at once when the map is rebuilt.
const READ_BYTES: ByteSize = ByteSize::mib(1);
/// Most bytes of a compressed batch once read.
const RECORDS_BYTES_MAX: usize = 16 << 20;
/// Bytes of records in one batch written here.
const BATCH_BYTES: usize = 64 << 10;
/// A partition below this size is never rewritten.
const REWRITE_BYTES_MIN: u64 = 8 << 20;
/// A partition is rewritten when it holds this many times its live records.
const REWRITE_FACTOR: u64 = 4;

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read, if the group told.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the group wrote beside it.
    pub metadata: String,
    /// When.
    pub committed_at: Timestamp,
}

/// A position to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: Offset,
    /// Anything the group wants to find again.
    pub metadata: String,
}

/// Why positions could not be read or committed.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The topic could not be made.
    #[error("cannot create {TOPIC}: {0}")]
    Topic(#[from] TopicError),
    /// A partition of the topic is missing.
    #[error("{TOPIC} has no partition {0}")]
    Missing(PartitionId),
    /// The topic could not be read.
    #[error("could not read {TOPIC}: {0}")]
    Read(#[from] ReadError),
    /// A record could not be written; the positions are as before.
    #[error("could not commit positions: {0}")]
    Append(#[from] AppendError),
}

/// The committed positions of all groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Offsets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Held while a partition is appended to, so that the map follows the log's order.
    partitions: Vec<Mutex<Store>>,
    positions: RwLock<BTreeMap<String, BTreeMap<TopicPartition, Committed>>>,
}

/// One partition of the topic and its live records.
#[derive(Debug)]
struct Store {
    partition: Partition,
    live: HashMap<Bytes, (Timestamp, Bytes)>,
    live_bytes: u64,
}

impl Offsets {
    /// Reads all positions from the log; makes the topic if there is none.
    ///
    /// # Errors
    /// The topic could not be made or read.
    pub async fn open(log: &Log, clock: Clock) -> Result<Self, OffsetsError> {
        let topic = TopicName::new(TOPIC).expect("the name is a valid one");
        if log.topic(&topic).is_none() {
            let config = TopicConfig {
                partitions: PARTITIONS,
                ..TopicConfig::default()
            };
            log.create_topic(&topic, config).await?;
        }
        let mut partitions = Vec::new();
        for number in (0..PARTITIONS).map(PartitionId) {
            let name = TopicPartition::new(topic.clone(), number);
            let partition = log.partition(&name).ok_or(OffsetsError::Missing(number))?;
            partitions.push(Mutex::new(Store::read(partition).await?));
        }
        let mut positions: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for store in &mut partitions {
            for (key, (_, value)) in &store.get_mut().live {
                if let (Some(key), Some(value)) = (OffsetKey::decode(key), Committed::decode(value))
                {
                    let group = positions.entry(key.group).or_default();
                    group.insert(key.partition, value);
                }
            }
        }
        Ok(Self(Arc::new(Inner {
            clock,
            partitions,
            positions: RwLock::new(positions),
        })))
    }

    /// The position that `group` committed last.
    #[must_use]
    pub fn fetch(&self, group: &str, of: &TopicPartition) -> Option<Committed> {
        self.0.positions.read().get(group)?.get(of).cloned()
    }

    /// All positions of `group`.
    #[must_use]
    pub fn group(&self, group: &str) -> Vec<(TopicPartition, Committed)> {
        let positions = self.0.positions.read();
        let group = positions.get(group).into_iter().flatten();
        group.map(|(tp, c)| (tp.clone(), c.clone())).collect()
    }

    /// Groups that have a position, by name.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.0.positions.read().keys().cloned().collect()
    }

    /// Commits positions. On `Ok` all are kept; on an error none is.
    ///
    /// # Errors
    /// The record could not be written.
    pub async fn commit(&self, group: &str, commits: &[OffsetCommit]) -> Result<(), OffsetsError> {
        let committed_at = self.0.clock.now();
        let entries = commits.iter().map(|commit| {
            let committed = Committed {
                offset: commit.offset,
                leader_epoch: None,
                metadata: commit.metadata.clone(),
                committed_at,
            };
            (commit.partition.clone(), Some(committed))
        });
        self.write(group, entries.collect()).await
    }

    /// Forgets positions: all of the group's when `of` says nothing else.
    ///
    /// # Errors
    /// The record could not be written.
    pub async fn delete(
        &self,
        group: &str,
        of: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), OffsetsError> {
        let known = self.group(group).into_iter().map(|(tp, _)| tp);
        let entries = known.filter(|tp| of(tp)).map(|tp| (tp, None));
        self.write(group, entries.collect()).await
    }

    async fn write(
        &self,
        group: &str,
        entries: Vec<(TopicPartition, Option<Committed>)>,
    ) -> Result<(), OffsetsError> {
        if entries.is_empty() {
            return Ok(());
        }
        let number = java_hash(group).unsigned_abs() % PARTITIONS.unsigned_abs();
        let mut store = self.0.partitions[number as usize].lock().await;
        let now = self.0.clock.now();
        let records = entries.iter().map(|(of, committed)| {
            let key = Bytes::from(OffsetKey::encode(group, of));
            (key, committed.as_ref().map(|c| Bytes::from(c.encode())))
        });
        store.append(records.collect(), now).await?;
        {
            let mut positions = self.0.positions.write();
            let known = positions.entry(group.to_owned()).or_default();
            for (of, committed) in entries {
                match committed {
                    Some(committed) => known.insert(of, committed),
                    None => known.remove(&of),
                };
            }
            if known.is_empty() {
                positions.remove(group);
            }
        }
        store.rewrite_if_grown().await;
        Ok(())
    }
}

impl Store {
    async fn read(partition: Partition) -> Result<Self, OffsetsError> {
        let bounds = partition.bounds();
        let mut store = Self {
            partition,
            live: HashMap::new(),
            live_bytes: 0,
        };
        let mut at = bounds.log_start;
        while at < bounds.high_watermark {
            let batches = store.partition.read(at, READ_BYTES).await?;
            let Some(last) = batches.last() else { break };
            at = last.header().next_offset();
            for batch in &batches {
                store.take(batch);
            }
        }
        Ok(store)
    }

    fn take(&mut self, batch: &RecordBatch) {
        let records = match wstream_kafka::records(batch, RECORDS_BYTES_MAX) {
            Ok(_) if batch.header().is_control() => return,
            Ok(records) => records,
            Err(error) => {
                let offset = batch.header().base_offset;
                warn!(partition = %self.partition.name(), %offset, %error, "positions are skipped");
                return;
            }
        };
        for stored in records {
            let record = stored.record;
            if let Some(key) = record.key {
                // Copies: a slice would keep its whole batch in memory.
                let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
                self.put(
                    copy(&key),
                    record.value.as_ref().map(copy),
                    record.timestamp,
                );
            }
        }
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>, at: Timestamp) {
        let size = |key: &Bytes, value: &Bytes| (key.len() + value.len()) as u64;
        let before = match value {
            Some(value) => {
                self.live_bytes += size(&key, &value);
                self.live.insert(key.clone(), (at, value))
            }
            None => self.live.remove(&key),
        };
        if let Some((_, value)) = before {
            self.live_bytes -= size(&key, &value);
        }
    }

    async fn append(
        &mut self,
        records: Vec<(Bytes, Option<Bytes>)>,
        at: Timestamp,
    ) -> Result<(), AppendError> {
        let mut builder = BatchBuilder::new();
        for (key, value) in &records {
            builder.push_parts(at, Some(key), value.as_deref(), [].into_iter());
        }
        if let Some(batch) = builder.finish(None) {
            self.partition.append(batch).await?;
        }
        for (key, value) in records {
            self.put(key, value, at);
        }
        Ok(())
    }

    /// Positions are safe either way, so a failure is only told.
    async fn rewrite_if_grown(&self) {
        let bounds = self.partition.bounds();
        if bounds.bytes.0 < REWRITE_BYTES_MIN.max(self.live_bytes * REWRITE_FACTOR) {
            return;
        }
        match self.rewrite(bounds.log_end).await {
            Ok(()) => debug!(partition = %self.partition.name(), "positions rewritten"),
            Err(error) => {
                warn!(partition = %self.partition.name(), %error, "could not rewrite positions");
            }
        }
    }

    async fn rewrite(&self, as_of: Offset) -> Result<(), RewriteError> {
        let mut builder = BatchBuilder::new();
        let mut batches = Vec::new();
        for (key, (at, value)) in &self.live {
            builder.push_parts(*at, Some(key), Some(value), [].into_iter());
            if builder.byte_len() >= BATCH_BYTES {
                batches.extend(builder.finish(None));
            }
        }
        batches.extend(builder.finish(None));
        self.partition.rewrite(batches, as_of).await
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::ManualClock;

    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(partition))
    }

    fn commit(partition: &TopicPartition, offset: i64) -> OffsetCommit {
        OffsetCommit {
            partition: partition.clone(),
            offset: Offset(offset),
            metadata: format!("m{offset}"),
        }
    }

    #[tokio::test]
    async fn positions_are_found_again() {
        let clock = ManualClock::new(Timestamp(1_000)).clock();
        let log = Log::in_memory(clock.clone());
        let (a, b) = (tp("a", 0), tp("b", 3));
        {
            let offsets = Offsets::open(&log, clock.clone()).await.unwrap();
            assert_eq!(offsets.fetch("g", &a), None);
            offsets
                .commit("g", &[commit(&a, 5), commit(&b, 7)])
                .await
                .unwrap();
            offsets.commit("g", &[commit(&a, 9)]).await.unwrap();
            offsets.commit("h", &[commit(&a, 1)]).await.unwrap();
            offsets.delete("h", |_| true).await.unwrap();
        }
        let offsets = Offsets::open(&log, clock).await.unwrap();
        let found = offsets.fetch("g", &a).unwrap();
        assert_eq!((found.offset, found.metadata.as_str()), (Offset(9), "m9"));
        assert_eq!(found.committed_at, Timestamp(1_000));
        assert_eq!(offsets.fetch("g", &b).unwrap().offset, Offset(7));
        assert_eq!(offsets.groups(), ["g"]);
        assert_eq!(offsets.group("g").len(), 2);
    }

    #[tokio::test]
    async fn a_grown_partition_keeps_only_live_records() {
        let clock = ManualClock::new(Timestamp(0)).clock();
        let log = Log::in_memory(clock.clone());
        let offsets = Offsets::open(&log, clock.clone()).await.unwrap();
        let a = tp("a", 0);
        let padding = "x".repeat(30_000);
        let mut largest = 0;
        for offset in 0..600 {
            let entry = OffsetCommit {
                metadata: padding.clone(),
                ..commit(&a, offset)
            };
            offsets.commit("g", &[entry]).await.unwrap();
            let bytes = log
                .partitions(&TopicName::new(TOPIC).unwrap())
                .iter()
                .map(|p| p.bounds().bytes.0)
                .max()
                .unwrap();
            largest = largest.max(bytes);
        }
        assert!(largest < REWRITE_BYTES_MIN + (1 << 20), "{largest}");
        let again = Offsets::open(&log, clock).await.unwrap();
        assert_eq!(again.fetch("g", &a).unwrap().offset, Offset(599));
    }
}
