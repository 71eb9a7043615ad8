//! Finds where lines end.

use memchr::memchr;

use crate::sources::split::{BadSplit, Split};

/// Finds line ends in a stream of which the caller always gives the bytes from the line's start.
/// Lines end at LF; a CR before it belongs to the line end. A lone CR is data.
#[derive(Debug, Clone)]
pub struct LineSplitter {
    line_bytes_max: usize,
    seen: usize,
}

impl LineSplitter {
    /// A splitter at the start of a line.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            seen: 0,
        }
    }

    /// What stands at the front of `bytes`; `end` says that nothing will ever follow them.
    /// The caller then drops the bytes that the answer counts; after `More` it gives them again.
    pub fn next(&mut self, bytes: &[u8], end: bool) -> Split {
        let fresh = bytes.get(self.seen..).unwrap_or_default();
        let found = memchr(b'\n', fresh).map(|at| self.seen + at);
        self.seen = 0;
        let (whole, bytes_gone) = match found {
            Some(at) => (at, at + 1),
            None if bytes.len() > self.line_bytes_max.saturating_add(1) => return Split::Endless,
            None if end && !bytes.is_empty() => (bytes.len(), bytes.len()),
            None => {
                self.seen = bytes.len();
                return Split::More;
            }
        };
        let line = &bytes[..whole];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) {
            Split::Blank { bytes: bytes_gone }
        } else if line.len() > self.line_bytes_max {
            Split::Bad {
                text: line.len(),
                bytes: bytes_gone,
                why: BadSplit::TooLong { quoted: false },
            }
        } else {
            Split::Row {
                text: line.len(),
                bytes: bytes_gone,
                lines: 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        let row = |text, bytes| Split::Row {
            text,
            bytes,
            lines: 1,
        };
        let long = Split::Bad {
            text: 6,
            bytes: 7,
            why: BadSplit::TooLong { quoted: false },
        };
        let rows = [
            ("ab\ncd", false, row(2, 3)),
            ("ab\r\n", false, row(2, 4)),
            ("a\rb\n", false, row(3, 4)),
            (" \t\r\nx", false, Split::Blank { bytes: 4 }),
            ("\n", false, Split::Blank { bytes: 1 }),
            ("ab", false, Split::More),
            ("", true, Split::More),
            ("ab", true, row(2, 2)),
            ("abcde\n", false, row(5, 6)),
            ("abcdef\n", false, long),
            ("abcdefg", false, Split::Endless),
        ];
        for (bytes, end, want) in rows {
            let mut splitter = LineSplitter::new(5);
            assert_eq!(splitter.next(bytes.as_bytes(), end), want, "{bytes:?}");
            let mut splitter = LineSplitter::new(5);
            for cut in 0..bytes.len().min(5) {
                if !bytes[..cut].contains('\n') {
                    assert_eq!(splitter.next(&bytes.as_bytes()[..cut], false), Split::More);
                }
            }
            assert_eq!(
                splitter.next(bytes.as_bytes(), end),
                want,
                "{bytes:?} in pieces"
            );
        }
    }
}
