//! What a source can be told in the configuration file: `[sources.NAME]`, by `type`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wstream_record::{ByteSize, TopicName};

use super::csv::CsvConfig;
use super::jsonl::JsonlConfig;
use crate::units::Size;

/// Bytes of the longest row that is taken, if nothing else is said.
pub const ROW_BYTES_MAX_DEFAULT: ByteSize = ByteSize::mib(1);
/// No limit below this makes sense: a dead letter shows that much of a row.
const ROW_BYTES_MAX_SMALLEST: ByteSize = ByteSize(256);
/// The row in work is held in memory, so its bound has one.
const ROW_BYTES_MAX_LARGEST: ByteSize = ByteSize::mib(64);

/// An input that records are read from into a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SourceConfig {
    /// A CSV file: each row becomes a JSON object, named by the header row.
    Csv(CsvConfig),
    /// A file of lines: each whole line is a record's value.
    Jsonl(JsonlConfig),
}

/// A setting that cannot work: which, what it is, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct InvalidSetting {
    /// The key in the file.
    pub setting: &'static str,
    /// What is wrong with the value.
    pub problem: String,
    /// What to do.
    pub hint: &'static str,
}

impl SourceConfig {
    /// The word behind `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Jsonl(_) => "jsonl",
        }
    }

    /// Where the records go.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        match self {
            Self::Csv(config) => &config.topic,
            Self::Jsonl(config) => &config.topic,
        }
    }

    /// Where the rows go that cannot become records: what is set, else `<topic>.dlq`.
    ///
    /// # Errors
    /// The topic's name is so long that nothing can be added to it.
    pub fn dead_letter_topic(&self) -> Result<TopicName, InvalidSetting> {
        let set = match self {
            Self::Csv(config) => config.dead_letter.as_ref(),
            Self::Jsonl(config) => config.dead_letter.as_ref(),
        };
        set.map_or_else(
            || {
                TopicName::new(&format!("{}.dlq", self.topic())).map_err(|e| InvalidSetting {
                    setting: "topic",
                    problem: format!("leaves no room for the name of its dead-letter topic: {e}"),
                    hint: "set dead_letter to a shorter name",
                })
            },
            |name| Ok(name.clone()),
        )
    }

    /// The file that is read.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv(config) => &config.path,
            Self::Jsonl(config) => &config.path,
        }
    }

    /// Makes a relative path start at `base`: the folder of the configuration file.
    pub fn resolve(&mut self, base: &Path) {
        let path = match self {
            Self::Csv(config) => &mut config.path,
            Self::Jsonl(config) => &mut config.path,
        };
        *path = base.join(&*path);
    }

    /// Whether the source never ends: more may come after the end of the file.
    #[must_use]
    pub fn follows(&self) -> bool {
        match self {
            Self::Csv(config) => config.follow,
            Self::Jsonl(config) => config.follow,
        }
    }

    /// Finds what cannot work without opening anything.
    ///
    /// # Errors
    /// The first setting that cannot.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        self.dead_letter_topic()?;
        match self {
            Self::Csv(config) => config.check(),
            Self::Jsonl(config) => config.check(),
        }
    }
}

/// Checks the bound on a row, which every file source has.
pub(super) fn check_row_bytes_max(max: ByteSize) -> Result<(), InvalidSetting> {
    if (ROW_BYTES_MAX_SMALLEST..=ROW_BYTES_MAX_LARGEST).contains(&max) {
        return Ok(());
    }
    Err(InvalidSetting {
        setting: "row_bytes_max",
        problem: format!("is {}", Size(max)),
        hint: "write a size from 256B to 64MiB",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SourceConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_source_of_the_file_is_read_with_its_defaults() {
        let csv = read("type = \"csv\"\npath = \"data/titles.csv\"\ntopic = \"t\"\nkey = \"id\"");
        let mut csv = csv.unwrap();
        csv.resolve(Path::new("/etc/wstream"));
        assert_eq!(csv.path(), Path::new("/etc/wstream/data/titles.csv"));
        assert_eq!(csv.dead_letter_topic().unwrap().as_str(), "t.dlq");
        assert!(!csv.follows() && csv.check().is_ok());
        let SourceConfig::Csv(config) = &csv else {
            panic!("{csv:?}");
        };
        assert_eq!(
            (config.delimiter, config.row_bytes_max.0),
            (',', ByteSize::mib(1))
        );
        let text = serde_json::to_string(&csv).unwrap();
        assert_eq!(serde_json::from_str::<SourceConfig>(&text).unwrap(), csv);
    }

    #[test]
    fn unknown_keys_and_types_are_refused_by_name() {
        let rows = [
            (
                "type = \"csv\"\npath = \"a\"\ntopic = \"t\"\nkye = \"id\"",
                "unknown field `kye`",
            ),
            (
                "type = \"tsv\"\npath = \"a\"\ntopic = \"t\"",
                "unknown variant `tsv`",
            ),
            (
                "type = \"jsonl\"\npath = \"a\"\ntopic = \"a b\"",
                "cannot name a topic",
            ),
            ("type = \"jsonl\"\npath = \"a\"", "missing field `topic`"),
        ];
        for (text, message) in rows {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_found_without_opening_the_file() {
        let rows = [
            ("type = \"csv\"\ndelimiter = \"\\\"\"", "delimiter is '\"'"),
            (
                "type = \"csv\"\ndelimiter = \"\u{e9}\"",
                "delimiter is '\u{e9}'",
            ),
            ("type = \"csv\"\ncolumns = []", "columns is empty"),
            (
                "type = \"csv\"\ncolumns = [\"a\"]\nkey = \"b\"",
                "key is \"b\", which is not one",
            ),
            (
                "type = \"csv\"\nrow_bytes_max = \"1GiB\"",
                "row_bytes_max is 1GiB",
            ),
            (
                "type = \"jsonl\"\nrow_bytes_max = 10",
                "row_bytes_max is 10B",
            ),
            (
                "type = \"jsonl\"\nkey = \"id\"",
                "key is \"id\", which does not start",
            ),
            (
                "type = \"jsonl\"\ntimestamp = \"$.a..b\"",
                "timestamp is \"$.a..b\", which has",
            ),
        ];
        for (text, message) in rows {
            let config = read(&format!("{text}\npath = \"a\"\ntopic = \"t\"")).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
