//! A record as the Redpanda transform SDKs read and write it: the tail of a Kafka record.
//!
//! `varint` is zigzag LEB128 of at most ten bytes. A payload is key, value, the number of headers,
//! and each header's name and value; each is its length and its bytes, -1 for null. The decoder
//! trusts nothing, allocates nothing and copies nothing; what it takes has no bytes left over.

use bytes::Bytes;
use wstream_record::Record;

/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;
/// Longest name of a topic in the options of a write.
const TOPIC_BYTES_MAX: usize = 249;
/// The one option there is.
const OPTION_TOPIC: u8 = 1;

/// Why bytes are not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It ends within a field.
    #[error("it ends within {0}")]
    Short(&'static str),
    /// A varint of more than ten bytes.
    #[error("the length of {0} has more than ten bytes")]
    Varint(&'static str),
    /// A length below -1, or a count below 0.
    #[error("the length of {0} is negative")]
    Negative(&'static str),
    /// Bytes behind the last header.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// Options that are not a topic's name.
    #[error("the options are not a topic's name")]
    Options,
}

/// A decoded payload; it borrows the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRecord<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// How many headers there are.
    headers: usize,
    rest: &'a [u8],
}

impl<'a> PayloadRecord<'a> {
    /// Checks a payload and takes it apart.
    ///
    /// # Errors
    /// The bytes are not a payload; the first fault.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        let mut cursor = Cursor(bytes);
        let key = cursor.nullable("the key")?;
        let value = cursor.nullable("the value")?;
        let count = cursor.varint("the headers")?;
        let headers = usize::try_from(count).map_err(|_| PayloadError::Negative("the headers"))?;
        let rest = cursor.0;
        for _ in 0..headers {
            cursor.header()?;
        }
        match cursor.0.len() {
            0 => Ok(Self {
                key,
                value,
                headers,
                rest,
            }),
            left => Err(PayloadError::Trailing(left)),
        }
    }

    /// Names and values of the headers; a null name is an empty one.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut cursor = Cursor(self.rest);
        // Decoding has walked over them all.
        (0..self.headers).map(move |_| cursor.header().unwrap_or_default())
    }
}

/// The topic's name in the options of a write; `None` is the default output.
pub(crate) fn topic(options: &[u8]) -> Result<Option<&[u8]>, PayloadError> {
    let Some((&option, rest)) = options.split_first() else {
        return Ok(None);
    };
    let mut cursor = Cursor(rest);
    let name = cursor.nullable("the topic")?;
    match name {
        Some(name)
            if option == OPTION_TOPIC && cursor.0.is_empty() && name.len() <= TOPIC_BYTES_MAX =>
        {
            Ok(Some(name))
        }
        _ => Err(PayloadError::Options),
    }
}

/// What is left of the bytes.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<i64, PayloadError> {
        let mut zigzag = 0_u64;
        for (i, &byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            zigzag |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(i + 1..).unwrap_or_default();
                return Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()));
            }
        }
        Err(if self.0.len() < VARINT_BYTES_MAX {
            PayloadError::Short(field)
        } else {
            PayloadError::Varint(field)
        })
    }

    pub(crate) fn nullable(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, PayloadError> {
        let length = self.varint(field)?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| PayloadError::Negative(field))?;
        let split = self.0.split_at_checked(length);
        let (bytes, rest) = split.ok_or(PayloadError::Short(field))?;
        self.0 = rest;
        Ok(Some(bytes))
    }

    fn header(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), PayloadError> {
        let name = self.nullable("a header's name")?.unwrap_or_default();
        let value = self.nullable("a header's value")?;
        Ok((name, value))
    }
}

fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63).cast_unsigned()
}

fn varint_bytes(n: i64) -> usize {
    let bits = 64 - (zigzag(n) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, n: i64) {
    let mut rest = zigzag(n);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7f) as u8);
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn nullable_bytes(bytes: Option<&Bytes>) -> usize {
    bytes.map_or(1, |b| varint_bytes(length(b.len())) + b.len())
}

/// Bytes of a record's payload.
pub(crate) fn payload_bytes(record: &Record) -> usize {
    let headers = record
        .headers
        .iter()
        .map(|h| nullable_bytes(Some(&h.name)) + nullable_bytes(h.value.as_ref()));
    nullable_bytes(record.key.as_ref())
        + nullable_bytes(record.value.as_ref())
        + varint_bytes(length(record.headers.len()))
        + headers.sum::<usize>()
}

/// Writes a record's payload; `out` must be exactly `payload_bytes` long. False if it is not.
#[must_use]
pub(crate) fn encode(out: &mut [u8], record: &Record) -> bool {
    let mut rest = out;
    put_all(&mut rest, record).is_some() && rest.is_empty()
}

fn put_all(out: &mut &mut [u8], record: &Record) -> Option<()> {
    put_nullable(out, record.key.as_ref())?;
    put_nullable(out, record.value.as_ref())?;
    put_length(out, length(record.headers.len()))?;
    for header in &record.headers {
        put_nullable(out, Some(&header.name))?;
        put_nullable(out, header.value.as_ref())?;
    }
    Some(())
}

fn put_nullable(out: &mut &mut [u8], bytes: Option<&Bytes>) -> Option<()> {
    let Some(bytes) = bytes else {
        return put_length(out, -1);
    };
    put_length(out, length(bytes.len()))?;
    put(out, bytes)
}

fn put_length(out: &mut &mut [u8], n: i64) -> Option<()> {
    let mut rest = zigzag(n);
    while rest >= 0x80 {
        put(out, &[(rest & 0x7f) as u8 | 0x80])?;
        rest >>= 7;
    }
    put(out, &[(rest & 0x7f) as u8])
}

fn put(out: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (head, tail) = std::mem::take(out).split_at_mut_checked(bytes.len())?;
    head.copy_from_slice(bytes);
    *out = tail;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wstream_record::{Header, Timestamp};

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let byte = |pair: &str| u8::from_str_radix(pair, 16).unwrap();
        text.split_whitespace().map(byte).collect()
    }

    fn record(key: Option<&str>, value: Option<&str>, headers: &[(&str, Option<&str>)]) -> Record {
        let own = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let header = |(name, value): &(&str, Option<&str>)| Header {
            name: own(name),
            value: value.map(own),
        };
        Record {
            timestamp: Timestamp(0),
            key: key.map(own),
            value: value.map(own),
            headers: headers.iter().map(header).collect(),
        }
    }

    /// Bytes worked out by hand from the encoding's description.
    #[test]
    fn vectors() {
        let rows = [
            (
                record(Some("k"), Some("hello"), &[("h", None)]),
                "02 6b 0a 68 65 6c 6c 6f 02 02 68 01",
            ),
            (record(None, None, &[]), "01 01 00"),
            (
                record(Some(""), Some(""), &[("", Some(""))]),
                "00 00 02 00 00",
            ),
        ];
        for (record, bytes) in rows {
            let bytes = hex(bytes);
            let mut out = vec![0; payload_bytes(&record)];
            assert!(encode(&mut out, &record));
            assert_eq!(out, bytes);
            assert_eq!(decoded(&bytes), Ok(record));
        }
        assert_eq!(topic(&hex("01 06 64 6c 71")), Ok(Some(&b"dlq"[..])));
        assert_eq!(topic(&[]), Ok(None));
    }

    fn decoded(bytes: &[u8]) -> Result<Record, PayloadError> {
        let decoded = PayloadRecord::decode(bytes)?;
        let own = Bytes::copy_from_slice;
        let headers = decoded.headers().map(|(name, value)| Header {
            name: own(name),
            value: value.map(own),
        });
        Ok(Record {
            timestamp: Timestamp(0),
            key: decoded.key.map(own),
            value: decoded.value.map(own),
            headers: headers.collect(),
        })
    }

    #[test]
    fn faults_are_named() {
        use PayloadError::{Negative, Options, Short, Trailing, Varint};
        let rows = [
            ("", Short("the key")),
            ("02", Short("the key")),
            ("03 00", Negative("the key")),
            ("01 01", Short("the headers")),
            ("01 01 01", Negative("the headers")),
            ("01 01 02 02 68", Short("a header's value")),
            ("01 01 00 00 00", Trailing(2)),
            ("80 80 80 80 80 80 80 80 80 80 00", Varint("the key")),
            ("fe ff ff ff ff ff ff ff ff 01", Short("the key")),
        ];
        for (bytes, fault) in rows {
            assert_eq!(decoded(&hex(bytes)), Err(fault), "{bytes}");
        }
        for bytes in ["02 06 64 6c 71", "01 06 64 6c 71 00", "01 01", "01"] {
            let error = topic(&hex(bytes)).unwrap_err();
            assert!(matches!(error, Options | Short(_)), "{bytes}: {error}");
        }
    }

    proptest! {
        #[test]
        fn decoding_gives_what_was_encoded(
            key in prop::option::of(".{0,200}"),
            value in prop::option::of(".{0,200}"),
            headers in prop::collection::vec((".{0,9}", prop::option::of(".{0,9}")), 0..70),
        ) {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            let record = record(key.as_deref(), value.as_deref(), &headers);
            let mut out = vec![0; payload_bytes(&record)];
            prop_assert!(encode(&mut out, &record));
            prop_assert_eq!(decoded(&out), Ok(record));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = decoded(&bytes) {
                let mut out = vec![0; payload_bytes(&record)];
                prop_assert!(encode(&mut out, &record));
            }
            topic(&bytes).ok();
        }

        #[test]
        fn varints_agree(n: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            prop_assert_eq!(out.len(), varint_bytes(n));
            prop_assert_eq!(Cursor(&out).varint("n"), Ok(n));
        }
    }
}
