//! `type = "csv"` in the configuration file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wstream_record::TopicName;

use crate::sources::config::{InvalidSetting, ROW_BYTES_MAX_DEFAULT, check_row_bytes_max};
use crate::units::Size;

/// Reads a CSV file (RFC 4180, UTF-8) and puts each row into a topic as a JSON object of strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file. A relative path starts at the folder of the configuration file.
    pub path: PathBuf,
    /// The topic that gets one record per row.
    #[schemars(with = "String")]
    pub topic: TopicName,
    /// The column whose text is the record's key. Without it, or where the cell is empty, a record
    /// has no key and rows take the partitions in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The column that holds the record's time: RFC 3339, `2026-11-21 08:30:00` or `2026-11-21`
    /// (both UTC), or milliseconds since 1970. Without it, or where the cell is empty, a record has
    /// the time at which it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The names of the columns, for a file without a header row. Without it the first row names
    /// them: an empty name becomes `column_N`, a repeated one gets `_2`, `_3`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The character between cells, one of ASCII. Default `,`.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Whether to wait for more at the end of the file, as `tail -F` does. Default false.
    #[serde(default)]
    pub follow: bool,
    /// Bytes of the longest row; of a longer one the first line becomes a dead letter, and reading
    /// goes on at the next line. Default 1 MiB.
    #[serde(default = "row_bytes_max")]
    pub row_bytes_max: Size,
    /// The topic that gets the rows that cannot become records. Default `<topic>.dlq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub dead_letter: Option<TopicName>,
}

fn comma() -> char {
    ','
}

fn row_bytes_max() -> Size {
    Size(ROW_BYTES_MAX_DEFAULT)
}

impl CsvConfig {
    /// The defaults, for a file and a topic.
    #[must_use]
    pub fn new(path: PathBuf, topic: TopicName) -> Self {
        Self {
            path,
            topic,
            key: None,
            timestamp: None,
            columns: None,
            delimiter: comma(),
            follow: false,
            row_bytes_max: row_bytes_max(),
            dead_letter: None,
        }
    }

    pub(in crate::sources) fn check(&self) -> Result<(), InvalidSetting> {
        check_row_bytes_max(self.row_bytes_max.0)?;
        let taken = matches!(self.delimiter, '"' | '\r' | '\n');
        if !self.delimiter.is_ascii() || taken {
            return Err(InvalidSetting {
                setting: "delimiter",
                problem: format!("is {:?}", self.delimiter),
                hint: "write one ASCII character, such as \",\", \";\" or \"\\t\"",
            });
        }
        let Some(columns) = &self.columns else {
            return Ok(());
        };
        if columns.is_empty() {
            return Err(InvalidSetting {
                setting: "columns",
                problem: "is empty".to_owned(),
                hint: "name every column, or leave `columns` out for a file with a header row",
            });
        }
        let named = [("key", &self.key), ("timestamp", &self.timestamp)];
        for (setting, column) in named {
            if let Some(column) = column.as_ref().filter(|c| !columns.contains(c)) {
                return Err(InvalidSetting {
                    setting,
                    problem: format!("is {column:?}, which is not one of {columns:?}"),
                    hint: "write the name of a column in `columns`",
                });
            }
        }
        Ok(())
    }
}
