//! Where batches are kept: the seam between the partition's rules and bytes on a disk.
//!
//! A store is blocking and knows nothing of producers' rules, queues or tasks. The partition
//! calls `write`, `flush`, `recover`, `maintain`, `roll`, `set_start` and `close` one at a time;
//! `read` and `offset_for` come from any thread at any time, and only for what was acknowledged.
//! `memory` holds everything in memory, `sled` on disk; both pass `conformance`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use wstream_record::{ByteSize, Offset, RecordBatch, Timestamp, TopicPartition};

use crate::errors::StoreError;
use crate::summary::{Found, Summary};
use crate::topic::TopicConfig;

#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod disk;
pub(crate) mod memory;

/// All partitions of a node.
pub(crate) trait LogStore: fmt::Debug + Send + Sync {
    /// Opens a partition's log, which may be empty. `recover` is called next.
    fn open(
        &self,
        name: &TopicPartition,
        config: &TopicConfig,
    ) -> Result<Box<dyn PartitionStore>, StoreError>;

    /// Removes a closed partition's log and all its records; none there is fine.
    fn remove(&self, name: &TopicPartition) -> Result<(), StoreError>;

    /// What did not open and was kept aside since the node started.
    fn set_aside(&self) -> Vec<SetAside>;
}

/// One partition's log.
pub(crate) trait PartitionStore: fmt::Debug + Send + Sync {
    /// Finds out what the log holds: at open, and after a `write`, `flush` or `roll` that
    /// failed. An incomplete last batch is removed.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// Begins to append batches, which carry their offsets and follow the last one written, and
    /// answers how many it took: all, unless `more` are coming, with which the rest goes better.
    /// `before` tells of all earlier ones.
    fn write(
        &self,
        batches: &[RecordBatch],
        before: Before<'_>,
        more: bool,
    ) -> Result<usize, StoreError>;

    /// Once it returns `Ok` all that was written survives what the node's durability says.
    fn flush(&self) -> Result<(), StoreError>;

    /// Writes and flushes batches.
    #[cfg(test)]
    fn append(&self, batches: &[RecordBatch], before: &Summary) -> Result<(), StoreError> {
        let taken = self.write(batches, Before::new(before, &[]), false)?;
        assert_eq!(taken, batches.len());
        self.flush()
    }

    /// Whole batches, from the one that holds `from` or the first after it, below `end`: at
    /// least one if there is any, further ones while all fit in `limit`.
    fn read(
        &self,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Vec<RecordBatch>, StoreError>;

    /// The first record in [from, end) whose time is `at` or later. Within a compressed batch
    /// the batch's first offset is answered.
    fn offset_for(
        &self,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError>;

    /// Raises the log start. Whole segments below it go; `start` may be the log's end.
    fn set_start(&self, start: Offset) -> Result<(), StoreError>;

    /// Closes the newest segment, if it holds anything; the next append begins another.
    fn roll(&self, summary: &Summary) -> Result<(), StoreError>;

    /// Rolls and removes segments as the topic's settings say. Answers the new log start if
    /// anything was removed.
    fn maintain(&self, now: Timestamp, summary: &Summary) -> Result<Option<Offset>, StoreError>;

    /// Takes new settings of the topic.
    fn configure(&self, config: &TopicConfig);

    /// Bytes of batches held.
    fn bytes(&self) -> ByteSize;

    /// Lets go of all files. Nothing else is called afterwards, except reads, which may fail.
    fn close(&self, summary: &Summary) -> Result<(), StoreError>;
}

/// All that comes before some batch: what is derived from most of it, and the rest itself, so
/// that the sum is made only when somebody needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    summary: &'a Summary,
    since: [&'a [RecordBatch]; 2],
}

impl<'a> Before<'a> {
    /// All that `summary` tells of, and then `since`.
    pub(crate) fn new(summary: &'a Summary, since: &'a [RecordBatch]) -> Self {
        let since = [since, &[]];
        Self { summary, since }
    }

    /// The same, and then `next`.
    pub(crate) fn and(self, next: &'a [RecordBatch]) -> Self {
        let since = [self.since[0], next];
        Self { since, ..self }
    }

    /// What is derived from all of it.
    pub(crate) fn summary(&self) -> Cow<'a, Summary> {
        let mut summary = Cow::Borrowed(self.summary);
        for batch in self.since.iter().copied().flatten() {
            summary.to_mut().note(batch.header());
        }
        summary
    }
}

/// What a partition's log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The first offset that may be read.
    pub(crate) start: Offset,
    /// The offset of the next record.
    pub(crate) end: Offset,
    /// Derived from all batches.
    pub(crate) summary: Summary,
}

/// A segment that did not open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Whose.
    pub partition: TopicPartition,
    /// Its first offset.
    pub first: Offset,
    /// The offset after its last one, as far as could be told.
    pub next: Offset,
    /// Where its files are kept.
    pub kept_at: PathBuf,
    /// Why it did not open.
    pub reason: String,
}

/// The first record of `batch` in [from, ..) at or after `at`.
///
/// # Errors
/// The batch does not read.
pub(crate) fn find_in_batch(
    batch: &RecordBatch,
    from: Offset,
    at: Timestamp,
) -> Result<Option<Found>, StoreError> {
    let header = batch.header();
    if header.max_timestamp < at {
        return Ok(None);
    }
    match batch.records() {
        Ok(records) => Ok(records
            .iter()
            .find(|r| r.offset >= from && r.record.timestamp >= at)
            .map(|r| Found {
                offset: r.offset,
                timestamp: r.record.timestamp,
            })),
        Err(wstream_record::BatchError::Compressed(_)) => Ok(Some(Found {
            offset: header.base_offset.max(from),
            timestamp: header.max_timestamp,
        })),
        Err(source) => Err(StoreError::Corrupt {
            at: header.base_offset,
            source,
        }),
    }
}

/// Whether the newest record of a segment is older than `keep`.
pub(crate) fn is_expired(newest: Timestamp, now: Timestamp, keep: std::time::Duration) -> bool {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    newest.0 < now.0.saturating_sub(keep)
}
