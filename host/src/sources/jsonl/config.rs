//! `type = "jsonl"` in the configuration file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wstream_record::TopicName;

use super::path::FieldPath;
use crate::sources::config::{InvalidSetting, ROW_BYTES_MAX_DEFAULT, check_row_bytes_max};
use crate::units::Size;

/// Reads a file of lines (UTF-8) and puts each whole line into a topic as a record's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlConfig {
    /// The file. A relative path starts at the folder of the configuration file.
    pub path: PathBuf,
    /// The topic that gets one record per line.
    #[schemars(with = "String")]
    pub topic: TopicName,
    /// The field whose value is the record's key, as `$.field` or `$.outer.inner`. Without it, or
    /// where the field is missing or null, a record has no key and lines take the partitions in
    /// turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The field that holds the record's time, as `$.field`: RFC 3339, `2026-11-21 08:30:00` or
    /// `2026-11-21` (both UTC), or milliseconds since 1970. Without it, or where the field is
    /// missing or null, a record has the time at which it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Whether a line that is not JSON becomes a dead letter already here. A line is always read
    /// when `key` or `timestamp` names a field. Default false: the line is passed on as it is.
    #[serde(default)]
    pub validate: bool,
    /// Whether to wait for more at the end of the file, as `tail -F` does. Default false.
    #[serde(default)]
    pub follow: bool,
    /// Bytes of the longest line; a longer one becomes a dead letter that holds its start.
    /// Default 1 MiB.
    #[serde(default = "row_bytes_max")]
    pub row_bytes_max: Size,
    /// The topic that gets the lines that cannot become records. Default `<topic>.dlq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub dead_letter: Option<TopicName>,
}

fn row_bytes_max() -> Size {
    Size(ROW_BYTES_MAX_DEFAULT)
}

impl JsonlConfig {
    /// The defaults, for a file and a topic.
    #[must_use]
    pub fn new(path: PathBuf, topic: TopicName) -> Self {
        Self {
            path,
            topic,
            key: None,
            timestamp: None,
            validate: false,
            follow: false,
            row_bytes_max: row_bytes_max(),
            dead_letter: None,
        }
    }

    pub(in crate::sources) fn check(&self) -> Result<(), InvalidSetting> {
        check_row_bytes_max(self.row_bytes_max.0)?;
        for (setting, path) in [("key", &self.key), ("timestamp", &self.timestamp)] {
            let Some(text) = path else { continue };
            FieldPath::parse(text).map_err(|problem| InvalidSetting {
                setting,
                problem,
                hint: "write the path of a field, such as \"$.id\" or \"$.user.id\"",
            })?;
        }
        Ok(())
    }
}
