//! Committed positions of all groups: what `commit` returned `Ok` for is found again by `open`.
//!
//! They are records of `__consumer_offsets` in Kafka's formats, all of a group's in one partition,
//! which the log compacts, and a map in memory that is rebuilt at open.
//! Records of other kinds are kept as they are. Members and rebalancing are not kept here.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tracing::warn;

use wstream_log::{AppendError, LastRecords, Log, Table, TableBatch, TableError, TableSettings};
use wstream_record::{
    BatchError, ByteSize, Clock, LeaderEpoch, Offset, PartitionId, RecordBatch, StoredRecord,
    Timestamp, TopicName, TopicPartition,
};

use super::format::{OffsetKey, java_hash};

/// The topic that holds the positions.
const TOPIC: &str = "__consumer_offsets";
/// Its partitions.
const PARTITIONS: i32 = 16;
/// Bytes of the largest batch of positions; a commit that is larger is several batches.
const MESSAGE_BYTES_MAX: ByteSize = ByteSize::mib(64);
/// Most bytes of a compressed batch once read.
const RECORDS_BYTES_MAX: usize = 16 << 20;

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
    /// They could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A record could not be written.
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
    partitions: Vec<Mutex<Table>>,
    positions: RwLock<Positions>,
}

type Positions = BTreeMap<String, BTreeMap<TopicPartition, Committed>>;

/// A position, or that there is none any more.
type Entry = (TopicPartition, Option<Committed>);

impl Offsets {
    /// Reads all positions from the log; makes the topic if there is none.
    ///
    /// # Errors
    /// The topic could not be made or read.
    pub async fn open(log: &Log, clock: Clock) -> Result<Self, OffsetsError> {
        let topic = TopicName::new(TOPIC).expect("the name is a valid one");
        let settings = TableSettings {
            partitions: PARTITIONS,
            message_bytes_max: MESSAGE_BYTES_MAX,
        };
        let mut partitions = Vec::new();
        let mut positions = Positions::new();
        for number in (0..PARTITIONS).map(PartitionId) {
            let of = TopicPartition::new(topic.clone(), number);
            let (table, live) = Table::open(log, &of, settings, &records).await?;
            take(&live, &mut positions);
            partitions.push(Mutex::new(table));
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

    /// Commits positions. On `Ok` all are kept; on an error none is, unless they are more than one
    /// batch holds: then those that `fetch` answers are.
    ///
    /// # Errors
    /// A record could not be written.
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

    async fn write(&self, group: &str, entries: Vec<Entry>) -> Result<(), OffsetsError> {
        let number = java_hash(group).unsigned_abs() % PARTITIONS.unsigned_abs();
        let table = self.0.partitions[number as usize].lock().await;
        let bytes_max = table.message_bytes_max();
        let mut batch = TableBatch::new(self.0.clock.now());
        let mut in_batch = Vec::new();
        for (of, committed) in entries {
            let key = OffsetKey::encode(group, &of);
            let value = committed.as_ref().map(Committed::encode);
            if batch.bytes_with(&key, value.as_deref()) > bytes_max {
                self.append(&table, group, &mut batch, &mut in_batch)
                    .await?;
            }
            batch.put(&key, value.as_deref());
            in_batch.push((of, committed));
        }
        self.append(&table, group, &mut batch, &mut in_batch).await
    }

    async fn append(
        &self,
        table: &Table,
        group: &str,
        batch: &mut TableBatch,
        entries: &mut Vec<Entry>,
    ) -> Result<(), OffsetsError> {
        let Some(batch) = batch.finish() else {
            return Ok(());
        };
        table.append(batch).await?;
        let mut positions = self.0.positions.write();
        let known = positions.entry(group.to_owned()).or_default();
        for (of, committed) in entries.drain(..) {
            match committed {
                Some(committed) => known.insert(of, committed),
                None => known.remove(&of),
            };
        }
        if known.is_empty() {
            positions.remove(group);
        }
        Ok(())
    }
}

/// Positions among the last records of a partition.
fn take(live: &LastRecords, positions: &mut Positions) {
    for (key, last) in live {
        let key = OffsetKey::decode(key);
        if let (Some(key), Some(committed)) = (key, Committed::decode(&last.value)) {
            let group = positions.entry(key.group).or_default();
            group.insert(key.partition, committed);
        }
    }
}

/// The records of a batch, also of one that a client compressed.
fn records(batch: &RecordBatch) -> Result<Vec<StoredRecord>, BatchError> {
    wstream_kafka::records(batch, RECORDS_BYTES_MAX).map_err(|error| {
        let offset = batch.header().base_offset;
        warn!(topic = TOPIC, %offset, %error, "positions do not read");
        BatchError::Compressed(batch.header().compression)
    })
}

#[cfg(test)]
mod tests {
    use wstream_log::TopicSpec;
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
        for offset in 0..200 {
            let entry = OffsetCommit {
                metadata: "x".repeat(30_000),
                ..commit(&a, offset)
            };
            offsets.commit("g", &[entry]).await.unwrap();
        }
        assert!(bytes(&log) > 200 * 30_000);
        log.maintain().await;
        assert!(bytes(&log) < 31_000, "{}", bytes(&log));
        let again = Offsets::open(&log, clock).await.unwrap();
        assert_eq!(again.fetch("g", &a).unwrap().offset, Offset(199));
    }

    fn bytes(log: &Log) -> u64 {
        let partitions = log.partitions(&TopicName::new(TOPIC).unwrap());
        partitions.iter().map(|p| p.stats().bytes.0).sum()
    }

    fn large(count: i32) -> Vec<OffsetCommit> {
        let of = |n| OffsetCommit {
            metadata: "x".repeat(30_000),
            ..commit(&tp("a", n), 7)
        };
        (0..count).map(of).collect()
    }

    #[tokio::test]
    async fn a_commit_of_more_than_a_mebibyte_is_kept_whole() {
        let clock = ManualClock::new(Timestamp(0)).clock();
        let log = Log::in_memory(clock.clone());
        let offsets = Offsets::open(&log, clock.clone()).await.unwrap();
        offsets.commit("g", &large(100)).await.unwrap();
        let again = Offsets::open(&log, clock).await.unwrap();
        assert_eq!(again.group("g").len(), 100);
    }

    #[tokio::test]
    async fn what_is_more_than_a_batch_becomes_several() {
        let clock = ManualClock::new(Timestamp(0)).clock();
        let log = Log::in_memory(clock.clone());
        let topic = TopicName::new(TOPIC).unwrap();
        let small = TopicSpec::partitions(PARTITIONS).max_message_bytes(ByteSize(100_000));
        log.create_topic(&topic, small).await.unwrap();
        let offsets = Offsets::open(&log, clock.clone()).await.unwrap();
        offsets.commit("g", &large(100)).await.unwrap();
        assert_eq!(offsets.group("g").len(), 100);
        let again = Offsets::open(&log, clock).await.unwrap();
        assert_eq!(again.group("g").len(), 100);
        again.delete("g", |_| true).await.unwrap();
        assert!(again.groups().is_empty());
        again.commit("g", &[]).await.unwrap();
        assert!(again.groups().is_empty());
    }
}
