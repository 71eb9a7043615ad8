//! CSV files: each row becomes a JSON object of strings, in the order of the header row.
//!
//! Nothing is guessed: numbers stay the strings they were written as, an empty cell is an empty
//! string. A row that has not one cell per column, or is not UTF-8, is a dead letter.

mod cells;
mod config;
#[cfg(test)]
mod real;
mod split;

pub use config::CsvConfig;
pub use split::CsvSplitter;

use super::file::Place;
use super::rows::{BadRow, BadRowCode, Row, Rows};
use super::split::Split;
use super::text::utf8;
use super::time;
use cells::{Cells, Columns};

/// Reads rows of one CSV file.
pub(super) struct CsvFormat {
    config: CsvConfig,
    delimiter: u8,
    row_bytes_max: usize,
    splitter: CsvSplitter,
    columns: Option<Columns>,
    cells: Cells,
}

impl CsvFormat {
    pub(super) fn new(config: &CsvConfig) -> Self {
        let delimiter = u8::try_from(config.delimiter).unwrap_or(b',');
        let row_bytes_max = usize::try_from(config.row_bytes_max.0.0).unwrap_or(usize::MAX);
        let mut format = Self {
            delimiter,
            row_bytes_max,
            splitter: CsvSplitter::new(delimiter, row_bytes_max),
            columns: None,
            cells: Cells::default(),
            config: config.clone(),
        };
        format.restart();
        format
    }

    /// A new file: its header row is its own.
    pub(super) fn restart(&mut self) {
        self.splitter = CsvSplitter::new(self.delimiter, self.row_bytes_max);
        self.columns = None;
        if let Some(names) = self.config.columns.clone() {
            let mut columns = Columns::new(names, self.delimiter);
            // `CsvConfig::check` has seen to it that they are there.
            let (key, timestamp) = (&self.config.key, &self.config.timestamp);
            if columns.want(key.as_deref(), timestamp.as_deref()).is_ok() {
                self.columns = Some(columns);
            }
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.columns.is_some()
    }

    pub(super) fn split(&mut self, bytes: &[u8], end: bool) -> Split {
        self.splitter.next(bytes, end)
    }

    /// Takes the header row; the error is the problem and a hint.
    pub(super) fn header(&mut self, row: &[u8]) -> Result<(), (String, String)> {
        let text = std::str::from_utf8(row).map_err(|e| {
            let (at, byte) = (e.valid_up_to(), row.get(e.valid_up_to()).unwrap_or(&0));
            (
                format!("the header row is not UTF-8: byte {byte:#04x} at its place {at}"),
                "save the file as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`".into(),
            )
        })?;
        let mut columns = Columns::from_row(text, self.delimiter);
        let wanted = columns.want(self.config.key.as_deref(), self.config.timestamp.as_deref());
        wanted.map_err(|name| {
            let has = columns.names().join(", ");
            (
                format!("there is no column {name:?} in the header row"),
                format!("its columns are: {has}"),
            )
        })?;
        self.columns = Some(columns);
        Ok(())
    }

    /// Makes a record or a dead letter of one row.
    pub(super) fn row(&mut self, place: Place, raw: &[u8], rows: &mut Rows) {
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
        &mut self,
        place: Place,
        raw: &[u8],
        rows: &mut Rows,
    ) -> Result<(), (BadRowCode, String)> {
        let text = utf8(raw)?;
        let Some(columns) = &self.columns else {
            return Ok(());
        };
        let cells = &mut self.cells;
        columns.read(text, cells).map_err(|has| {
            let wants = columns.names().len();
            let message = format!("the row has {has} columns, the header row has {wants}");
            (BadRowCode::Columns, message)
        })?;
        let timestamp = if cells.timestamp.is_empty() {
            None
        } else {
            let text = String::from_utf8_lossy(&cells.timestamp);
            Some(time::parse(&text).map_err(|message| (BadRowCode::Timestamp, message))?)
        };
        rows.record(&Row {
            number: place.number,
            line: place.line,
            key: Some(&cells.key[..]).filter(|key| !key.is_empty()),
            timestamp,
            value: &cells.object,
            raw,
        });
        Ok(())
    }
}
