//! Reads JSON text once and accepts exactly what the grammar allows: values up to 128 deep,
//! strings with valid escapes and no control characters, numbers without superfluous zeros.
//!
//! It never indexes and never goes back. Where strings may end is found for 64 bytes at a time, so
//! that the end of one does not wait for a look at memory. Strings say whether they hold anything but
//! ASCII; only then is the text looked at again, for UTF-8.
//!
//! What is common is inlined where it is used, what is rare is a call. A call takes at most four
//! words and returns one: in a module compiled by wasmtime the others go through memory, 32 bits
//! written and 64 read, for which a processor waits.

use std::num::NonZeroUsize;

use super::chunk::{CHUNK, WINDOW, non_digits, wide_stops, window_stops};
use super::error::Error;

/// The deepest nesting; serde_json's bound too, so that both ways accept the same records.
const DEPTH_MAX: u32 = 128;

/// What stands between members and their parts where there is a space or none.
const COLON_SPACE: u16 = u16::from_le_bytes(*b": ");
const COMMA_SPACE: u16 = u16::from_le_bytes(*b", ");
const COMMA_QUOTE: u16 = u16::from_le_bytes(*b",\"");

/// What is wrong where something that must come is missing.
const NO_VALUE: &str = "a value is missing";
const NO_END: &str = "a comma or the end of the array or object is missing";

/// A place behind something.
type End = Option<NonZeroUsize>;

/// A text in work, and what is rare in it: only what meets that goes through here.
#[derive(Debug)]
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    /// Where `stops` begins.
    base: usize,
    /// Of the bytes from there on those at which plain text in a string ends.
    stops: u64,
    /// Strings with bytes above 127, not checked yet.
    wide: bool,
    /// Strings with escapes.
    escapes: bool,
    /// Names with escapes.
    pub(super) escaped_names: bool,
    /// Why there is no place behind what was to be read.
    wrong: Error,
}

/// A value's place and its first byte.
pub(super) type Begin = (usize, u8);

/// Where a member is: the text of its key, the place behind the key's quote, and its value.
pub(super) struct Place {
    pub(super) key: usize,
    pub(super) key_end: usize,
    pub(super) value: usize,
    pub(super) value_end: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            base: 0,
            stops: 0,
            wide: false,
            escapes: false,
            escaped_names: false,
            wrong: Error {
                what: NO_VALUE,
                at: 0,
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn wrong<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
        self.wrong = Error { what, at };
        None
    }

    /// Why there is no place.
    #[cold]
    pub(super) fn error(&self) -> Error {
        self.wrong
    }

    /// The value behind the colon at `at`.
    #[inline(always)]
    fn colon(&mut self, at: usize) -> Option<Begin> {
        match two(self.bytes, at) {
            Some(pair) if pair as u8 == b':' && pair >> 8 > u16::from(b' ') => {
                Some((at + 1, (pair >> 8) as u8))
            }
            // As many programs write it.
            Some(COLON_SPACE) => match self.bytes.get(at + 2) {
                Some(first) if *first > b' ' => Some((at + 2, *first)),
                _ => self.colon_and_space(at),
            },
            _ => self.colon_and_space(at),
        }
    }

    #[inline(never)]
    fn colon_and_space(&mut self, at: usize) -> Option<Begin> {
        let at = space(self.bytes, at);
        if self.bytes.get(at) != Some(&b':') {
            return self.wrong(at, "a colon is missing");
        }
        self.begin(at + 1)
    }

    /// The value at `at` or behind white space there.
    #[inline(always)]
    pub(super) fn begin(&mut self, at: usize) -> Option<Begin> {
        let at = space(self.bytes, at);
        match self.bytes.get(at) {
            Some(first) => Some((at, *first)),
            None => self.wrong(at, NO_VALUE),
        }
    }

    /// The text of the key at `at` or behind white space there.
    #[inline(never)]
    fn key(&mut self, at: usize) -> End {
        let at = space(self.bytes, at);
        if self.bytes.get(at) != Some(&b'"') {
            return self.wrong(at, "a key is missing");
        }
        behind(at)
    }

    /// The place behind the object whose brace, the one before `at`, is `depth` deep; `each` is told
    /// its members.
    #[inline(always)]
    pub(super) fn object(&mut self, at: usize, depth: u32, mut each: impl FnMut(Place)) -> End {
        let inside = space(self.bytes, at);
        if self.bytes.get(inside) == Some(&b'}') {
            return behind(inside);
        }
        let mut at = self.key(inside)?.get();
        loop {
            let key_end = self.name(at)?.get();
            let begin = self.colon(key_end)?;
            let value_end = self.value(begin, depth)?.get();
            each(Place {
                key: at,
                key_end,
                value: begin.0,
                value_end,
            });
            at = match two(self.bytes, value_end) {
                Some(COMMA_QUOTE) => value_end + 2,
                Some(COMMA_SPACE) if self.bytes.get(value_end + 2) == Some(&b'"') => value_end + 3,
                _ => {
                    let end = space(self.bytes, value_end);
                    match self.bytes.get(end) {
                        Some(b'}') => return behind(end),
                        Some(b',') => self.key(end + 1)?.get(),
                        _ => return self.wrong(end, NO_END),
                    }
                }
            };
        }
    }

    /// The place behind the array whose bracket, the one before `at`, is `depth` deep.
    #[inline(always)]
    fn array(&mut self, at: usize, depth: u32) -> End {
        let mut at = space(self.bytes, at);
        if self.bytes.get(at) == Some(&b']') {
            return behind(at);
        }
        loop {
            let begin = self.begin(at)?;
            let end = self.value(begin, depth)?.get();
            let end = space(self.bytes, end);
            match self.bytes.get(end) {
                Some(b',') => at = end + 1,
                Some(b']') => return behind(end),
                _ => return self.wrong(end, NO_END),
            }
        }
    }

    /// The place behind the value that begins there, with so many arrays and objects around it.
    #[inline(always)]
    pub(super) fn value(&mut self, (at, first): Begin, depth: u32) -> End {
        if first == b'"' {
            self.string(at + 1)
        } else if first.is_ascii_digit() {
            self.number(at)
        } else if first | 0x20 == b'{' {
            self.container((at, first), depth)
        } else {
            self.other_scalar(at)
        }
    }

    #[inline(never)]
    fn container(&mut self, (at, first): Begin, depth: u32) -> End {
        if depth >= DEPTH_MAX {
            return self.wrong(at, "nested more than 128 deep");
        }
        if first == b'{' {
            self.object(at + 1, depth + 1, |_| {})
        } else {
            self.array(at + 1, depth + 1)
        }
    }

    /// The place behind a number below zero, `true`, `false` or `null`.
    #[inline(never)]
    fn other_scalar(&mut self, at: usize) -> End {
        if self.bytes.get(at) == Some(&b'-') {
            return self.any_number(at);
        }
        match self.bytes.get(at..).and_then(|b| b.first_chunk::<4>()) {
            Some(b"true" | b"null") => behind(at + 3),
            Some(b"fals") if self.bytes.get(at + 4) == Some(&b'e') => behind(at + 4),
            _ => self.wrong(at, NO_VALUE),
        }
    }

    /// The place behind the string whose text begins at `at`.
    #[inline(always)]
    pub(super) fn string(&mut self, at: usize) -> End {
        let end = self.next_stop(at);
        match self.bytes.get(end) {
            Some(b'"') => behind(end),
            _ => self.odd_string(end),
        }
    }

    /// As `string`, of a name.
    #[inline(always)]
    fn name(&mut self, at: usize) -> End {
        let end = self.next_stop(at);
        match self.bytes.get(end) {
            Some(b'"') => behind(end),
            _ => self.odd_name(end),
        }
    }

    /// The first place at or behind `at` at which plain text ends, or the text's end.
    #[inline(always)]
    fn next_stop(&mut self, at: usize) -> usize {
        let passed = at.wrapping_sub(self.base);
        if passed < WINDOW {
            let stops = self.stops >> passed;
            if stops != 0 {
                return at + stops.trailing_zeros() as usize;
            }
        }
        self.look(at)
    }

    /// As `next_stop`, by a look at the bytes.
    #[inline(never)]
    fn look(&mut self, mut at: usize) -> usize {
        loop {
            let window = self.bytes.get(at..).and_then(|b| b.first_chunk());
            let stops = match window {
                Some(window) => window_stops(window),
                None => last_stops(self.bytes, at),
            };
            if stops != 0 {
                (self.base, self.stops) = (at, stops);
                return at + stops.trailing_zeros() as usize;
            }
            at += WINDOW;
        }
    }

    #[inline(never)]
    fn odd_name(&mut self, at: usize) -> End {
        let before = std::mem::take(&mut self.escapes);
        let end = self.odd_string(at);
        self.escaped_names |= self.escapes;
        self.escapes |= before;
        end
    }

    /// Any string, from anywhere in it.
    #[inline(never)]
    fn odd_string(&mut self, mut at: usize) -> End {
        loop {
            match self.bytes.get(at) {
                Some(b'"') => return behind(at),
                Some(b'\\') => {
                    self.escapes = true;
                    at = self.escape(at)?.get();
                }
                Some(128..) => {
                    self.wide = true;
                    at = run(self.bytes, at + 1, wide_stops);
                    continue;
                }
                Some(b' '..) => {}
                Some(_) => return self.wrong(at, "a control character in a string"),
                None => return self.wrong(at, "a string does not end"),
            }
            at = self.next_stop(at);
        }
    }

    fn escape(&mut self, at: usize) -> End {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => behind(at + 1),
            Some(b'u') => match self.bytes.get(at + 2..at + 6) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => behind(at + 5),
                _ => self.wrong(at, "an escape that needs four hexadecimal digits"),
            },
            _ => self.wrong(at, "an escape that JSON does not have"),
        }
    }

    /// The place behind the number at `at`: nearly all fit a chunk, with a fraction, without exponent.
    #[inline(always)]
    fn number(&mut self, at: usize) -> End {
        if let Some(chunk) = chunk_at(self.bytes, at) {
            let others = non_digits(chunk);
            let whole = others.trailing_zeros() as usize;
            // A zero in front stands alone.
            if chunk[0] != b'0' || whole == 1 {
                match chunk.get(whole) {
                    Some(b'.') => {
                        let part = (others >> (whole + 1)).trailing_zeros() as usize;
                        let end = whole + 1 + part;
                        if part > 0 && chunk.get(end).is_some_and(|byte| byte | 0x20 != b'e') {
                            return NonZeroUsize::new(at + end);
                        }
                    }
                    Some(byte) if byte | 0x20 != b'e' => return NonZeroUsize::new(at + whole),
                    _ => {}
                }
            }
        }
        self.any_number(at)
    }

    /// The place behind any number, step by step.
    #[inline(never)]
    fn any_number(&mut self, mut at: usize) -> End {
        at += usize::from(self.bytes.get(at) == Some(&b'-'));
        if self.bytes.get(at) == Some(&b'0') {
            at += 1;
        } else {
            at = self.some_digits(at)?.get();
        }
        if self.bytes.get(at) == Some(&b'.') {
            at = self.some_digits(at + 1)?.get();
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            at = self.some_digits(at)?.get();
        }
        NonZeroUsize::new(at)
    }

    /// The place behind digits, of which there must be one.
    fn some_digits(&mut self, start: usize) -> End {
        let end = run(self.bytes, start, non_digits);
        if start == end {
            return self.wrong(end, "a digit is missing");
        }
        NonZeroUsize::new(end)
    }

    /// The place behind the text's value; checks what is behind it, and the encoding.
    #[inline(always)]
    pub(super) fn finish(&self, end: End) -> Result<usize, Error> {
        let Some(end) = end else {
            return Err(self.error());
        };
        let at = space(self.bytes, end.get());
        if at < self.bytes.len() {
            let what = "something behind the end";
            return Err(Error { what, at });
        }
        if self.wide {
            check_utf8(self.bytes)?;
        }
        Ok(end.get())
    }
}

/// Checks that a text is one JSON value with nothing but space around it.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut text = Text::new(bytes);
    let begin = text.begin(0);
    let end = begin.and_then(|begin| text.value(begin, 0));
    text.finish(end).map(|_| ())
}

/// The place behind white space, of which there mostly is none.
#[inline(always)]
pub(super) fn space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if *byte <= b' ' => more_space(bytes, at),
        _ => at,
    }
}

#[inline(never)]
fn more_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The two bytes at `at`, the first in the low half.
#[inline(always)]
fn two(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_le_bytes)
}

/// The place behind the byte at `at`.
#[inline(always)]
const fn behind(at: usize) -> End {
    NonZeroUsize::new(at + 1)
}

#[inline(always)]
fn chunk_at(bytes: &[u8], at: usize) -> Option<&[u8; CHUNK]> {
    bytes.get(at..)?.first_chunk()
}

/// The first place at or behind `at` whose byte is in the mask of its chunk, or the text's end.
#[inline(always)]
fn run(bytes: &[u8], mut at: usize, mask: impl Fn(&[u8; CHUNK]) -> u32 + Copy) -> usize {
    loop {
        let Some(chunk) = bytes.get(at..).and_then(|b| b.first_chunk()) else {
            return at + last_mask(bytes, at, mask).trailing_zeros() as usize;
        };
        let found = mask(chunk);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += CHUNK;
    }
}

/// The mask of the last bytes, fewer than a chunk; the place behind the last is in it.
#[inline(never)]
fn last_mask(bytes: &[u8], at: usize, mask: impl Fn(&[u8; CHUNK]) -> u32) -> u32 {
    let left = bytes.len().saturating_sub(at);
    let found = match bytes.last_chunk() {
        Some(last) => mask(last) >> (CHUNK - left),
        None => {
            let mut padded = [0; CHUNK];
            let rest = bytes.get(at..).unwrap_or_default();
            padded
                .iter_mut()
                .zip(rest)
                .for_each(|(to, from)| *to = *from);
            mask(&padded)
        }
    };
    found | 1 << left
}

/// The stops of the last bytes, fewer than a window; the place behind the last is one.
#[inline(never)]
fn last_stops(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let stops = match bytes.last_chunk() {
        Some(last) => {
            let before = (WINDOW - rest.len()) as u32;
            window_stops(last).checked_shr(before).unwrap_or(0)
        }
        None => {
            let mut padded = [0; WINDOW];
            let bytes = padded.iter_mut().zip(rest);
            bytes.for_each(|(to, from)| *to = *from);
            window_stops(&padded)
        }
    };
    stops | 1 << rest.len()
}

#[inline(never)]
fn check_utf8(bytes: &[u8]) -> Result<(), Error> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(Error {
            what: "bytes that are not UTF-8",
            at: wrong.valid_up_to(),
        }),
    }
}
