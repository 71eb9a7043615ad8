//! Why bytes are not JSON, and where.

use std::fmt;

/// Why bytes are not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

impl Error {
    /// The byte at which it was seen.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a JSON object: {} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for Error {}
