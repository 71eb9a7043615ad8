//! Files of lines: each whole line is a record's value, byte for byte.
//!
//! A line is looked into only for a key, a time, or when it is to be validated; blank lines are
//! passed. What is not UTF-8 is a dead letter, since JSON is UTF-8.

mod config;
mod path;
mod split;

pub use config::JsonlConfig;
pub use split::LineSplitter;

use super::file::Place;
use super::rows::{BadRow, BadRowCode, Row, Rows};
use super::split::Split;
use super::text::utf8;
use super::time;
use path::FieldPath;

/// Reads lines of one file.
pub(super) struct JsonlFormat {
    splitter: LineSplitter,
    line_bytes_max: usize,
    key: Option<FieldPath>,
    timestamp: Option<FieldPath>,
    validate: bool,
}

impl JsonlFormat {
    pub(super) fn new(config: &JsonlConfig) -> Self {
        let line_bytes_max = usize::try_from(config.row_bytes_max.0.0).unwrap_or(usize::MAX);
        // `JsonlConfig::check` has refused paths that do not read.
        let path = |text: &Option<String>| FieldPath::parse(text.as_deref()?).ok();
        Self {
            splitter: LineSplitter::new(line_bytes_max),
            line_bytes_max,
            key: path(&config.key),
            timestamp: path(&config.timestamp),
            validate: config.validate,
        }
    }

    pub(super) fn restart(&mut self) {
        self.splitter = LineSplitter::new(self.line_bytes_max);
    }

    pub(super) fn split(&mut self, bytes: &[u8], end: bool) -> Split {
        self.splitter.next(bytes, end)
    }

    /// Makes a record or a dead letter of one line.
    pub(super) fn row(&self, place: Place, raw: &[u8], rows: &mut Rows) {
        if let Err((code, message)) = self.record(place, raw, rows) {
            rows.bad(&BadRow {
                number: place.number,
                line: place.line,
                code,
                message: &message,
                raw,
            });
        }
    }

    fn record(
        &self,
        place: Place,
        raw: &[u8],
        rows: &mut Rows,
    ) -> Result<(), (BadRowCode, String)> {
        let text = utf8(raw)?;
        let not_json = |e: serde_json::Error| (BadRowCode::Json, format!("not JSON: {e}"));
        let find = |path: &Option<FieldPath>| path.as_ref().map(|p| p.find(text)).transpose();
        let key = find(&self.key).map_err(not_json)?.flatten();
        let time = find(&self.timestamp).map_err(not_json)?.flatten();
        if self.validate && self.key.is_none() && self.timestamp.is_none() {
            path::check(text).map_err(not_json)?;
        }
        let timestamp = time.map(|text| time::parse(&text)).transpose();
        rows.record(&Row {
            number: place.number,
            line: place.line,
            key: key.as_ref().map(|key| key.as_bytes()),
            timestamp: timestamp.map_err(|message| (BadRowCode::Timestamp, message))?,
            value: raw,
            raw,
        });
        Ok(())
    }
}
