//! Records as the pipeline sees them: slices of the batch they came in, never copies.

use bytes::Bytes;

use crate::{Offset, Timestamp};

/// A header of a record. Names may repeat and may be empty; a value may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name, UTF-8 by convention.
    pub name: Bytes,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a text value.
    #[must_use]
    pub fn text(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name: Bytes::from_static(name.as_bytes()),
            value: Some(Bytes::from(value.into().into_bytes())),
        }
    }
}

/// A record that has no place in a log yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// When it happened, in milliseconds since 1970; `Timestamp::NONE` if unknown.
    pub timestamp: Timestamp,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null, a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// Bytes of key, value and headers together: what limits count.
    #[must_use]
    #[inline]
    pub fn payload_bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len))
            .sum();
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + headers
    }

    /// The first header of that name that has a value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .find(|h| h.name == name.as_bytes())
            .and_then(|h| h.value.as_ref())
    }
}

/// A record at its offset in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its offset.
    pub offset: Offset,
    /// The record.
    pub record: Record,
}
