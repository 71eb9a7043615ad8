//! A record of the batch in work: borrowed from the frame, nothing copied.

use serde::Deserialize;

use crate::frame::{FrameError, Reader};
use crate::{Failure, json};

/// One record. Offsets, partitions and times are the ABI's plain integers: this crate depends on
/// nothing of the host.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
    /// Key, value and headers as the frame holds them: an output has the same layout.
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the next record of a batch.
    #[inline]
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        topic: &'a str,
        partition: i32,
    ) -> Result<Self, FrameError> {
        let offset = reader.i64()?;
        let timestamp_ms = reader.i64()?;
        let start = reader.rest();
        let key = reader.nullable()?;
        let value = reader.nullable()?;
        let headers = Headers::read(reader)?;
        let body = start
            .get(..start.len() - reader.rest().len())
            .ok_or(FrameError)?;
        Ok(Self {
            topic,
            partition,
            offset,
            timestamp_ms,
            key,
            value,
            headers,
            body,
        })
    }

    /// The topic it came from.
    #[must_use]
    pub const fn topic(&self) -> &'a str {
        self.topic
    }

    /// The partition it came from.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.partition
    }

    /// Its offset there.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Milliseconds since 1970; -1 is unknown.
    #[must_use]
    pub const fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// The key; `None` is null.
    #[must_use]
    pub const fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is null.
    #[must_use]
    pub const fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The first header of that name that has a value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers
            .iter()
            .find(|h| h.name == name.as_bytes() && h.value.is_some())
            .and_then(|h| h.value)
    }

    /// The value as a JSON object whose fields can be looked up and edited.
    ///
    /// # Errors
    /// There is no value, or it is not a JSON object.
    #[inline]
    pub fn json(&self) -> Result<json::Object<'a>, Failure> {
        Ok(json::Object::parse(self.value.ok_or_else(no_value)?)?)
    }

    /// The value read with serde.
    ///
    /// # Errors
    /// There is no value, or it is not JSON of this type.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        let value = self.value.ok_or_else(no_value)?;
        let parsed = match std::str::from_utf8(value) {
            // Looked at once, and not string by string.
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(value),
        };
        Ok(parsed?)
    }

    pub(crate) const fn body(&self) -> &'a [u8] {
        self.body
    }
}

#[cold]
fn no_value() -> Failure {
    Failure::message("the record has no value")
}

/// The headers of a record, in order; names may repeat.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

/// A header: a name, and a value that may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, UTF-8 by convention.
    pub name: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub(crate) const NONE: Self = Self {
        count: 0,
        bytes: &[],
    };

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let count = reader.u32()?;
        let start = reader.rest();
        for _ in 0..count {
            Header::read(reader)?;
        }
        let bytes = start
            .get(..start.len() - reader.rest().len())
            .ok_or(FrameError)?;
        Ok(Self { count, bytes })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers one by one.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || Header::read(&mut reader).ok())
    }

    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Header<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let name = reader.sized()?;
        let value = reader.nullable()?;
        Ok(Self { name, value })
    }
}
