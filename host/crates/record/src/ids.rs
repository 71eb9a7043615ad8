//! Names, positions and sizes. Each is a type of its own, so that the compiler keeps an offset
//! from being taken for a partition.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest topic name, in bytes: Kafka's bound.
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// A topic's name: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` and not `..`, as in Kafka.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name a topic: use 1 to {TOPIC_NAME_BYTES_MAX} of a-z, A-Z, 0-9, '.', '_', '-', and not '.' or '..'"
)]
pub struct InvalidTopicName {
    /// What was given.
    pub name: String,
}

impl TopicName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// The text is empty, too long, has another character, or is `.` or `..`.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let fits = (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len());
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits && plain && name != "." && name != ".." {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTopicName {
                name: name.to_owned(),
            })
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Internal topics start with two underscores and are not listed by default.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.starts_with("__")
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TopicName {
    type Err = InvalidTopicName;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// The number of a partition within its topic, from 0.
    PartitionId, i32
}
number! {
    /// A record's position in its partition, from 0. As an end it is exclusive.
    Offset, i64
}
number! {
    /// Counts the leaders a partition has had; stamped into every stored batch.
    LeaderEpoch, i32
}
number! {
    /// Identifies an idempotent producer; -1 means none.
    ProducerId, i64
}
number! {
    /// Counts the incarnations of one producer id.
    ProducerEpoch, i16
}
number! {
    /// Counts the incarnations of a transaction coordinator; -1 means none.
    CoordinatorEpoch, i32
}
number! {
    /// The number of a producer's record within one partition; wraps to 0 after `i32::MAX`.
    Sequence, i32
}
number! {
    /// Milliseconds since 1970-01-01T00:00:00Z; -1 means none.
    Timestamp, i64
}
number! {
    /// A count of bytes.
    ByteSize, u64
}

impl Offset {
    /// The offset `count` records later.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl Sequence {
    /// The sequence `count` records later, wrapping as Kafka's does.
    #[must_use]
    pub fn plus(self, count: i32) -> Self {
        let sum = i64::from(self.0) + i64::from(count);
        let wrapped = sum.rem_euclid(i64::from(i32::MAX) + 1);
        Self(i32::try_from(wrapped).expect("a remainder of 2^31 fits in i32"))
    }
}

impl Timestamp {
    /// No timestamp.
    pub const NONE: Self = Self(-1);
    /// The earliest time that is kept: 1970-01-01T00:00:00Z.
    pub const MIN_VALID: Self = Self(0);
    /// The latest time that is kept: 9999-12-31T23:59:59.999Z.
    pub const MAX_VALID: Self = Self(253_402_300_799_999);

    /// Whether it is none, or a time that is kept.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self == Self::NONE || (Self::MIN_VALID..=Self::MAX_VALID).contains(&self)
    }
}

impl ProducerId {
    /// No producer id: the batch is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl ByteSize {
    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }
    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
    /// `n` GiB.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }
}

/// Identifies a topic for good: a topic created again under the same name has another one.
///
/// Shown, parsed and serialized as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicId(pub [u8; 16]);

/// Why a text is not a topic id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic id: it is a UUID of 32 hexadecimal digits")]
pub struct InvalidTopicId(pub String);

impl TopicId {
    /// An id made of random bytes, marked as a UUID of version 4.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TopicId {
    type Err = InvalidTopicId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTopicId(text.to_owned());
        let digits: String = text.chars().filter(|&c| c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        u128::from_str_radix(&digits, 16)
            .map(|n| Self(n.to_be_bytes()))
            .map_err(|_| invalid())
    }
}

impl TryFrom<String> for TopicId {
    type Error = InvalidTopicId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TopicId> for String {
    fn from(id: TopicId) -> Self {
        id.to_string()
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in [
            "a",
            "A.b_c-9",
            "__consumer_offsets",
            "...",
            &"x".repeat(249),
        ] {
            assert_eq!(TopicName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "\u{fc}", &"x".repeat(250)] {
            assert_eq!(TopicName::new(bad).unwrap_err().name, bad);
        }
    }

    #[test]
    fn topic_ids_are_uuids() {
        let id = TopicId::from_random([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse::<TopicId>(), Ok(id));
        for bad in [
            "",
            "ff",
            "ffffffff-ffff-4fff-bfff-fffffffffffg",
            "+fffffffffff4fffbfffffffffffffff",
        ] {
            assert!(bad.parse::<TopicId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(0), Sequence(5));
    }
}
