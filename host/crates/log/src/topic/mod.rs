//! What a topic is: an id for good, a name, a number of partitions, and settings that say what its
//! partitions keep.
//!
//! What was asked for (`TopicSpec`) and what holds (`TopicConfig`) are two things: settings that
//! nobody set follow the defaults of the version that runs. Keys and values are Kafka's where Kafka
//! has them; all of them with their defaults are in `TOPIC_SETTINGS`.

pub(crate) mod limits;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wstream_record::{ByteSize, TopicId, TopicName};

pub use self::limits::PARTITIONS_MAX;
pub use self::settings::{TOPIC_SETTINGS, TopicSetting};
use crate::errors::TopicError;

/// Kafka's bound on one batch: 1 MiB and the log overhead of 12 bytes.
pub const MESSAGE_BYTES_MAX_DEFAULT: ByteSize = ByteSize((1 << 20) + 12);
/// Kafka's `segment.bytes`, which changes nothing here.
pub const SEGMENT_BYTES_DEFAULT: ByteSize = ByteSize::mib(32);
/// Kafka's `segment.ms`.
pub const SEGMENT_AGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Kafka's `delete.retention.ms`.
pub const TOMBSTONES_KEPT_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// What retention by age goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionBy {
    /// When a record was appended here.
    #[default]
    Append,
    /// The record's own timestamp, as in Kafka, but at most the time it was appended here.
    Record,
}

/// How old records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// By retention.
    #[default]
    Delete,
    /// Once a newer record has their key.
    Compact,
    /// Both.
    CompactAndDelete,
}

impl Cleanup {
    /// Whether retention removes records.
    #[must_use]
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactAndDelete)
    }

    /// Whether only the last record of a key stays.
    #[must_use]
    pub fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactAndDelete)
    }
}

/// A topic's settings as they hold: what was set, and defaults for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicConfig {
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Bytes a partition keeps; beyond that the oldest go. `None` keeps all.
    pub retention_bytes: Option<ByteSize>,
    /// Age at which records go. `None` keeps all.
    pub retention_age: Option<Duration>,
    /// What the age is counted from.
    pub retention_by: RetentionBy,
    /// How old records go.
    pub cleanup: Cleanup,
    /// How long a tombstone stays readable in a compacted topic.
    pub tombstones_kept: Duration,
    /// Bytes of the largest batch taken.
    pub max_message_bytes: ByteSize,
    /// Taken for Kafka's clients; changes nothing.
    pub segment_bytes: ByteSize,
    /// Age at which the segments that hold its records roll, so that compaction reaches them.
    pub segment_age: Duration,
    /// Replicas that must have a batch before `acks=all` is answered.
    pub min_insync_replicas: u32,
    /// Whether the configuration file declares the topic: then it is read-only over HTTP.
    pub defined_in_file: bool,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention_bytes: None,
            retention_age: None,
            retention_by: RetentionBy::default(),
            cleanup: Cleanup::default(),
            tombstones_kept: TOMBSTONES_KEPT_DEFAULT,
            max_message_bytes: MESSAGE_BYTES_MAX_DEFAULT,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segment_age: SEGMENT_AGE_DEFAULT,
            min_insync_replicas: 1,
            defined_in_file: false,
        }
    }
}

impl TopicConfig {
    /// The value of a setting as text, as Kafka would show it; `None` for an unknown key.
    #[must_use]
    pub fn value_of(&self, key: &str) -> Option<String> {
        settings::value_of(self, key)
    }
}

/// What is asked of a topic: partitions, and the settings that differ from the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Settings by key. They are checked when the topic is created or altered.
    pub overrides: BTreeMap<String, String>,
    /// Whether the configuration file declares the topic.
    pub defined_in_file: bool,
}

impl Default for TopicSpec {
    fn default() -> Self {
        Self::partitions(1)
    }
}

impl TopicSpec {
    /// The defaults with `partitions` partitions.
    #[must_use]
    pub fn partitions(partitions: i32) -> Self {
        Self {
            partitions,
            overrides: BTreeMap::new(),
            defined_in_file: false,
        }
    }

    /// With a setting.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.overrides.insert(key.to_owned(), value.into());
        self
    }

    /// With a bound on the bytes of a partition; `None` keeps all.
    #[must_use]
    pub fn retention_bytes(self, bytes: Option<ByteSize>) -> Self {
        let value = bytes.map_or_else(|| settings::NONE.to_owned(), |b| b.to_string());
        self.with(settings::RETENTION_BYTES, value)
    }

    /// With a bound on the age of records; `None` keeps all.
    #[must_use]
    pub fn retention_age(self, age: Option<Duration>) -> Self {
        let value = age.map_or_else(|| settings::NONE.to_owned(), settings::millis);
        self.with(settings::RETENTION_MS, value)
    }

    /// With what the age is counted from.
    #[must_use]
    pub fn retention_by(self, by: RetentionBy) -> Self {
        self.with(settings::RETENTION_BY, settings::retention_by(by))
    }

    /// With how old records go.
    #[must_use]
    pub fn cleanup(self, cleanup: Cleanup) -> Self {
        self.with(settings::CLEANUP_POLICY, settings::cleanup(cleanup))
    }

    /// With how long tombstones stay readable.
    #[must_use]
    pub fn tombstones_kept(self, kept: Duration) -> Self {
        self.with(settings::DELETE_RETENTION_MS, settings::millis(kept))
    }

    /// With a bound on one batch.
    #[must_use]
    pub fn max_message_bytes(self, bytes: ByteSize) -> Self {
        self.with(settings::MAX_MESSAGE_BYTES, bytes.to_string())
    }

    /// With `segment.bytes`, which changes nothing.
    #[must_use]
    pub fn segment_bytes(self, bytes: ByteSize) -> Self {
        self.with(settings::SEGMENT_BYTES, bytes.to_string())
    }

    /// With the age at which the segments that hold its records roll.
    #[must_use]
    pub fn segment_age(self, age: Duration) -> Self {
        self.with(settings::SEGMENT_MS, settings::millis(age))
    }

    /// With how many replicas must have a batch before `acks=all` is answered.
    #[must_use]
    pub fn min_insync_replicas(self, replicas: u32) -> Self {
        self.with(settings::MIN_INSYNC_REPLICAS, replicas.to_string())
    }

    /// Declared by the configuration file, or not.
    #[must_use]
    pub fn defined_in_file(mut self, defined: bool) -> Self {
        self.defined_in_file = defined;
        self
    }

    /// What comes of it.
    ///
    /// # Errors
    /// The number of partitions, a key or a value is impossible.
    pub fn resolve(&self) -> Result<TopicConfig, TopicError> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            let partitions = self.partitions;
            return Err(TopicError::Partitions { partitions });
        }
        let mut config = TopicConfig {
            partitions: self.partitions,
            defined_in_file: self.defined_in_file,
            ..TopicConfig::default()
        };
        for (key, value) in &self.overrides {
            settings::set(&mut config, key, value).map_err(|reason| TopicError::Setting {
                key: settings::shortened(key),
                value: settings::shortened(value),
                reason,
            })?;
        }
        Ok(config)
    }
}

/// How a topic is altered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TopicChange {
    /// All of it: settings that are not named go back to their defaults.
    Whole(TopicSpec),
    /// What is named; the rest stays.
    Some {
        /// A new number of partitions, at least the old one.
        partitions: Option<i32>,
        /// Settings to set.
        set: BTreeMap<String, String>,
        /// Settings that go back to their defaults; one that was not set is fine.
        unset: BTreeSet<String>,
    },
}

impl TopicChange {
    /// What the topic is asked to be once this is done to `info`.
    #[must_use]
    pub fn applied_to(&self, info: &TopicInfo) -> TopicSpec {
        match self {
            Self::Whole(spec) => spec.clone(),
            Self::Some {
                partitions,
                set,
                unset,
            } => {
                let mut spec = info.spec();
                spec.partitions = partitions.unwrap_or(spec.partitions);
                spec.overrides.retain(|key, _| !unset.contains(key));
                spec.overrides
                    .extend(set.iter().map(|(k, v)| (k.clone(), v.clone())));
                spec
            }
        }
    }
}

impl From<TopicSpec> for TopicChange {
    fn from(spec: TopicSpec) -> Self {
        Self::Whole(spec)
    }
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// Which one it is, for good.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its settings as they hold.
    pub config: TopicConfig,
    /// The settings that were set, by key; the others are defaults.
    pub overrides: BTreeMap<String, String>,
}

impl TopicInfo {
    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> TopicSpec {
        TopicSpec {
            partitions: self.config.partitions,
            overrides: self.overrides.clone(),
            defined_in_file: self.config.defined_in_file,
        }
    }
}
