//! What can go wrong, one enum per operation. A variant exists if a caller acts differently on it.

use std::path::PathBuf;
use std::sync::Arc;

use wstream_record::{
    BatchError, ByteSize, CoordinatorEpoch, LeaderEpoch, Offset, ProducerEpoch, Sequence,
    Timestamp, TopicId, TopicName,
};

use crate::topic::limits::PARTITIONS_MAX;

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
    /// A database or a file failed. Nothing of what was not flushed counts.
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
    #[error("{path}: what is stored there does not read: {reason}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What does not fit.
        reason: Arc<str>,
    },
}

impl StoreError {
    /// Something at `path` that failed.
    pub(crate) fn failed(
        doing: &'static str,
        path: impl Into<PathBuf>,
        reason: &dyn ToString,
    ) -> Self {
        Self::Failed {
            doing,
            path: path.into(),
            reason: reason.to_string().into(),
        }
    }

    /// Something at `path` that is not what was stored.
    pub(crate) fn damaged(path: impl Into<PathBuf>, reason: &dyn ToString) -> Self {
        Self::Damaged {
            path: path.into(),
            reason: reason.to_string().into(),
        }
    }
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
    /// The batch is not one that a producer sends, or not one that follows the log's end.
    #[error("batch cannot be appended: {0}")]
    Malformed(&'static str),
    /// A record's time is outside the range that is kept.
    #[error(
        "timestamp {found} is outside {} to {}, or -1 for none",
        Timestamp::MIN_VALID,
        Timestamp::MAX_VALID
    )]
    Timestamp {
        /// What came.
        found: Timestamp,
    },
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
    /// A newer incarnation of the transaction coordinator has ended a transaction of the producer here.
    #[error("the transaction coordinator's epoch is {found}, the current one {current}")]
    FencedCoordinator {
        /// The newest seen.
        current: CoordinatorEpoch,
        /// What came.
        found: CoordinatorEpoch,
    },
    /// This node does not lead the partition.
    #[error("the partition is not led here (epoch {epoch})")]
    NotLeader {
        /// The epoch known here.
        epoch: LeaderEpoch,
    },
    /// The caller's leader epoch is not the partition's.
    #[error("the caller's leader epoch is {found}, the partition's {current}")]
    FencedLeader {
        /// The epoch known here.
        current: LeaderEpoch,
        /// The caller's.
        found: LeaderEpoch,
    },
    /// The file system is nearly full; appends work again once there is room.
    #[error("disk has {free} bytes free, appends need {min}")]
    DiskFull {
        /// Bytes left.
        free: ByteSize,
        /// `disk_free_min`.
        min: ByteSize,
    },
    /// The partition takes no appends here until someone looks after it.
    #[error("the partition is offline: {reason}")]
    Offline {
        /// Why.
        reason: Arc<str>,
    },
    /// The partition was deleted or the log closed.
    #[error("the partition is closed")]
    Closed,
    /// The write failed. The batch is not in the log, or it will be found there as a duplicate by
    /// an idempotent producer that sends it again.
    #[error("could not append: {0}")]
    Failed(Arc<StoreError>),
}

impl AppendError {
    /// Whether the same batch may be taken later, without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::FencedLeader { .. }
            | Self::DiskFull { .. }
            | Self::Offline { .. }
            | Self::Failed(_) => true,
            Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::Timestamp { .. }
            | Self::OutOfOrderSequence { .. }
            | Self::FencedProducer { .. }
            | Self::FencedCoordinator { .. }
            | Self::Closed => false,
        }
    }
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
        /// The end for this kind of reader.
        end: Offset,
    },
    /// The caller knows an older leader than this node does.
    #[error("the caller's leader epoch is {found}, the partition's {current}")]
    FencedLeader {
        /// The epoch known here.
        current: LeaderEpoch,
        /// The caller's.
        found: LeaderEpoch,
    },
    /// The caller knows a newer leader than this node does.
    #[error("the caller's leader epoch is {found}, here only {current} is known")]
    UnknownLeader {
        /// The epoch known here.
        current: LeaderEpoch,
        /// The caller's.
        found: LeaderEpoch,
    },
    /// The partition was deleted or the log closed.
    #[error("the partition is closed")]
    Closed,
    /// A stored batch does not read.
    #[error("the batch at offset {at} does not read: {source}")]
    Corrupt {
        /// Where.
        at: Offset,
        /// Why.
        source: BatchError,
    },
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
    /// The start could not be raised.
    #[error("could not delete: {0}")]
    Append(#[from] AppendError),
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
    /// There is no data of an unknown topic of that id.
    #[error("there is no forgotten data of topic {0}")]
    NotForgotten(TopicId),
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
    /// A setting is unknown or its value impossible.
    #[error("topic setting {key} = {value:?}: {reason}")]
    Setting {
        /// The setting.
        key: String,
        /// What was given.
        value: String,
        /// What does not fit.
        reason: String,
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
    /// What is stored is not what was stored: nothing is changed until somebody decides.
    #[error(
        "the metadata in {path} is damaged: {reason}; everything up to command {intact} reads. Nothing was changed. \
         `wstream restore --data DIR` goes back to what reads and keeps the damaged files aside"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What does not fit.
        reason: String,
        /// The last command that reads.
        intact: u64,
    },
    /// The store failed.
    #[error("metadata: {0}")]
    Store(#[from] StoreError),
    /// The log is closed.
    #[error("metadata: the log is closed")]
    Closed,
}

/// Why a document was not put or deleted under a condition.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DocumentError {
    /// There is one of that name.
    #[error("the document exists already, in version {version}")]
    Exists {
        /// Its version.
        version: u64,
    },
    /// It was changed or deleted meanwhile.
    #[error("the document has another version than expected: {}", found.map_or_else(|| "it is not there".to_owned(), |v| v.to_string()))]
    Version {
        /// What it has; `None` if there is no such document.
        found: Option<u64>,
    },
    /// The metadata store failed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}
