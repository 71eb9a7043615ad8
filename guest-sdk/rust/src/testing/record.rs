//! Records for tests and benchmarks, and the batch frame the host would make of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frame::{length, put_nullable};

/// A record to be transformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRecord {
    /// Its topic; a batch has the topic and partition of its first record.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970, -1 if unknown.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Default for TestRecord {
    fn default() -> Self {
        Self {
            topic: "test".to_owned(),
            partition: 0,
            offset: 0,
            timestamp_ms: -1,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }
}

impl TestRecord {
    /// A record with nothing but a value.
    #[must_use]
    pub fn of_value(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }
}

/// The frame of a batch of these records.
#[must_use]
pub fn batch_frame(records: &[TestRecord]) -> Vec<u8> {
    let (topic, partition) = records
        .first()
        .map_or(("", 0), |r| (r.topic.as_str(), r.partition));
    let mut frame = Vec::new();
    let topic_len = u16::try_from(topic.len()).expect("a topic's name is below 250 bytes");
    frame.extend_from_slice(&topic_len.to_le_bytes());
    frame.extend_from_slice(topic.as_bytes());
    frame.extend_from_slice(&partition.to_le_bytes());
    frame.extend_from_slice(&length(records.len()).to_le_bytes());
    for record in records {
        frame.extend_from_slice(&record.offset.to_le_bytes());
        frame.extend_from_slice(&record.timestamp_ms.to_le_bytes());
        put_nullable(&mut frame, record.key.as_deref());
        put_nullable(&mut frame, record.value.as_deref());
        frame.extend_from_slice(&length(record.headers.len()).to_le_bytes());
        for (name, value) in &record.headers {
            frame.extend_from_slice(&length(name.len()).to_le_bytes());
            frame.extend_from_slice(name);
            put_nullable(&mut frame, value.as_deref());
        }
    }
    frame
}

/// A record as cases write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonForm<'a> {
    pub(super) topic: Option<String>,
    pub(super) partition: Option<i32>,
    offset: Option<i64>,
    pub(super) timestamp: Option<i64>,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(borrow)]
    value_json: Option<&'a RawValue>,
    #[serde(default)]
    headers: Vec<(String, HeaderForm)>,
    /// Of an expected record: the name of the output it was sent to.
    pub(super) output: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum HeaderForm {
    Text(String),
    Bytes { base64: String },
    Null(()),
}

impl JsonForm<'_> {
    /// The record, or what is wrong with it.
    pub(crate) fn record(&self) -> Result<TestRecord, String> {
        let key = one_of("key", &self.key, &self.key_base64)?;
        let plain = one_of("value", &self.value, &self.value_base64)?;
        let value = match (plain, self.value_json) {
            (Some(_), Some(_)) => return Err("value is given twice".to_owned()),
            (plain, None) => plain,
            (None, Some(json)) => Some(compact(json.get())),
        };
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let value = match value {
                HeaderForm::Text(text) => Some(text.clone().into_bytes()),
                HeaderForm::Bytes { base64 } => Some(decode_base64(base64)?),
                HeaderForm::Null(()) => None,
            };
            headers.push((name.clone().into_bytes(), value));
        }
        let default = TestRecord::default();
        Ok(TestRecord {
            topic: self.topic.clone().unwrap_or(default.topic),
            partition: self.partition.unwrap_or(default.partition),
            offset: self.offset.unwrap_or(default.offset),
            timestamp_ms: self.timestamp.unwrap_or(default.timestamp_ms),
            key,
            value,
            headers,
        })
    }
}

fn one_of(
    field: &str,
    text: &Option<String>,
    base64: &Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("{field} is given twice")),
        (Some(text), None) => Ok(Some(text.clone().into_bytes())),
        (None, Some(base64)) => decode_base64(base64).map(Some),
        (None, None) => Ok(None),
    }
}

/// Drops white space outside strings.
fn compact(json: &str) -> Vec<u8> {
    let mut in_string = false;
    let mut escaped = false;
    let mut out = Vec::with_capacity(json.len());
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
    out
}

fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(format!("not base64: {text}")),
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        let whole = group.len() * 6 / 8;
        out.extend_from_slice(bytes.get(..whole).unwrap_or_default());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_rfc_4648_gives_it() {
        let rows = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
        ];
        for (text, bytes) in rows {
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode_base64("+/8=").unwrap(), [0xfb, 0xff]);
        assert!(decode_base64("a b").is_err());
    }
}
