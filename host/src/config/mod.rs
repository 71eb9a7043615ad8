//! The one file that `wstream run` reads: found to be right as a whole, or refused with every
//! problem, each with its line, its column and what to do.
//!
//! Reading has three steps. `document` parses the text and fills in variables; `decode` turns
//! each table into the config struct of its component; `check` looks at what the parts say of
//! each other and of files. Every step adds to one list of problems, so a user sees all of them
//! at once. Relative paths come out absolute: they start at the folder of the file.
//!
//! Nothing is opened for writing and no component runs. Components never import this module.

mod check;
mod decode;
mod document;
mod interpolate;
mod problem;
mod read;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wstream_record::TopicName;

use crate::pipeline::PipelineConfig;
use crate::sinks::SinkConfig;
use crate::sources::SourceConfig;

pub use problem::{ConfigError, Position, Problem, nearest};
pub use topic::{RetainBy, RetentionConfig, SettingValue, Settings, TopicConfig};

/// Bytes of the largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the file declares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Topics, by name.
    #[schemars(with = "BTreeMap<String, TopicConfig>")]
    pub topics: BTreeMap<TopicName, TopicConfig>,
    /// Where records come from, by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// What happens to records, by name.
    pub pipelines: BTreeMap<String, PipelineConfig>,
    /// Where records go, by name.
    pub sinks: BTreeMap<String, SinkConfig>,
}

/// How strictly a file is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// The run ends when its sources do, so none may follow its file.
    pub once: bool,
}

/// Reads, fills in, decodes and checks a file.
///
/// # Errors
/// Every problem of the file.
pub fn load(file: &Path, options: LoadOptions) -> Result<Config, ConfigError> {
    read::read(file, text_of(file)?, options, &variable)
}

/// A problem that showed only when a part of `file` was started, at the value of `path` in it.
#[must_use]
pub fn problem_at(file: &Path, path: &[&str], message: String, hint: &str) -> ConfigError {
    let hint = Some(hint.to_owned());
    let problem = match text_of(file) {
        Ok(text) => {
            let (document, _) = document::Document::parse(&text, &variable);
            document.problem(document.at(path), message, hint)
        }
        Err(_) => Problem {
            position: None,
            message,
            hint,
        },
    };
    ConfigError::new(file, vec![problem])
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn text_of(file: &Path) -> Result<String, ConfigError> {
    let whole = |message: String, hint: &str| {
        let problem = Problem {
            position: None,
            message,
            hint: Some(hint.to_owned()),
        };
        ConfigError::new(file, vec![problem])
    };
    let unreadable = |error: std::io::Error| {
        whole(
            format!("cannot be read: {error}"),
            "name a file in TOML, as in `wstream run wstream.toml`",
        )
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(whole(
            format!("has {size} bytes, more than {FILE_BYTES_MAX}"),
            "is it the right file?",
        ));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
        let position = Some(Position::of(&valid, at));
        let message = "the text is not UTF-8 from here on".to_owned();
        let hint = Some("save the file as UTF-8".to_owned());
        ConfigError::new(
            file,
            vec![Problem {
                position,
                message,
                hint,
            }],
        )
    })
}

/// The folder that relative paths of a file start at, absolute where the system can say so.
#[must_use]
pub fn folder_of(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.parent().map_or_else(PathBuf::new, Path::to_owned)
}

impl Config {
    /// Makes every relative path start at `folder`, the folder of the file.
    fn resolve(&mut self, folder: &Path) {
        for source in self.sources.values_mut() {
            source.resolve(folder);
        }
        for sink in self.sinks.values_mut() {
            if let SinkConfig::File(file) = sink {
                file.path = folder.join(&file.path);
            }
        }
        for step in self.pipelines.values_mut().flat_map(|p| &mut p.transforms) {
            if names_a_file(&step.module) {
                step.module = folder.join(&step.module).display().to_string();
            }
        }
    }
}

/// Whether a `module` is a path and not a registered name.
#[must_use]
pub fn names_a_file(module: &str) -> bool {
    module.contains('/')
        || Path::new(module)
            .extension()
            .is_some_and(|e| e == "wasm" || e == "wat")
}

/// Where the dashboard of that name stands, for a file in `folder`.
#[must_use]
pub fn dashboard_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("dashboards").join(format!("{name}.json"))
}

/// The JSON Schema of the file, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
