//! Inputs: each row of a file becomes exactly one record of a topic, or exactly one dead letter,
//! whatever is killed when.
//!
//! A `Source` turns an input into rows and can start again at any position it has given out.
//! `runner` drives it: it routes rows to partitions, appends them as an idempotent producer, and
//! keeps the position in the internal topic `__wstream_sources`. After a kill it reads again from
//! that position and skips, partition by partition, what the log already holds.
//! Nothing here interprets what rows mean: that is what transforms are for.

mod checkpoint;
pub mod config;
#[cfg(test)]
mod conformance;
pub mod csv;
mod file;
pub mod jsonl;
#[cfg(test)]
mod memory;
mod rows;
mod runner;
pub mod split;
mod text;
mod time;

use std::path::PathBuf;
use std::{fmt, io};

pub use checkpoint::{CheckpointError, Checkpoints};
pub use config::{InvalidSetting, SourceConfig};
pub use csv::CsvConfig;
pub use jsonl::JsonlConfig;
pub use rows::{BadRow, BadRowCode, Row, Rows};
pub use runner::{Pace, SourceDeps, SourceHandle, SourceState, SourceStatus, start};

/// An input that gives the same rows again from any position it has given out.
///
/// Its functions block: the runner calls them on blocking threads, one at a time.
pub trait Source: Send {
    /// Reads on and gives rows to `rows`, until `rows` is full, a bounded number of bytes was read,
    /// or there is nothing more now.
    ///
    /// # Errors
    /// The input cannot be read further; what was given so far stays good.
    fn read(&mut self, rows: &mut Rows) -> Result<Reading, SourceError>;

    /// The place behind the last row given: opening there gives what would have come next.
    ///
    /// # Errors
    /// The input is not what was read any more.
    fn position(&self) -> Result<serde_json::Value, SourceError>;

    /// How much of the input was read.
    fn progress(&self) -> InputProgress;
}

/// What a call of `Source::read` ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// There is more: call again.
    More,
    /// Nothing now, perhaps later.
    Waiting,
    /// The input was read to its end and another one begins: what was given has to be in a
    /// checkpoint before anything of the other is appended.
    Turned,
    /// Nothing more, ever.
    End,
}

/// Looks at the head of the file that a source will read: its encoding and its header row.
///
/// # Errors
/// The source could not read it as it is.
pub fn look(config: &SourceConfig) -> Result<(), SourceError> {
    file::look(config)
}

/// Bytes of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputProgress {
    /// Read so far.
    pub read: u64,
    /// In all, as far as known.
    pub total: u64,
}

/// An input that was opened.
pub struct Opened {
    /// The input.
    pub source: Box<dyn Source>,
    /// Why it starts at its beginning although a position was given: it is another input.
    pub anew: Option<String>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("anew", &self.anew)
            .finish_non_exhaustive()
    }
}

/// Why an input is not read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(PathBuf),
    /// The operating system failed; trying again may help.
    #[error("could not read {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file was truncated or overwritten while it was read: it has to be opened again.
    #[error("{0} was changed while it was read")]
    Changed(PathBuf),
    /// The input as a whole cannot be read, whatever is tried again.
    #[error("{path}: {problem}; {hint}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}
