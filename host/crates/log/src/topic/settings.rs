//! The settings of a topic as text: keys, defaults, and what values are possible.

use std::time::Duration;

use wstream_record::ByteSize;

use super::{Cleanup, RetentionBy, TopicConfig};

pub(super) const RETENTION_BYTES: &str = "retention.bytes";
pub(super) const RETENTION_MS: &str = "retention.ms";
pub(super) const RETENTION_BY: &str = "retention.by";
pub(super) const CLEANUP_POLICY: &str = "cleanup.policy";
pub(super) const DELETE_RETENTION_MS: &str = "delete.retention.ms";
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(super) const SEGMENT_BYTES: &str = "segment.bytes";
pub(super) const SEGMENT_MS: &str = "segment.ms";
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// No bound, as Kafka writes it.
pub(super) const NONE: &str = "-1";
/// Bytes of a value; none that means something is longer.
const VALUE_BYTES_MAX: usize = 64;
/// Characters of what is repeated in a message.
const SHOWN_CHARS_MAX: usize = 80;
/// Kafka's sizes are of 31 bits.
const SIZE_MAX: i64 = i32::MAX as i64;
/// Kafka's bound on a segment's smallest size: one batch's header more or less.
const SEGMENT_BYTES_MIN: i64 = 14;
/// Replicas are counted in 16 bits.
const REPLICAS_MAX: i64 = i16::MAX as i64;

/// Why `segment.bytes` changes nothing.
const SHARED_SEGMENTS: &str = "all partitions share segments of the node's own size, and retention removes a partition's \
     records by the MiB; segment.ms says how soon compaction reaches them";
/// Why `min.insync.replicas` changes nothing.
const ONE_REPLICA: &str = "each partition has one replica, which has every batch that is answered";

/// A setting of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its key.
    pub key: &'static str,
    /// What it means.
    pub documentation: &'static str,
    /// Why it changes nothing, if so: it is taken because Kafka's clients and tools set it.
    pub without_effect: Option<&'static str>,
}

/// All settings, by key.
pub const TOPIC_SETTINGS: &[TopicSetting] = &[
    TopicSetting {
        key: CLEANUP_POLICY,
        documentation: "how old records go: delete, by retention; compact, once a newer record has their key; or both",
        without_effect: None,
    },
    TopicSetting {
        key: DELETE_RETENTION_MS,
        documentation: "milliseconds for which a tombstone stays readable in a compacted topic",
        without_effect: None,
    },
    TopicSetting {
        key: MAX_MESSAGE_BYTES,
        documentation: "bytes of the largest batch taken",
        without_effect: None,
    },
    TopicSetting {
        key: MIN_INSYNC_REPLICAS,
        documentation: "replicas that must have a batch before acks=all is answered; changes nothing here",
        without_effect: Some(ONE_REPLICA),
    },
    TopicSetting {
        key: RETENTION_BY,
        documentation: "what retention.ms counts from: append, when a record was appended; record, its own timestamp, which counts as at most the time of the append",
        without_effect: None,
    },
    TopicSetting {
        key: RETENTION_BYTES,
        documentation: "bytes a partition keeps, beyond which the oldest records go; -1 keeps all",
        without_effect: None,
    },
    TopicSetting {
        key: RETENTION_MS,
        documentation: "milliseconds after which records go; -1 keeps all",
        without_effect: None,
    },
    TopicSetting {
        key: SEGMENT_BYTES,
        documentation: "bytes of a segment; changes nothing here, where all partitions share segments and retention goes by the MiB",
        without_effect: Some(SHARED_SEGMENTS),
    },
    TopicSetting {
        key: SEGMENT_MS,
        documentation: "milliseconds until what was appended lies in a closed segment, which compaction reaches; the shortest of all topics counts, at least 60000",
        without_effect: None,
    },
];

impl TopicSetting {
    /// Its value where nobody sets one.
    #[must_use]
    pub fn default_value(&self) -> String {
        value_of(&TopicConfig::default(), self.key).unwrap_or_default()
    }
}

/// Sets what a key says; otherwise the reason why not.
pub(super) fn set(config: &mut TopicConfig, key: &str, value: &str) -> Result<(), String> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!(
            "it has {} bytes, at most {VALUE_BYTES_MAX} make sense",
            value.len()
        ));
    }
    match key {
        RETENTION_BYTES => config.retention_bytes = bound(value)?.map(ByteSize),
        RETENTION_MS => config.retention_age = bound(value)?.map(Duration::from_millis),
        RETENTION_BY => config.retention_by = parse_retention_by(value)?,
        CLEANUP_POLICY => config.cleanup = parse_cleanup(value)?,
        DELETE_RETENTION_MS => {
            config.tombstones_kept = Duration::from_millis(number(value, 0, i64::MAX)?);
        }
        MAX_MESSAGE_BYTES => config.max_message_bytes = ByteSize(number(value, 1, SIZE_MAX)?),
        SEGMENT_BYTES => {
            config.segment_bytes = ByteSize(number(value, SEGMENT_BYTES_MIN, SIZE_MAX)?);
        }
        SEGMENT_MS => config.segment_age = Duration::from_millis(number(value, 1, i64::MAX)?),
        MIN_INSYNC_REPLICAS => {
            let replicas = number(value, 1, REPLICAS_MAX)?;
            config.min_insync_replicas = u32::try_from(replicas).map_err(|e| e.to_string())?;
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

pub(super) fn value_of(config: &TopicConfig, key: &str) -> Option<String> {
    Some(match key {
        RETENTION_BYTES => none_or(config.retention_bytes.map(|b| b.to_string())),
        RETENTION_MS => none_or(config.retention_age.map(millis)),
        RETENTION_BY => retention_by(config.retention_by).to_owned(),
        CLEANUP_POLICY => cleanup(config.cleanup).to_owned(),
        DELETE_RETENTION_MS => millis(config.tombstones_kept),
        MAX_MESSAGE_BYTES => config.max_message_bytes.to_string(),
        SEGMENT_BYTES => config.segment_bytes.to_string(),
        SEGMENT_MS => millis(config.segment_age),
        MIN_INSYNC_REPLICAS => config.min_insync_replicas.to_string(),
        _ => return None,
    })
}

/// What is repeated in a message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

pub(super) fn millis(duration: Duration) -> String {
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    millis.to_string()
}

pub(super) fn retention_by(by: RetentionBy) -> &'static str {
    match by {
        RetentionBy::Append => "append",
        RetentionBy::Record => "record",
    }
}

pub(super) fn cleanup(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
        Cleanup::CompactAndDelete => "compact,delete",
    }
}

fn none_or(value: Option<String>) -> String {
    value.unwrap_or_else(|| NONE.to_owned())
}

fn number(value: &str, min: i64, max: i64) -> Result<u64, String> {
    let out = || format!("it is a whole number from {min} to {max}");
    let number: i64 = value.trim().parse().map_err(|_| out())?;
    if !(min..=max).contains(&number) {
        return Err(out());
    }
    u64::try_from(number).map_err(|_| out())
}

/// A bound, or none.
fn bound(value: &str) -> Result<Option<u64>, String> {
    if value.trim() == NONE {
        return Ok(None);
    }
    let bound = number(value, 0, i64::MAX);
    bound.map(Some).map_err(|_| {
        format!(
            "it is a whole number from 0 to {}, or -1 for none",
            i64::MAX
        )
    })
}

fn parse_retention_by(value: &str) -> Result<RetentionBy, String> {
    match value.trim() {
        "append" => Ok(RetentionBy::Append),
        "record" => Ok(RetentionBy::Record),
        _ => Err("it is append or record".to_owned()),
    }
}

fn parse_cleanup(value: &str) -> Result<Cleanup, String> {
    let (mut deletes, mut compacts) = (false, false);
    for policy in value.split(',') {
        match policy.trim() {
            "delete" => deletes = true,
            "compact" => compacts = true,
            _ => return Err("it is delete, compact, or both with a comma between".to_owned()),
        }
    }
    Ok(match (compacts, deletes) {
        (true, true) => Cleanup::CompactAndDelete,
        (true, false) => Cleanup::Compact,
        _ => Cleanup::Delete,
    })
}

fn unknown() -> String {
    let keys: Vec<&str> = TOPIC_SETTINGS.iter().map(|s| s.key).collect();
    format!("there is no such setting; there are {}", keys.join(", "))
}
