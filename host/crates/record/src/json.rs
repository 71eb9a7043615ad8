//! A record as JSON: the one form that `produce`, `consume`, `transform test`, cases, live tails,
//! files and stdout share.
//!
//! `{"topic","partition","offset","timestamp","key","value","headers":[["name","value"]]}`.
//! Bytes that are UTF-8 are strings; others go to `key_base64` and `value_base64`, and a header
//! value that is not UTF-8 becomes `{"base64": "..."}`. Absent means null. `value_json` is
//! accepted on input: the value is that JSON, compact, its numbers and key order as written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Header, Offset, PartitionId, Record, StoredRecord, Timestamp, TopicName};

/// A record and, as far as known, where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonRecord {
    /// Its topic.
    pub topic: Option<TopicName>,
    /// Its partition.
    pub partition: Option<PartitionId>,
    /// Its offset.
    pub offset: Option<Offset>,
    /// The record; without a timestamp in the JSON, `Timestamp::NONE`.
    pub record: Record,
}

/// Why a text is not a record in JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonRecordError {
    /// Not JSON of this shape; the message names line and column.
    #[error("not a record in JSON: {0}")]
    Shape(#[from] serde_json::Error),
    /// Two fields give the same thing.
    #[error("give only one of {0}")]
    Twice(&'static str),
    /// The time is outside the range that is kept.
    #[error(
        "timestamp {found} is outside {} to {}, or -1 for none",
        Timestamp::MIN_VALID,
        Timestamp::MAX_VALID
    )]
    Timestamp {
        /// What it says.
        found: Timestamp,
    },
    /// A `..._base64` field is not base64.
    #[error("{field} is not base64: {error}")]
    Base64 {
        /// The field.
        field: &'static str,
        /// What the decoder says.
        error: base64::DecodeError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<TopicName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<PartitionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(default, borrow, skip_serializing)]
    value_json: Option<&'a RawValue>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(Cow<'a, str>, FormHeader<'a>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FormHeader<'a> {
    Null(()),
    Text(Cow<'a, str>),
    Bytes { base64: String },
}

impl JsonRecord {
    /// A record at its place.
    #[must_use]
    pub fn stored(topic: &TopicName, partition: PartitionId, record: &StoredRecord) -> Self {
        Self {
            topic: Some(topic.clone()),
            partition: Some(partition),
            offset: Some(record.offset),
            record: record.record.clone(),
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// The text is not JSON of this form.
    pub fn parse(text: &str) -> Result<Self, JsonRecordError> {
        // serde would take a list for the fields in their order.
        if !text.trim_start().starts_with('{') {
            let error = <serde_json::Error as serde::de::Error>::custom("expected an object");
            return Err(error.into());
        }
        let form: Form<'_> = serde_json::from_str(text)?;
        let key = one_of(
            "key, key_base64",
            text_bytes(form.key),
            decode("key_base64", form.key_base64)?,
        )?;
        let plain = one_of(
            "value, value_base64, value_json",
            text_bytes(form.value),
            decode("value_base64", form.value_base64)?,
        )?;
        let json = form.value_json.map(compact).transpose()?;
        let value = one_of("value, value_base64, value_json", plain, json)?;
        let headers = form
            .headers
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    FormHeader::Null(()) => None,
                    FormHeader::Text(text) => text_bytes(Some(text)),
                    FormHeader::Bytes { base64 } => decode("headers", Some(base64))?,
                };
                Ok(Header {
                    name: Bytes::from(name.into_owned()),
                    value,
                })
            })
            .collect::<Result<_, JsonRecordError>>()?;
        let timestamp = form.timestamp.unwrap_or(Timestamp::NONE);
        if !timestamp.is_valid() {
            return Err(JsonRecordError::Timestamp { found: timestamp });
        }
        let record = Record {
            timestamp,
            key,
            value,
            headers,
        };
        Ok(Self {
            topic: form.topic,
            partition: form.partition,
            offset: form.offset,
            record,
        })
    }

    /// Appends the record as one line without the line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        let record = &self.record;
        let (key, key_base64) = encode(record.key.as_ref());
        let (value, value_base64) = encode(record.value.as_ref());
        let headers = record
            .headers
            .iter()
            .map(|h| {
                let value = match encode(h.value.as_ref()) {
                    (Some(text), _) => FormHeader::Text(text),
                    (_, Some(base64)) => FormHeader::Bytes { base64 },
                    (None, None) => FormHeader::Null(()),
                };
                (String::from_utf8_lossy(&h.name), value)
            })
            .collect();
        let form = Form {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            timestamp: Some(record.timestamp).filter(|&t| t != Timestamp::NONE),
            key,
            key_base64,
            value,
            value_base64,
            value_json: None,
            headers,
        };
        serde_json::to_writer(out, &form).expect("strings and numbers always serialize");
    }

    /// The record as text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }
}

fn text_bytes(text: Option<Cow<'_, str>>) -> Option<Bytes> {
    text.map(|t| Bytes::from(t.into_owned()))
}

fn decode(field: &'static str, text: Option<String>) -> Result<Option<Bytes>, JsonRecordError> {
    text.map(|t| STANDARD.decode(t).map(Bytes::from))
        .transpose()
        .map_err(|error| JsonRecordError::Base64 { field, error })
}

fn one_of(
    fields: &'static str,
    a: Option<Bytes>,
    b: Option<Bytes>,
) -> Result<Option<Bytes>, JsonRecordError> {
    if a.is_some() && b.is_some() {
        Err(JsonRecordError::Twice(fields))
    } else {
        Ok(a.or(b))
    }
}

/// Drops white space outside strings; everything else stays as written.
fn compact(json: &RawValue) -> Result<Bytes, JsonRecordError> {
    let mut out = Vec::with_capacity(json.get().len());
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json.get().as_bytes() {
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
    Ok(out.into())
}

fn encode(bytes: Option<&Bytes>) -> (Option<Cow<'_, str>>, Option<String>) {
    match bytes.map(|b| (b, std::str::from_utf8(b))) {
        None => (None, None),
        Some((_, Ok(text))) => (Some(Cow::Borrowed(text)), None),
        Some((bytes, Err(_))) => (None, Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_documented_one() {
        let rows = [
            r#"{"topic":"t","partition":1,"offset":7,"timestamp":12,"key":"k","value":"v","headers":[["a","b"],["n",null]]}"#,
            r#"{"key_base64":"/w==","value_base64":"AP8="}"#,
            r#"{"value":"","headers":[["x",{"base64":"/w=="}]]}"#,
            "{}",
        ];
        for row in rows {
            assert_eq!(JsonRecord::parse(row).unwrap().to_json(), row);
        }
    }

    #[test]
    fn value_json_keeps_numbers_and_order() {
        let text = r#"{"value_json": { "b": 1.10, "a": [1e3, "x \" y"] }}"#;
        let record = JsonRecord::parse(text).unwrap().record;
        assert_eq!(
            &record.value.unwrap()[..],
            br#"{"b":1.10,"a":[1e3,"x \" y"]}"#
        );
    }

    #[test]
    fn wrong_records_say_what_is_wrong() {
        let rows = [
            (r#"{"valeu":"x"}"#, "unknown field `valeu`"),
            (
                r#"{"value":"x","value_json":1}"#,
                "give only one of value, value_base64, value_json",
            ),
            (r#"{"key_base64":"?"}"#, "key_base64 is not base64"),
            (
                r#"{"timestamp":-2}"#,
                "timestamp -2 is outside 0 to 253402300799999",
            ),
            (r#"{"timestamp":253402300800000}"#, "or -1 for none"),
            (r#"{"topic":"a b"}"#, "cannot name a topic"),
            ("[", "not a record in JSON"),
            ("[]", "not a record in JSON: expected an object"),
        ];
        for (text, message) in rows {
            let error = JsonRecord::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
