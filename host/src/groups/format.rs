//! Kafka's own record formats for committed positions: keys of version 1, values of version 3.
//!
//! Decoders return `None` for what they do not know; such records are kept as they are.

use bytes::{Buf, Bytes};

use wstream_record::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicName, TopicPartition};

use super::offsets::Committed;

/// Versions of keys of committed positions; 2 and up are other kinds of records.
const OFFSET_KEY_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
const OFFSET_KEY_VERSION: i16 = 1;
const OFFSET_VALUE_VERSION: i16 = 3;

/// Whose position of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OffsetKey {
    pub(super) group: String,
    pub(super) partition: TopicPartition,
}

impl OffsetKey {
    pub(super) fn encode(group: &str, of: &TopicPartition) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + group.len() + of.topic.as_ref().len());
        out.extend_from_slice(&OFFSET_KEY_VERSION.to_be_bytes());
        put_string(&mut out, group);
        put_string(&mut out, of.topic.as_ref());
        out.extend_from_slice(&of.partition.0.to_be_bytes());
        out
    }

    pub(super) fn decode(mut key: &[u8]) -> Option<Self> {
        let version = key.try_get_i16().ok()?;
        if !OFFSET_KEY_VERSIONS.contains(&version) {
            return None;
        }
        let group = take_string(&mut key)?;
        let topic = TopicName::new(&take_string(&mut key)?).ok()?;
        let partition = PartitionId(key.try_get_i32().ok()?);
        key.is_empty().then(|| Self {
            group,
            partition: TopicPartition::new(topic, partition),
        })
    }
}

impl Committed {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.metadata.len());
        out.extend_from_slice(&OFFSET_VALUE_VERSION.to_be_bytes());
        out.extend_from_slice(&self.offset.0.to_be_bytes());
        let epoch = self.leader_epoch.map_or(-1, |e| e.0);
        out.extend_from_slice(&epoch.to_be_bytes());
        put_string(&mut out, &self.metadata);
        out.extend_from_slice(&self.committed_at.0.to_be_bytes());
        out
    }

    /// Reads values of versions 0 to 3.
    pub(super) fn decode(value: &Bytes) -> Option<Self> {
        let mut value: &[u8] = value;
        let version = value.try_get_i16().ok()?;
        if !(0..=OFFSET_VALUE_VERSION).contains(&version) {
            return None;
        }
        let offset = Offset(value.try_get_i64().ok()?);
        let leader_epoch = if version >= 3 {
            Some(LeaderEpoch(value.try_get_i32().ok()?)).filter(|e| e.0 >= 0)
        } else {
            None
        };
        let metadata = take_string(&mut value)?;
        let committed_at = Timestamp(value.try_get_i64().ok()?);
        Some(Self {
            offset,
            leader_epoch,
            metadata,
            committed_at,
        })
    }
}

/// Java's `String.hashCode`, by which Kafka chooses a group's partition.
pub(super) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |h, unit| {
        h.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    // Names are bounded far below this by whoever takes them; a longer text is cut, not wrapped.
    let length = text.floor_char_boundary(i16::MAX.unsigned_abs().into());
    let (text, _) = text.split_at(length);
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take_string(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(input.try_get_i16().ok()?).ok()?;
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hash_as_in_java() {
        // "" and "a" by definition; the others are known values of Java's String.hashCode.
        let rows = [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("polygenelubricants", i32::MIN),
            ("\u{1f600}", 1_772_899),
        ];
        for (text, hash) in rows {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn bytes_are_kafkas() {
        // Written by hand from Kafka's OffsetCommitKey (v1) and OffsetCommitValue (v3).
        let of = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(2));
        let key = OffsetKey::encode("gr", &of);
        assert_eq!(key, b"\0\x01\0\x02gr\0\x01t\0\0\0\x02");
        let decoded = OffsetKey::decode(&key).unwrap();
        assert_eq!((decoded.group.as_str(), &decoded.partition), ("gr", &of));
        let committed = Committed {
            offset: Offset(258),
            leader_epoch: None,
            metadata: "m".to_owned(),
            committed_at: Timestamp(5),
        };
        let value = committed.encode();
        let expected = b"\0\x03\0\0\0\0\0\0\x01\x02\xff\xff\xff\xff\0\x01m\0\0\0\0\0\0\0\x05";
        assert_eq!(value, expected);
        assert_eq!(Committed::decode(&value.into()), Some(committed));
    }

    #[test]
    fn other_records_and_cut_ones_are_not_positions() {
        assert_eq!(OffsetKey::decode(b"\0\x02\0\x02gr"), None);
        let of = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(2));
        let key = OffsetKey::encode("gr", &of);
        for length in 0..key.len() {
            assert_eq!(OffsetKey::decode(&key[..length]), None, "{length}");
        }
        assert_eq!(Committed::decode(&Bytes::from_static(b"\0\x04\0")), None);
    }
}
