//! Reads JSON text once and accepts exactly what the grammar allows: values up to 128 deep,
//! strings with valid escapes and no control characters, numbers without superfluous zeros.
//!
//! It never indexes and never goes back. Whether the text is UTF-8 is left to the caller, who
//! need only look if a byte above 127 was seen.

use super::chunk::{CHUNK, first_special};
use super::error::Error;

/// The deepest nesting; serde_json's bound too, so that both ways accept the same records.
pub(super) const DEPTH_MAX: u32 = 128;

/// A place in a text and what was seen on the way.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    non_ascii: bool,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self::starting(bytes, 0)
    }

    /// A scanner in the middle of a text.
    pub(super) const fn starting(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            non_ascii: false,
        }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Whether a byte above 127 may have been passed; never false if one was.
    pub(super) const fn non_ascii(&self) -> bool {
        self.non_ascii
    }

    #[cold]
    pub(super) const fn error(&self, what: &'static str) -> Error {
        Error { what, at: self.at }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes `byte` if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes a value.
    #[inline]
    pub(super) fn value(&mut self, depth: u32) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{' | b'[') => self.container(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.error("a value is missing")),
        }
    }

    fn container(&mut self, depth: u32) -> Result<(), Error> {
        if depth >= DEPTH_MAX {
            return Err(self.error("nested more than 128 deep"));
        }
        let is_object = self.peek() == Some(b'{');
        let end = if is_object { b'}' } else { b']' };
        self.at += 1;
        self.space();
        if self.take(end) {
            return Ok(());
        }
        loop {
            if is_object {
                self.key()?;
            }
            self.value(depth + 1)?;
            self.space();
            if self.take(b',') {
                self.space();
            } else if self.take(end) {
                return Ok(());
            } else {
                return Err(self.error("a comma or the end of the array or object is missing"));
            }
        }
    }

    /// Passes a key, its colon and the space around; true if the key has escapes.
    #[inline]
    pub(super) fn key(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.error("a key is missing"));
        }
        let escaped = self.string()?;
        self.colon()?;
        Ok(escaped)
    }

    /// Passes a colon and the space around.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Error> {
        self.space();
        if !self.take(b':') {
            return Err(self.error("a colon is missing"));
        }
        self.space();
        Ok(())
    }

    /// Passes a string, whose quote is next; true if it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<bool, Error> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("a string does not end")),
            }
        }
    }

    /// Passes what needs no look inside a string.
    #[inline]
    fn plain(&mut self) {
        while let Some(chunk) = self
            .bytes
            .get(self.at..)
            .and_then(|b| b.first_chunk::<CHUNK>())
        {
            let (place, non_ascii) = first_special(chunk);
            self.at += place;
            self.non_ascii |= non_ascii;
            if place < CHUNK {
                return;
            }
        }
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < b' ' {
                return;
            }
            self.non_ascii |= !byte.is_ascii();
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Error> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.bytes.get(self.at + 2..self.at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    self.at += 6;
                    Ok(())
                }
                _ => Err(self.error("an escape that needs four hexadecimal digits")),
            },
            _ => Err(self.error("an escape that JSON does not have")),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Error> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error("a digit is missing"));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Error> {
        if self.bytes.get(self.at..self.at + word.len()) == Some(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.error("a value is missing"))
    }
}

/// Checks that a text is one JSON value with nothing but space around it.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut scanner = Scanner::new(bytes);
    scanner.space();
    scanner.value(0)?;
    finish(scanner, bytes)
}

/// Checks what is behind the value, and the encoding.
#[inline]
pub(super) fn finish(mut scanner: Scanner<'_>, bytes: &[u8]) -> Result<(), Error> {
    scanner.space();
    if scanner.peek().is_some() {
        return Err(scanner.error("something behind the end"));
    }
    if scanner.non_ascii() {
        std::str::from_utf8(bytes).map_err(|error| Error {
            what: "bytes that are not UTF-8",
            at: error.valid_up_to(),
        })?;
    }
    Ok(())
}
