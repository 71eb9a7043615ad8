//! What a topic is: its name, its number of partitions, and what its partitions keep.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wstream_record::{ByteSize, TopicName};

/// Most partitions of one topic.
pub const PARTITIONS_MAX: i32 = 10_000;
/// Kafka's bound on one batch: 1 MiB and the log overhead of 12 bytes.
pub const MESSAGE_BYTES_MAX_DEFAULT: ByteSize = ByteSize((1 << 20) + 12);
/// Where a segment rolls. An active segment is in memory as a whole.
pub const SEGMENT_BYTES_DEFAULT: ByteSize = ByteSize::mib(32);
/// When a segment rolls.
pub const SEGMENT_AGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// No segment is made smaller than this for the sake of retention.
const SEGMENT_BYTES_FOR_RETENTION_MIN: ByteSize = ByteSize::mib(1);

/// A topic's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicConfig {
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Bytes a partition keeps; beyond that whole segments go, oldest first. `None` keeps all.
    pub retention_bytes: Option<ByteSize>,
    /// Age at which whole segments go, by their newest record. `None` keeps all.
    pub retention_age: Option<Duration>,
    /// Bytes at which a segment rolls.
    pub segment_bytes: ByteSize,
    /// Age at which a segment rolls.
    pub segment_age: Duration,
    /// Bytes of the largest batch taken.
    pub max_message_bytes: ByteSize,
    /// Whether the configuration file declares the topic: then it is read-only over HTTP.
    pub defined_in_file: bool,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention_bytes: None,
            retention_age: None,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segment_age: SEGMENT_AGE_DEFAULT,
            max_message_bytes: MESSAGE_BYTES_MAX_DEFAULT,
            defined_in_file: false,
        }
    }
}

impl TopicConfig {
    /// The defaults with `partitions` partitions.
    #[must_use]
    pub fn partitions(partitions: i32) -> Self {
        Self {
            partitions,
            ..Self::default()
        }
    }

    /// Where a segment rolls: early enough that retention by bytes, which removes whole
    /// segments, overshoots by no more than a quarter.
    #[must_use]
    pub fn segment_bytes_effective(&self) -> ByteSize {
        let quarter = |kept: ByteSize| ByteSize(kept.0 / 4).max(SEGMENT_BYTES_FOR_RETENTION_MIN);
        let bound = self.retention_bytes.map_or(ByteSize(u64::MAX), quarter);
        self.segment_bytes.min(bound)
    }
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Its settings.
    pub config: TopicConfig,
}
