//! What the file says about sinks.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use wstream_record::{ByteSize, TopicName};

use crate::units::{Period, Size};

/// A place where records go, told apart by `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SinkConfig {
    /// An index of the embedded search engine.
    Search(SearchSinkConfig),
    /// The open pages of a dashboard.
    Dashboard(DashboardSinkConfig),
    /// Another topic of this node.
    Topic(TopicSinkConfig),
    /// Files of JSON lines.
    File(FileSinkConfig),
    /// Standard output of the process.
    Stdout(StdoutSinkConfig),
}

impl SinkConfig {
    /// The word in `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Search(_) => "search",
            Self::Dashboard(_) => "dashboard",
            Self::Topic(_) => "topic",
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
        }
    }

    /// What it points at: an index, a dashboard, a topic, a folder.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Search(c) => c.index.clone(),
            Self::Dashboard(c) => c.dashboard.clone(),
            Self::Topic(c) => c.topic.to_string(),
            Self::File(c) => c.path.display().to_string(),
            Self::Stdout(_) => "stdout".to_owned(),
        }
    }
}

/// An index of the embedded search engine; the value of each record must be a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSinkConfig {
    /// Name of the index, or a pattern with the record's time in UTC, as in `logs-%{+yyyyMMdd}`.
    pub index: String,
    /// Where the document's id comes from: `key` is the record's key, `$.field` a field of its
    /// value; the last offset wins. Without it ids come from the log: topic, partition, offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The open pages of a dashboard: they are brought up to date after commits of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DashboardSinkConfig {
    /// Name of the dashboard: `dashboards/NAME.json` beside the file.
    pub dashboard: String,
}

/// Another topic of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSinkConfig {
    /// Name of the topic; it must be declared or exist.
    #[schemars(with = "String")]
    pub topic: TopicName,
    /// Where a record goes for which the transform chose no partition. Default `key`.
    #[serde(default)]
    pub partition_by: PartitionBy,
}

/// What a record's partition follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionBy {
    /// Its key, as in Kafka; a null key keeps the input's partition, modulo the count.
    #[default]
    Key,
    /// The input's partition, modulo the count, whatever the key: as a Redpanda broker places what
    /// a transform makes.
    Input,
}

/// Files of JSON lines, named `TOPIC-PARTITION-FIRST-LAST.jsonl` after the offsets they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSinkConfig {
    /// The folder; made if there is none. Relative paths are relative to the file.
    pub path: PathBuf,
    /// What a line is: the record's value, or the whole record as JSON. Default `value`.
    #[serde(default)]
    pub format: FileFormat,
    /// Bytes after which a file is finished. Default `64MiB`.
    #[serde(default = "file_bytes_max")]
    pub bytes_max: Size,
    /// Age at which a file is finished, whatever its size. Default `60s`.
    #[serde(default = "file_age_max")]
    pub age_max: Period,
}

fn file_bytes_max() -> Size {
    Size(ByteSize::mib(64))
}

fn file_age_max() -> Period {
    Period(Duration::from_secs(60))
}

/// What a line of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// The record's value as it is.
    #[default]
    Value,
    /// The record as JSON: topic, partition, offset, timestamp, key, value, headers.
    Record,
}

/// Standard output of the process, one record after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutSinkConfig {
    /// How a record looks. Default `pretty`.
    #[serde(default)]
    pub format: StdoutFormat,
}

/// How a record looks on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdoutFormat {
    /// One line of topic, partition, offset, time, key and headers, then the value.
    #[default]
    Pretty,
    /// One line of JSON.
    Json,
}
