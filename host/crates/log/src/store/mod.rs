//! Where the partitions' batches are kept: the seam between a partition's rules and bytes.
//!
//! ```text
//!  marks of a partition
//!
//!   gone            readable              not committed
//!  ......|==============================|---------------|
//!     log start    last stable    high watermark     log end
//! ```
//!
//! A store keeps *streams*; each partition belongs to one of them. The one writer of a stream calls
//! `write` and `flush`; nothing that was written is visible, or counts, before `flush` has returned
//! `Ok`. After an error of either, nothing of what was written since the last `flush` is there, nor
//! will it be found by a later start: the caller may write it again at the same offsets.
//! `read`, `offset_for` and the like come from any thread at any time.
//! A store knows no producers, roles, queues or tasks. `memory` holds everything in memory, `disk`
//! in streams of sled databases; both pass `conformance`.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use serde::Serialize;
use wstream_record::{
    BatchHeader, ByteSize, Offset, PartitionId, RecordBatch, Timestamp, TopicId, TopicPartition,
};

pub use self::aborted::Aborted;
use crate::errors::StoreError;
pub(crate) use crate::sled::Done;

pub(crate) mod aborted;
pub(crate) mod compact;
#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod disk;
pub(crate) mod find;
pub(crate) mod memory;

/// Whose data it is. Names are the metadata's; data belongs to ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionId,
}

/// Something that happens to a partition, in the order of its stream.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A batch with its offset and epoch, at or above the partition's end (gaps are legal).
    Batch(RecordBatch),
    /// The log start was raised: nothing below is readable any more.
    Start(Offset),
    /// Truncated: the batches from this boundary of batches on are gone, the log ends here.
    End(Offset),
    /// Emptied: the log begins and ends here.
    Reset(Offset),
    /// Everything below was committed.
    HighWatermark(Offset),
    /// The partition was deleted with all it holds.
    Gone,
}

/// What is derived from a partition's batches, as bytes that only the partition reads.
pub(crate) type Derived = Vec<(PartitionKey, Vec<u8>)>;

/// Takes up what a store holds when it opens.
pub(crate) trait Replay {
    /// What was derived as of some point; `false` if it does not read, and an older one is wanted.
    fn derived(&mut self, derived: Derived) -> bool;
    /// What came behind that point (or from the beginning), in each partition's order. For a batch,
    /// its header and, of a control batch, the whole batch. Answers what a marker aborted.
    fn entry(&mut self, key: PartitionKey, entry: ReplayEntry<'_>) -> Option<Aborted>;
}

/// Something that happened to a partition, without what nothing is derived from.
#[derive(Debug)]
pub(crate) enum ReplayEntry<'a> {
    /// A batch. `control` is given for control batches.
    Batch {
        header: &'a BatchHeader,
        control: Option<&'a RecordBatch>,
    },
    /// As in `Entry`.
    Start(Offset),
    /// As in `Entry`.
    End(Offset),
    /// It begins anew, or was deleted.
    Reset,
    /// What its markers aborted is not known of all segments: all its batches must be read.
    Incomplete,
}

/// Where a partition's log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) key: PartitionKey,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// As last noted, never above `end`.
    pub(crate) high_watermark: Offset,
}

/// What a read answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Whole batches, one or several to a part, in order; the first may begin below what was asked.
    pub(crate) parts: Vec<Bytes>,
    /// Where to go on: behind the last batch, and behind what is missing.
    pub(crate) next: Offset,
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
}

/// A stretch of a partition's log that can be removed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: Offset,
    pub(crate) next: Offset,
    /// Of batches.
    pub(crate) bytes: u64,
    /// When the newest batch was appended here.
    pub(crate) appended: Timestamp,
    /// The largest timestamp of a record.
    pub(crate) largest: Timestamp,
}

/// Offsets of a partition that were stored and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Whose; `None` if the topic is not known (any more).
    pub partition: Option<TopicPartition>,
    /// The first offset.
    pub first: Offset,
    /// The offset after the last one.
    pub next: Offset,
    /// The damaged segment, if there is one; a hole between segments has none.
    pub segment: Option<String>,
    /// Where a copy of the damaged files was put.
    pub kept_at: Option<PathBuf>,
    /// What was found.
    pub reason: String,
}

/// A store's word on offsets that are missing.
#[derive(Debug, Clone)]
pub(crate) struct Hole {
    /// `None` if it is not known whose records are missing.
    pub(crate) key: Option<PartitionKey>,
    pub(crate) first: Offset,
    pub(crate) next: Offset,
    pub(crate) segment: Option<String>,
    pub(crate) kept_at: Option<PathBuf>,
    pub(crate) reason: String,
}

/// How a topic's old records are cleaned up in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cleanup {
    /// Only the last record of each key counts below the high watermark given.
    pub(crate) compact_below: Option<Offset>,
    /// How long a tombstone stays readable, in milliseconds.
    pub(crate) tombstones_kept: i64,
}

/// The streams of a node.
pub(crate) trait LogStore: fmt::Debug + Send + Sync {
    /// Finds out what the streams hold and shows it. Called once, before anything else. What was
    /// found is made durable before this returns.
    fn recover(&self, replay: &mut dyn Replay) -> Result<Vec<Recovered>, StoreError>;

    /// Where partitions begin of which `recover` found nothing, if not at offset 0: what they held
    /// may be lost with the tail of their stream, and no offset is to be given out twice. Asked for
    /// once, after `recover`.
    fn begin_behind(&self, _keys: &[PartitionKey]) -> Result<Vec<Recovered>, StoreError> {
        Ok(Vec::new())
    }

    /// How many streams there are; they are numbered from 0.
    fn streams(&self) -> usize;

    /// The stream that a partition is written to.
    fn stream_of(&self, key: PartitionKey) -> usize;

    /// Begins to write entries at the end of a stream. `derived` is asked for what is derived from
    /// all that was flushed, when the stream rolls.
    fn write(
        &self,
        stream: usize,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError>;

    /// Begins to flush what was written so far, if there is anything, and calls `done`, on any
    /// thread, once it has come back. `flush` must follow, and answers for that part alone. `true`:
    /// more may be written before that, which the flush after it covers.
    fn begin_flush(&self, _stream: usize, _done: &Done) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Once it returns `Ok` all that was written to the stream survives what the node's durability
    /// says, and is what readers see.
    fn flush(&self, stream: usize) -> Result<(), StoreError>;

    /// Gives up what was written to the stream since the last `flush`, as after a `write` that failed.
    /// For one who does not know how far a `write` or `flush` came: one that panicked. An error if
    /// part of it may count already: then nobody knows what is there before the next start.
    fn abandon(&self, stream: usize) -> Result<(), StoreError>;

    /// Whole batches below `end`, from the one that holds `from` or the first after it: at least
    /// one if there is any, further ones while all fit in `limit`.
    fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Stored, StoreError>;

    /// The first record in [from, end) whose time is `at` or later. Within a compressed batch the
    /// batch's first offset is answered.
    fn offset_for(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError>;

    /// Shows the batches in [from, end) until `look` breaks.
    fn look(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Takes note of what a marker aborted, which was flushed: it is kept with the segment that holds
    /// the marker, and goes with it. Noting the same one again changes nothing. Called by the one
    /// writer of the stream before it writes again, and after `recover`.
    fn note_aborted(&self, key: PartitionKey, range: Aborted);

    /// Whether a transaction may have been aborted at or above `from`. Reads nothing.
    fn has_aborted(&self, key: PartitionKey, from: Offset) -> bool;

    /// What was aborted and overlaps [from, next), in the order of markers.
    fn aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, StoreError>;

    /// The boundary of batches at or below `at`: the first offset of the batch that holds it, or
    /// `at` itself if none does.
    fn boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, StoreError>;

    /// What the partition holds, oldest first.
    fn extents(&self, key: PartitionKey) -> Vec<Extent>;

    /// Bytes of batches that the partition holds.
    fn bytes(&self, key: PartitionKey) -> ByteSize;

    /// How many records readers get between the log start and `end`. Where one of these cuts a
    /// stretch of which some records are gone, as many as there may be at most.
    fn records(&self, key: PartitionKey, end: Offset) -> u64;

    /// Does some of what need not be done at once: closes segments, settles and compacts them,
    /// removes those of which nothing is alive, looks after damage. Answers whether there is more
    /// to do now. `cleanup` says what a partition's topic wants.
    fn tidy(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) -> Result<bool, StoreError>;

    /// Rolls the stream at its next write if its newest segment is older than `age_ms`.
    fn roll_if_older(&self, stream: usize, age_ms: i64);

    /// Offsets that are missing, as far as was noticed.
    fn holes(&self) -> Vec<Hole>;

    /// Why nothing should be written now, if so: the directory has gone, a disk fails.
    fn trouble(&self) -> Option<String>;

    /// Why batches are refused for want of room, if so. Other entries are taken all the same.
    fn full(&self) -> Option<String> {
        None
    }

    /// Lets go of all files, so that the next start finds all closed. Reads fail afterwards.
    fn close(&self, derived: &dyn Fn() -> Derived) -> Result<(), StoreError>;
}
