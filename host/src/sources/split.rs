//! Where the next row of a byte stream ends: what every splitter answers.
//!
//! A splitter is a plain function on bytes with a little memory, so it can be fuzzed and started
//! again at any row. A physical line ends at LF, CRLF or a lone CR, inside quotes as well.

/// What stands at the front of the bytes that a splitter was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Not decided: give the same bytes and more behind them.
    More,
    /// A blank line of `bytes`, which is no row.
    Blank {
        /// With its line end.
        bytes: usize,
    },
    /// A row.
    Row {
        /// Its bytes without the line end.
        text: usize,
        /// Its bytes with the line end.
        bytes: usize,
        /// Physical lines it takes.
        lines: u64,
    },
    /// One physical line that cannot be part of a row; what follows it is looked at afresh.
    Bad {
        /// Its bytes without the line end.
        text: usize,
        /// Its bytes with the line end.
        bytes: usize,
        /// Why.
        why: BadSplit,
    },
    /// A physical line that is longer than the bound and whose end is not in sight.
    Endless,
}

/// Why a line begins no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSplit {
    /// The row that begins here is longer than the bound.
    TooLong {
        /// Whether it has a quote that was still open at the bound.
        quoted: bool,
    },
    /// A quote that is opened in the row was still open at the end of the input.
    OpenQuote,
}

/// Bytes of the line end at `at`, which holds CR or LF; `None` if a CR is the last byte seen and
/// more may come.
pub(super) fn line_end_bytes(bytes: &[u8], at: usize, end: bool) -> Option<usize> {
    if bytes.get(at) == Some(&b'\n') {
        return Some(1);
    }
    match bytes.get(at + 1) {
        Some(b'\n') => Some(2),
        Some(_) => Some(1),
        None => end.then_some(1),
    }
}

/// Line ends in `bytes`; CRLF is one.
pub(super) fn line_ends(bytes: &[u8]) -> u64 {
    let ends = memchr::memchr2_iter(b'\n', b'\r', bytes)
        .filter(|&i| bytes[i] == b'\n' || bytes.get(i + 1) != Some(&b'\n'));
    u64::try_from(ends.count()).expect("a slice's length fits u64")
}
