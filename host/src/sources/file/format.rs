//! What differs between kinds of file: where rows end and what of a row becomes a record.

use super::super::csv::CsvFormat;
use super::super::jsonl::JsonlFormat;
use super::super::rows::Rows;
use super::super::split::Split;
use super::SourceConfig;

/// Where a row is.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Place {
    /// Its physical line, from 1.
    pub(in crate::sources) line: u64,
    /// Its number, from 0.
    pub(in crate::sources) number: u64,
}

/// A kind of file.
pub(super) enum Format {
    Csv(Box<CsvFormat>),
    Jsonl(JsonlFormat),
}

impl Format {
    pub(super) fn new(config: &SourceConfig) -> Self {
        match config {
            SourceConfig::Csv(config) => Self::Csv(Box::new(CsvFormat::new(config))),
            SourceConfig::Jsonl(config) => Self::Jsonl(JsonlFormat::new(config)),
        }
    }

    /// Forgets what belongs to one file.
    pub(super) fn restart(&mut self) {
        match self {
            Self::Csv(format) => format.restart(),
            Self::Jsonl(format) => format.restart(),
        }
    }

    /// Whether rows can be read: the header row, if there has to be one, was.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Csv(format) => format.is_ready(),
            Self::Jsonl(_) => true,
        }
    }

    /// Takes the header row; the error is the problem and a hint.
    pub(super) fn header(&mut self, row: &[u8]) -> Result<(), (String, String)> {
        match self {
            Self::Csv(format) => format.header(row),
            Self::Jsonl(_) => Ok(()),
        }
    }

    pub(super) fn split(&mut self, bytes: &[u8], end: bool) -> Split {
        match self {
            Self::Csv(format) => format.split(bytes, end),
            Self::Jsonl(format) => format.split(bytes, end),
        }
    }

    /// The first physical line's bytes without and with its line end; `None` without one.
    pub(super) fn line_end(&self, bytes: &[u8], end: bool) -> Option<(usize, usize)> {
        match self {
            Self::Csv(_) => {
                let at = memchr::memchr2(b'\n', b'\r', bytes)?;
                let end = super::super::split::line_end_bytes(bytes, at, end)?;
                Some((at, at + end))
            }
            Self::Jsonl(_) => {
                let at = memchr::memchr(b'\n', bytes)?;
                let text = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
                Some((text.len(), at + 1))
            }
        }
    }

    pub(super) fn row(&mut self, place: Place, row: &[u8], rows: &mut Rows) {
        match self {
            Self::Csv(format) => format.row(place, row, rows),
            Self::Jsonl(format) => format.row(place, row, rows),
        }
    }
}
