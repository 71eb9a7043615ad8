//! What is wrong with a node's log at the moment, for people and for `/health`.

use serde::Serialize;
use wstream_record::{TopicId, TopicPartition};

/// Something that somebody must look after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum Problem {
    /// Nothing is written at the moment.
    #[error("appends are refused: {reason}")]
    Refusing {
        /// Why.
        reason: String,
    },
    /// The store does not come back from a write.
    #[error("stream {stream} has been at one write for {seconds} s")]
    Stuck {
        /// Which stream.
        stream: usize,
        /// For how long.
        seconds: u64,
    },
    /// Work of the log panicked. What could be done again, was.
    #[error("work of the log panicked {times} times since the start")]
    Panicked {
        /// How often since the node started.
        times: u64,
    },
    /// Closing, settling and removing segments fails.
    #[error("the log is not tidied up: {reason}")]
    Untidy {
        /// Why.
        reason: String,
    },
    /// There is data of a topic that the metadata does not know. It is kept.
    #[error(
        "there is data of {partitions} partitions of topic {topic}, which is not known: `wstream log forgotten` adopts or \
         discards it"
    )]
    UnknownTopic {
        /// The topic's id.
        topic: TopicId,
        /// How many of its partitions have data.
        partitions: usize,
    },
    /// Data of deleted topics could not be removed yet.
    #[error("the data of {partitions} deleted partitions could not be removed yet")]
    NotRemoved {
        /// How many partitions.
        partitions: usize,
    },
    /// A partition takes nothing.
    #[error("partition {partition} is offline: {reason}")]
    Offline {
        /// Which.
        partition: TopicPartition,
        /// Why.
        reason: String,
    },
}

impl Problem {
    /// Whether the node as a whole should get no more work.
    #[must_use]
    pub fn stops_appends(&self) -> bool {
        match self {
            Self::Refusing { .. } | Self::Stuck { .. } => true,
            Self::Panicked { .. }
            | Self::Untidy { .. }
            | Self::UnknownTopic { .. }
            | Self::NotRemoved { .. }
            | Self::Offline { .. } => false,
        }
    }
}
