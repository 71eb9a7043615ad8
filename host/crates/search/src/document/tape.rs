//! Parses one JSON document into a flat tape; what is not strict JSON is an error, never a panic.
//!
//! Strings stay where they are in the batch's text unless they hold escapes. Depth, keys and the
//! length of a key are bounded, so that a hostile document costs its own size and no more.

use crate::schema::COLUMN_STRING_BYTES_MAX;
use crate::time::parse_document_date;

/// Deepest nesting of objects and arrays.
pub const DOCUMENT_DEPTH_MAX: usize = 64;
/// Most keys in one document, nested ones included.
pub const DOCUMENT_KEYS_MAX: usize = 20_000;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;
/// Separates the keys of a path inside tantivy.
pub(crate) const PATH_SEPARATOR: char = '\u{1}';

/// Why a text is not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The bytes are not UTF-8.
    #[error("the document is not UTF-8 at byte {at}")]
    Utf8 {
        /// The first bad byte.
        at: usize,
    },
    /// The text is not JSON.
    #[error("the document is not JSON at byte {at}: {reason}")]
    Json {
        /// Where parsing stopped.
        at: usize,
        /// What was wrong there.
        reason: &'static str,
    },
    /// The text is JSON but not an object.
    #[error("the document is not a JSON object")]
    NotAnObject,
    /// A bound is exceeded.
    #[error("the document has {what} above the limit of {limit}")]
    Limit {
        /// Which bound.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

/// One element of a tape. Offsets point into the batch's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    /// Nanoseconds since 1970 of a string that is a day or an RFC 3339 time.
    Date(i64),
    Str {
        at: u32,
        len: u32,
    },
    /// A string that has words and no column.
    Words {
        at: u32,
        len: u32,
    },
    /// `depth` is the number of keys above it.
    Key {
        at: u32,
        len: u32,
        depth: u8,
    },
    /// `end` is the index behind the last element.
    Object {
        end: u32,
    },
    Array {
        end: u32,
    },
}

/// Where the parser writes: the tape and what does not stand in the text as it is.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    /// The elements of every document of the batch.
    pub(crate) nodes: Vec<Node>,
    /// Unescaped strings and paths; they follow the text they belong to.
    pub(crate) extra: String,
    /// Paths of strings too long for a column, in the batch's text.
    pub(crate) long: Vec<(u32, u32)>,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Where `text` begins in the batch's text.
    base: usize,
    /// Where `tape.extra` will begin in the batch's text.
    extra_base: usize,
    tape: &'a mut Tape,
    keys: usize,
    path: Vec<(u32, u32)>,
}

/// Parses `text`, which will stand at `base` of the batch's text with `tape.extra` behind it.
pub(crate) fn parse(text: &str, base: usize, tape: &mut Tape) -> Result<(), DocumentError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::Limit {
            what: "bytes",
            limit: DOCUMENT_BYTES_MAX,
        });
    }
    let mut parser = Parser {
        text,
        at: 0,
        base,
        extra_base: base + text.len(),
        tape,
        keys: 0,
        path: Vec::new(),
    };
    parser.space();
    let object = parser.peek() == b'{';
    parser.value(0)?;
    parser.space();
    if parser.at != text.len() {
        return Err(parser.error("more text behind the value"));
    }
    if object {
        Ok(())
    } else {
        Err(DocumentError::NotAnObject)
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("a batch's text is far below 4 GiB")
}

impl Parser<'_> {
    #[inline]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    #[cold]
    fn error(&self, reason: &'static str) -> DocumentError {
        DocumentError::Json {
            at: self.at,
            reason,
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), DocumentError> {
        match self.peek() {
            b'{' => self.container(depth, b'}', true),
            b'[' => self.container(depth, b']', false),
            b'"' => {
                let (at, len) = self.string()?;
                let node = self.string_node(at, len);
                self.tape.nodes.push(node);
                Ok(())
            }
            b't' => self.literal("true", Node::Bool(true)),
            b'f' => self.literal("false", Node::Bool(false)),
            b'n' => self.literal("null", Node::Null),
            _ => self.number(),
        }
    }

    fn container(&mut self, depth: usize, close: u8, object: bool) -> Result<(), DocumentError> {
        if depth >= DOCUMENT_DEPTH_MAX {
            return Err(DocumentError::Limit {
                what: "nesting",
                limit: DOCUMENT_DEPTH_MAX,
            });
        }
        let start = self.tape.nodes.len();
        self.tape.nodes.push(Node::Null);
        self.at += 1;
        self.space();
        if self.peek() == close {
            self.at += 1;
        } else {
            loop {
                self.space();
                if object {
                    self.key()?;
                }
                self.value(depth + 1)?;
                if object {
                    self.path.pop();
                }
                self.space();
                let byte = self.peek();
                if byte == b',' {
                    self.at += 1;
                } else if byte == close {
                    self.at += 1;
                    break;
                } else {
                    return Err(self.error("expected a comma or the closing bracket"));
                }
            }
        }
        let end = small(self.tape.nodes.len());
        self.tape.nodes[start] = if object {
            Node::Object { end }
        } else {
            Node::Array { end }
        };
        Ok(())
    }

    fn key(&mut self) -> Result<(), DocumentError> {
        if self.peek() != b'"' {
            return Err(self.error("expected a key"));
        }
        let (at, len) = self.string()?;
        if len as usize > KEY_BYTES_MAX {
            return Err(DocumentError::Limit {
                what: "a key's bytes",
                limit: KEY_BYTES_MAX,
            });
        }
        if self.slice(at, len).contains('\0') {
            return Err(self.error("a key with a NUL character"));
        }
        self.keys += 1;
        if self.keys > DOCUMENT_KEYS_MAX {
            return Err(DocumentError::Limit {
                what: "keys",
                limit: DOCUMENT_KEYS_MAX,
            });
        }
        let depth = u8::try_from(self.path.len()).expect("nesting is bounded");
        self.tape.nodes.push(Node::Key { at, len, depth });
        self.path.push((at, len));
        self.space();
        if self.peek() != b':' {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn literal(&mut self, word: &str, node: Node) -> Result<(), DocumentError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            self.tape.nodes.push(node);
            Ok(())
        } else {
            Err(self.error("expected a value"))
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<(), DocumentError> {
        let start = self.at;
        let negative = self.peek() == b'-';
        if negative {
            self.at += 1;
        }
        let first = self.peek();
        let digits = self.digits();
        if digits == 0 {
            return Err(self.error("expected a value"));
        }
        if first == b'0' && digits > 1 {
            return Err(self.error("a number begins with 0"));
        }
        let mut integer = true;
        if self.peek() == b'.' {
            self.at += 1;
            integer = false;
            if self.digits() == 0 {
                return Err(self.error("expected digits behind the point"));
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            integer = false;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.error("expected digits in the exponent"));
            }
        }
        let text = &self.text[start..self.at];
        let node = if let (true, Ok(n)) = (integer, text.parse::<i64>()) {
            Node::I64(n)
        } else if let (true, Ok(n)) = (integer, text.parse::<u64>()) {
            Node::U64(n)
        } else {
            match text.parse::<f64>() {
                Ok(n) if n.is_finite() => Node::F64(n),
                _ => return Err(self.error("a number out of range")),
            }
        };
        self.tape.nodes.push(node);
        Ok(())
    }

    /// Reads a string; answers where its unescaped bytes stand in the batch's text.
    fn string(&mut self) -> Result<(u32, u32), DocumentError> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match memchr::memchr2(b'"', b'\\', &bytes[self.at..]) {
                None => return Err(self.error("a string without end")),
                Some(n) if bytes[self.at + n] == b'"' => {
                    self.at += n;
                    break;
                }
                Some(n) => {
                    escaped = true;
                    self.at += n + 2;
                    if self.at > bytes.len() {
                        return Err(self.error("a string without end"));
                    }
                }
            }
        }
        let raw = &bytes[start..self.at];
        if raw.iter().any(|b| *b < 0x20) {
            return Err(self.error("a control character in a string"));
        }
        self.at += 1;
        if !escaped {
            return Ok((small(self.base + start), small(raw.len())));
        }
        let Ok(text) = serde_json::from_str::<String>(&self.text[start - 1..self.at]) else {
            return Err(self.error("a bad escape in a string"));
        };
        let at = self.extra_base + self.tape.extra.len();
        self.tape.extra.push_str(&text);
        Ok((small(at), small(text.len())))
    }

    fn slice(&self, at: u32, len: u32) -> &str {
        let (at, len) = (at as usize, len as usize);
        if at >= self.extra_base {
            &self.tape.extra[at - self.extra_base..at - self.extra_base + len]
        } else {
            &self.text[at - self.base..at - self.base + len]
        }
    }

    fn string_node(&mut self, at: u32, len: u32) -> Node {
        if len as usize > COLUMN_STRING_BYTES_MAX {
            self.note_long();
        } else if let Some(nanos) = parse_document_date(self.slice(at, len)) {
            return Node::Date(nanos);
        }
        Node::Str { at, len }
    }

    /// Notes the path of a string that gets no column value.
    fn note_long(&mut self) {
        let mut path = String::new();
        for (i, (at, len)) in self.path.iter().enumerate() {
            if i > 0 {
                path.push(PATH_SEPARATOR);
            }
            path.extend(self.slice(*at, *len).chars().map(|c| match c {
                '.' => PATH_SEPARATOR,
                c => c,
            }));
        }
        let at = self.extra_base + self.tape.extra.len();
        self.tape.extra.push_str(&path);
        self.tape.long.push((small(at), small(path.len())));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Tape, DocumentError> {
        let mut tape = Tape::default();
        parse(text, 0, &mut tape).map(|()| tape)
    }

    #[test]
    fn what_is_not_a_json_object_is_refused() {
        for bad in [
            "",
            "{",
            "}",
            "[1]",
            "1",
            "\"a\"",
            "null",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":1e999}",
            "{\"a\":nul}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1}x",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":1,}",
            "{,}",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_keys_and_key_length_are_bounded() {
        let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        assert!(parsed(&deep(DOCUMENT_DEPTH_MAX)).is_ok());
        assert!(parsed(&deep(DOCUMENT_DEPTH_MAX + 1)).is_err());
        assert!(parsed(&"[".repeat(1_000_000)).is_err());
        let wide = |n: usize| {
            let keys: Vec<String> = (0..n).map(|i| format!("\"k{i}\":1")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert!(parsed(&wide(DOCUMENT_KEYS_MAX)).is_ok());
        assert!(parsed(&wide(DOCUMENT_KEYS_MAX + 1)).is_err());
        let key = |n: usize| format!("{{\"{}\":1}}", "k".repeat(n));
        assert!(parsed(&key(KEY_BYTES_MAX)).is_ok());
        assert!(parsed(&key(KEY_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn values_keep_their_type() {
        let tape = parsed(
            r#"{"i":-3,"u":18446744073709551615,"f":2.5,"s":"x","d":"2026-11-21T10:00:00Z","b":true,"e":"\u00e9"}"#,
        )
        .unwrap();
        let values: Vec<Node> = tape
            .nodes
            .iter()
            .filter(|n| !matches!(n, Node::Key { .. } | Node::Object { .. } | Node::Str { .. }))
            .copied()
            .collect();
        assert_eq!(
            values,
            [
                Node::I64(-3),
                Node::U64(u64::MAX),
                Node::F64(2.5),
                Node::Date(1_795_255_200_000_000_000),
                Node::Bool(true)
            ]
        );
        assert_eq!(tape.extra, "\u{e9}");
    }

    #[test]
    fn a_long_string_notes_its_path() {
        let text = format!(r#"{{"a.b":{{"c":["{}"]}}}}"#, "x".repeat(257));
        let tape = parsed(&text).unwrap();
        assert_eq!(tape.long.len(), 1);
        assert_eq!(tape.extra, "a\u{1}b\u{1}c");
    }

    proptest! {
        #[test]
        fn accepts_exactly_the_objects_that_a_json_parser_accepts(text in "[\\{\\}\\[\\]\",:a-c0-2.eE+\\\\ \\-]{0,24}") {
            let object = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v.is_object());
            prop_assert_eq!(parsed(&text).is_ok(), object);
        }
    }
}
