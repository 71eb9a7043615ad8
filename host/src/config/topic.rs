//! A topic as the file declares it: the whole of it. A setting that the file does not name has its
//! default, whatever was set before.
//!
//! Partitions, retention and the largest batch have keys of their own, with units; every setting can
//! be said in `settings` as Kafka names it. Both become one `TopicSpec`, which the log judges: what
//! `check` refuses is what a start would refuse.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use wstream_log::{RetentionBy, TOPIC_SETTINGS, TopicSpec};

use crate::units::{Period, Size};

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// Partitions; more can be added later, fewer are refused. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: i32,
    /// What is kept. Default everything.
    pub retention: RetentionConfig,
    /// Largest batch that producers may send. Default 1 MiB, as in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<Size>,
    /// Settings as Kafka names them, as in `{ "cleanup.policy" = "compact" }`. Default none.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// What a topic keeps; what is older is removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Bytes per partition, as in Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
    /// Age at which records go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Period>,
    /// What the age is counted from. Default `append`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<RetainBy>,
}

/// What the age of a record is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetainBy {
    /// When it was appended here.
    Append,
    /// Its own time, as in Kafka; a time to come counts as when it was appended.
    Record,
}

impl From<RetainBy> for RetentionBy {
    fn from(by: RetainBy) -> Self {
        match by {
            RetainBy::Append => Self::Append,
            RetainBy::Record => Self::Record,
        }
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            retention: RetentionConfig::default(),
            max_message_bytes: None,
            settings: Settings::default(),
        }
    }
}

impl TopicConfig {
    /// What is asked of the log.
    #[must_use]
    pub fn spec(&self) -> TopicSpec {
        let mut spec = TopicSpec::partitions(self.partitions).defined_in_file(true);
        if let Some(bytes) = self.retention.bytes {
            spec = spec.retention_bytes(Some(bytes.0));
        }
        if let Some(age) = self.retention.age {
            spec = spec.retention_age(Some(age.0));
        }
        if let Some(by) = self.retention.by {
            spec = spec.retention_by(by.into());
        }
        if let Some(bytes) = self.max_message_bytes {
            spec = spec.max_message_bytes(bytes.0);
        }
        for (key, value) in &self.settings.0 {
            spec = spec.with(key, value.to_string());
        }
        spec
    }

    /// The place in the topic's table of the key that says a setting with a unit, if it is there.
    pub(super) fn said_with_unit(&self, setting: &str) -> Option<&'static [&'static str]> {
        let retention = &self.retention;
        let (place, said): (&[&str], bool) = match setting {
            "retention.bytes" => (&["retention", "bytes"], retention.bytes.is_some()),
            "retention.ms" => (&["retention", "age"], retention.age.is_some()),
            "retention.by" => (&["retention", "by"], retention.by.is_some()),
            "max.message.bytes" => (&["max_message_bytes"], self.max_message_bytes.is_some()),
            _ => return None,
        };
        said.then_some(place)
    }
}

/// Settings by key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, SettingValue>);

impl Settings {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Those that change nothing are refused.
        let with_effect = TOPIC_SETTINGS.iter().filter(|s| s.without_effect.is_none());
        let properties: serde_json::Map<String, serde_json::Value> = with_effect
            .map(|setting| {
                let kinds = ["string", "integer"];
                let schema =
                    serde_json::json!({"type": kinds, "description": setting.documentation});
                (setting.key.to_owned(), schema)
            })
            .collect();
        json_schema!({"type": "object", "properties": properties, "additionalProperties": false})
    }
}

/// A setting's value; numbers need no quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// As Kafka writes it.
    Text(String),
    /// A number.
    Number(i64),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl Visitor<'_> for Value {
            type Value = SettingValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a text or a number, and its key in quotes, as in \"cleanup.policy\" = \"compact\"",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SettingValue, E> {
                Ok(SettingValue::Text(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<SettingValue, E> {
                Ok(SettingValue::Number(number))
            }
        }
        deserializer.deserialize_any(Value)
    }
}
