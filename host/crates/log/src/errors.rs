//! What can go wrong, one enum per operation. A variant exists if a caller acts differently on it.

use std::path::PathBuf;
use std::sync::Arc;

use wstream_record::{BatchError, ByteSize, Offset, ProducerEpoch, Sequence, TopicName};

use crate::topic::PARTITIONS_MAX;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file system is nearly full: nothing was written.
    #[error("disk has {free} bytes free, appends need {min}")]
    DiskFull {
        /// Bytes left.
        free: ByteSize,
        /// `disk_free_min`.
        min: ByteSize,
    },
    /// A database or a file failed. What reached the disk is found by `recover`.
    #[error("{doing} at {path}: {reason}")]
    Failed {
        /// What was done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the database or the system said.
        reason: Arc<str>,
    },
    /// Stored bytes are not what was stored.
    #[error("stored batch at offset {at} does not read: {source}")]
    Corrupt {
        /// Where.
        at: Offset,
        /// Why.
        source: BatchError,
    },
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed.
    #[error("cannot open the log: {0}")]
    Store(#[from] StoreError),
    /// The metadata failed.
    #[error("cannot open the log: {0}")]
    Metadata(#[from] MetadataError),
}

/// Why a batch was not appended. Nothing of it is in the log, except after `Failed`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The batch is larger than the topic takes.
    #[error("batch has {bytes} bytes, the topic takes {max}")]
    TooLarge {
        /// The batch's size.
        bytes: ByteSize,
        /// The topic's `max_message_bytes`.
        max: ByteSize,
    },
    /// The batch is not one that a producer sends.
    #[error("batch cannot be appended: {0}")]
    Malformed(&'static str),
    /// An idempotent producer skipped or repeated records.
    #[error("producer's sequence is {found}, expected {expected}")]
    OutOfOrderSequence {
        /// What comes next.
        expected: Sequence,
        /// What came.
        found: Sequence,
    },
    /// A newer incarnation of the producer has written here.
    #[error("producer's epoch is {found}, the current one {current}")]
    FencedProducer {
        /// The newest seen.
        current: ProducerEpoch,
        /// What came.
        found: ProducerEpoch,
    },
    /// The file system is nearly full; appends work again once there is room.
    #[error("disk has {free} bytes free, appends need {min}")]
    DiskFull {
        /// Bytes left.
        free: ByteSize,
        /// `disk_free_min`.
        min: ByteSize,
    },
    /// The partition was deleted or the log closed.
    #[error("the partition is closed")]
    Closed,
    /// The write failed. The batch may or may not be in the log; an idempotent producer that
    /// sends it again is answered rightly either way.
    #[error("could not append: {0}")]
    Failed(Arc<StoreError>),
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull { free, min } => Self::DiskFull { free, min },
            other => Self::Failed(Arc::new(other)),
        }
    }
}

/// Why nothing was read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Retention or a deletion has removed the offset.
    #[error("offset {at} is below log start {start}")]
    Trimmed {
        /// What was asked for.
        at: Offset,
        /// The oldest there is.
        start: Offset,
    },
    /// There is nothing at that offset yet.
    #[error("offset {at} is past the end {end}")]
    PastEnd {
        /// What was asked for.
        at: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The partition was deleted or the log closed.
    #[error("the partition is closed")]
    Closed,
    /// The store failed.
    #[error("could not read: {0}")]
    Failed(#[from] StoreError),
}

/// Why records were not deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeleteError {
    /// There is nothing at that offset yet.
    #[error("offset {at} is past the end {end}")]
    PastEnd {
        /// What was asked for.
        at: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The partition was deleted or the log closed.
    #[error("the partition is closed")]
    Closed,
    /// The store failed.
    #[error("could not delete: {0}")]
    Failed(#[from] StoreError),
}

/// Why live records were not written anew.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RewriteError {
    /// Something was appended since the live records were collected.
    #[error("the log ends at {end}, the live records were collected at {as_of}")]
    Moved {
        /// What the caller knew.
        as_of: Offset,
        /// What it is.
        end: Offset,
    },
    /// The live records could not be appended; the old ones are still there.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The old records could not be removed; the live ones are there as well.
    #[error(transparent)]
    Delete(#[from] DeleteError),
}

/// Why a topic was not created, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// There is one of that name.
    #[error("topic {0} exists already")]
    Exists(TopicName),
    /// There is none of that name.
    #[error("there is no topic {0}")]
    Unknown(TopicName),
    /// The number is not possible.
    #[error("a topic cannot have {partitions} partitions: 1 to {PARTITIONS_MAX}")]
    Partitions {
        /// What was asked for.
        partitions: i32,
    },
    /// Keys would move, and records be lost.
    #[error("topic {name} has {has} partitions, which cannot become {wanted}")]
    FewerPartitions {
        /// The topic.
        name: TopicName,
        /// Its partitions.
        has: i32,
        /// What was asked for.
        wanted: i32,
    },
    /// The metadata store failed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The log's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the metadata store did not take a command.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetadataError {
    /// A document, with its name, is above the bound.
    #[error("document {name} has {bytes} bytes, at most {max} are kept")]
    TooLarge {
        /// Which.
        name: String,
        /// Its size.
        bytes: ByteSize,
        /// The bound.
        max: ByteSize,
    },
    /// A stored command is not one that this version knows.
    #[error("metadata command {index} does not read: {reason}")]
    Corrupt {
        /// Which.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error("metadata: {0}")]
    Store(#[from] StoreError),
    /// The log is closed.
    #[error("metadata: the log is closed")]
    Closed,
}
