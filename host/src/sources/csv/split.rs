//! Finds where rows of CSV end, in one pass over the bytes whatever they hold.
//!
//! RFC 4180, and lenient where everybody is: a quote counts only at the start of a cell, text
//! behind a closing quote belongs to the cell, rows end at LF, CRLF or a lone CR.
//! Each byte is looked at a bounded number of times even if every line opens a quote that never
//! closes: what one failed look ahead learned is kept for the lines behind it.

use memchr::{memchr, memchr3};

use crate::sources::split::{BadSplit, Split, line_end_bytes, line_ends};

/// Finds row ends in a stream of which the caller always gives the bytes from the row's start.
#[derive(Debug, Clone)]
pub struct CsvSplitter {
    delimiter: u8,
    row_bytes_max: usize,
    scan: Scan,
    ahead: Option<Ahead>,
}

/// How far the row in work has been looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Scan {
    at: usize,
    quoted: bool,
    first_line: Option<Line>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    text: usize,
    bytes: usize,
}

/// What a failed look ahead learned. It met no row end before `at`, so every line end before `at`
/// was inside quotes: whoever meets one of them inside quotes will be at `at` in the state `quoted`.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    at: usize,
    quoted: bool,
}

impl CsvSplitter {
    /// A splitter at the start of a row.
    #[must_use]
    pub fn new(delimiter: u8, row_bytes_max: usize) -> Self {
        Self {
            delimiter,
            row_bytes_max,
            scan: Scan::default(),
            ahead: None,
        }
    }

    /// What stands at the front of `bytes`; `end` says that nothing will ever follow them.
    /// The caller then drops the bytes that the answer counts; after `More` it gives them again.
    pub fn next(&mut self, bytes: &[u8], end: bool) -> Split {
        let split = self.look(bytes, end);
        let gone = match split {
            Split::More => return split,
            Split::Blank { bytes } | Split::Row { bytes, .. } | Split::Bad { bytes, .. } => bytes,
            // The caller skips to a place that this splitter does not know.
            Split::Endless => usize::MAX,
        };
        self.scan = Scan::default();
        self.ahead = self.ahead.and_then(|ahead| {
            let at = ahead.at.checked_sub(gone).filter(|&at| at > 0)?;
            Some(Ahead { at, ..ahead })
        });
        split
    }

    fn look(&mut self, bytes: &[u8], end: bool) -> Split {
        if self.scan.at == 0
            && let Some(b'\r' | b'\n') = bytes.first()
        {
            return line_end_bytes(bytes, 0, end)
                .map_or(Split::More, |bytes| Split::Blank { bytes });
        }
        // Two bytes more than the longest row: its line end fits.
        let window = bytes.len().min(self.row_bytes_max.saturating_add(2));
        let last = end && window == bytes.len();
        let seen = &bytes[..window];
        if let Some(line) = self.scan(seen, last) {
            return self.row(seen, line);
        }
        if window > self.row_bytes_max.saturating_add(1) {
            self.too_long(None)
        } else if !last {
            Split::More
        } else if self.scan.quoted {
            let whole = Line {
                text: window,
                bytes: window,
            };
            self.bad(self.scan.first_line.unwrap_or(whole), BadSplit::OpenQuote)
        } else if window == 0 {
            Split::More
        } else {
            let whole = Line {
                text: window,
                bytes: window,
            };
            self.row(seen, whole)
        }
    }

    /// Looks on from where the last look ended; `Some` is the row up to its line end.
    fn scan(&mut self, seen: &[u8], last: bool) -> Option<Line> {
        while let Some(rest) = seen.get(self.scan.at..) {
            let found = if self.scan.quoted && self.scan.first_line.is_some() {
                memchr(b'"', rest)
            } else {
                memchr3(b'"', b'\n', b'\r', rest)
            };
            let Some(found) = found else {
                self.scan.at = seen.len();
                return None;
            };
            let at = self.scan.at + found;
            self.scan.at = at;
            if seen[at] == b'"' {
                if !self.quote(seen, at, last) {
                    return None;
                }
                continue;
            }
            let line = Line {
                text: at,
                bytes: at + line_end_bytes(seen, at, last)?,
            };
            if !self.scan.quoted {
                return Some(line);
            }
            self.scan.first_line = Some(line);
            self.scan.at = line.bytes;
            if let Some(ahead) = self.ahead.filter(|ahead| ahead.at > line.bytes) {
                self.scan.at = ahead.at;
                self.scan.quoted = ahead.quoted;
            }
        }
        None
    }

    /// Passes the quote at `at`; `false` if the byte behind it decides and is not there yet.
    fn quote(&mut self, seen: &[u8], at: usize, last: bool) -> bool {
        if !self.scan.quoted {
            let starts_cell = at == 0 || seen[at - 1] == self.delimiter;
            self.scan.quoted = starts_cell;
            self.scan.at = at + 1;
            return true;
        }
        match seen.get(at + 1) {
            Some(b'"') => self.scan.at = at + 2,
            None if !last => return false,
            _ => {
                self.scan.quoted = false;
                self.scan.at = at + 1;
            }
        }
        true
    }

    fn row(&mut self, seen: &[u8], line: Line) -> Split {
        if line.text > self.row_bytes_max {
            return self.too_long(Some(line));
        }
        let inner = self
            .scan
            .first_line
            .map_or(0, |_| line_ends(&seen[..line.text]));
        Split::Row {
            text: line.text,
            bytes: line.bytes,
            lines: inner + 1,
        }
    }

    /// `line` is the row if its end was seen: then, on one line, that line is skipped at once.
    fn too_long(&mut self, line: Option<Line>) -> Split {
        let quoted = self.scan.quoted || self.scan.first_line.is_some();
        match self.scan.first_line.or(line) {
            Some(line) => self.bad(line, BadSplit::TooLong { quoted }),
            None => Split::Endless,
        }
    }

    fn bad(&mut self, line: Line, why: BadSplit) -> Split {
        self.ahead = Some(Ahead {
            at: self.scan.at,
            quoted: self.scan.quoted,
        });
        Split::Bad {
            text: line.text,
            bytes: line.bytes,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits all of `input`, given in pieces of `piece` bytes, into (line, text, what).
    fn split(input: &[u8], max: usize, piece: usize) -> Vec<(u64, String, &'static str)> {
        let mut splitter = CsvSplitter::new(b',', max);
        let (mut front, mut seen, mut line, mut rows) = (0, 0, 1, Vec::new());
        while front < input.len() {
            let end = seen == input.len();
            let bytes = &input[front..seen];
            let (text, gone, lines, what) = match splitter.next(bytes, end) {
                Split::More if end => panic!("undecided at the end: {bytes:?}"),
                Split::More => {
                    seen = input.len().min(seen.saturating_add(piece));
                    continue;
                }
                Split::Blank { bytes } => (0, bytes, 1, "blank"),
                Split::Row { text, bytes, lines } => (text, bytes, lines, "row"),
                Split::Bad { text, bytes, why } => {
                    let why = match why {
                        BadSplit::TooLong { .. } => "long",
                        BadSplit::OpenQuote => "open",
                    };
                    (text, bytes, 1, why)
                }
                Split::Endless => {
                    let rest = &input[front..];
                    let at = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
                    let text = at.unwrap_or(rest.len());
                    let bytes = at.map_or(text, |at| {
                        at + line_end_bytes(rest, at, true).expect("it is the end")
                    });
                    seen = seen.max(front + bytes);
                    (text, bytes, 1, "endless")
                }
            };
            let text = String::from_utf8_lossy(&input[front..front + text]).into_owned();
            if what != "blank" {
                rows.push((line, text, what));
            }
            front += gone;
            line += lines;
        }
        rows
    }

    #[test]
    fn rows_end_where_everybody_ends_them() {
        type Rows = &'static [(u64, &'static str, &'static str)];
        let rows: [(&str, usize, Rows); 14] = [
            ("a,b\nc\n", 99, &[(1, "a,b", "row"), (2, "c", "row")]),
            (
                "a\r\nb\rc",
                99,
                &[(1, "a", "row"), (2, "b", "row"), (3, "c", "row")],
            ),
            ("\n\na\n\r\n\rb", 99, &[(3, "a", "row"), (6, "b", "row")]),
            (
                "\"a\nb\",c\nd",
                99,
                &[(1, "\"a\nb\",c", "row"), (3, "d", "row")],
            ),
            (
                "\"a\r\nb\rc\"\nd",
                99,
                &[(1, "\"a\r\nb\rc\"", "row"), (4, "d", "row")],
            ),
            (
                "\"a\"\"\nb\"\nc",
                99,
                &[(1, "\"a\"\"\nb\"", "row"), (3, "c", "row")],
            ),
            ("a\"b\nc\n", 99, &[(1, "a\"b", "row"), (2, "c", "row")]),
            (" \"b\nc\n", 99, &[(1, " \"b", "row"), (2, "c", "row")]),
            (
                "\"a\"b\"\nc\n",
                99,
                &[(1, "\"a\"b\"", "row"), (2, "c", "row")],
            ),
            ("a,\"", 99, &[(1, "a,\"", "open")]),
            (
                "a,\"b\nc,d\ne",
                99,
                &[(1, "a,\"b", "open"), (2, "c,d", "row"), (3, "e", "row")],
            ),
            ("aaaaaa\nb", 5, &[(1, "aaaaaa", "long"), (2, "b", "row")]),
            (
                "aaaaaaaaaaaaaa\nb",
                5,
                &[(1, "aaaaaaaaaaaaaa", "endless"), (2, "b", "row")],
            ),
            (
                "\"aa\nbb\ncc\"\nd",
                5,
                &[
                    (1, "\"aa", "long"),
                    (2, "bb", "row"),
                    (3, "cc\"", "row"),
                    (4, "d", "row"),
                ],
            ),
        ];
        for (input, max, want) in rows {
            for piece in [1, 2, 3, 1000] {
                let got = split(input.as_bytes(), max, piece);
                let got: Vec<_> = got.iter().map(|(l, t, w)| (*l, t.as_str(), *w)).collect();
                assert_eq!(got, want, "{input:?} in pieces of {piece}");
            }
        }
    }

    /// Each line looks as if it opened a quote, and closes and reopens the one before it.
    #[test]
    fn lines_that_all_open_a_quote_cost_one_look_each() {
        let line = b"a\",\"\n";
        let input = line.repeat(200_000);
        let rows = split(&input, 1 << 20, 1 << 18);
        assert_eq!(rows.len(), 200_000);
        assert!(rows.iter().all(|(_, _, what)| *what != "row"));
    }

    /// Hostile bytes in pieces of any size: the same rows, and every byte in one of them.
    #[test]
    fn pieces_change_no_answer() {
        let alphabet = b"ab,\"\"\n\r";
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..20_000 {
            let mut below = |bound: usize| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                usize::try_from(state >> 33).expect("31 bits") % bound
            };
            let (length, max, piece) = (below(40), 1 + below(12), 1 + below(5));
            let input: Vec<u8> = (0..length)
                .map(|_| alphabet[below(alphabet.len())])
                .collect();
            let (whole, pieces) = (split(&input, max, usize::MAX), split(&input, max, piece));
            assert_eq!(
                pieces, whole,
                "round {round}: {input:?}, bound {max}, pieces of {piece}"
            );
        }
    }

    /// The same answers as a splitter that forgets what it learned: `Ahead` only saves work.
    #[test]
    fn what_was_learned_ahead_changes_no_answer() {
        let alphabet = b"a,\"\n\r";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000 {
            let input: Vec<u8> = (0..24)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    alphabet[usize::try_from(state >> 33).expect("31 bits") % alphabet.len()]
                })
                .collect();
            let mut keeps = CsvSplitter::new(b',', 7);
            let mut front = 0;
            while front < input.len() {
                let mut forgets = CsvSplitter::new(b',', 7);
                let got = keeps.next(&input[front..], true);
                let want = forgets.next(&input[front..], true);
                assert_eq!(
                    got,
                    want,
                    "round {round}, {:?} at {front}",
                    input.as_slice()
                );
                front += match got {
                    Split::More => panic!("undecided at the end"),
                    Split::Blank { bytes } | Split::Row { bytes, .. } => bytes,
                    Split::Bad { bytes, .. } => bytes,
                    Split::Endless => input[front..]
                        .iter()
                        .position(|b| matches!(b, b'\r' | b'\n'))
                        .map_or(input.len() - front, |at| at + 1),
                };
            }
        }
    }
}
