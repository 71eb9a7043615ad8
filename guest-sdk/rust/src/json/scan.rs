//! Reads JSON text once and accepts exactly what the grammar allows: values up to 128 deep,
//! strings with valid escapes and no control characters, numbers without superfluous zeros.
//!
//! It never indexes and never goes back. Whether the text is UTF-8 is looked at on its own, so
//! that a text of ASCII costs nothing more. Places are passed and returned by value: kept behind a
//! reference they would go through memory at every byte.

use super::chunk::{CHUNK, first_non_digit, first_special, is_ascii};
use super::error::Error;

/// The deepest nesting; serde_json's bound too, so that both ways accept the same records.
pub(super) const DEPTH_MAX: u32 = 128;

/// What is wrong where something that must come is missing.
const NO_KEY: &str = "a key is missing";
const NO_COLON: &str = "a colon is missing";
const NO_VALUE: &str = "a value is missing";
const NO_END: &str = "a comma or the end of the array or object is missing";

#[cold]
#[inline(never)]
const fn error<T>(at: usize, what: &'static str) -> Result<T, Error> {
    Err(Error { what, at })
}

/// The place behind white space, of which there mostly is none.
#[inline(always)]
pub(super) fn space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if *byte <= b' ' => more_space(bytes, at),
        _ => at,
    }
}

#[cold]
#[inline(never)]
fn more_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The place behind the value at `at`.
#[inline(always)]
pub(super) fn value(bytes: &[u8], at: usize, depth: u32) -> Result<usize, Error> {
    match bytes.get(at) {
        Some(b'"') => string(bytes, at).map(|(end, _)| end),
        Some(b'-' | b'0'..=b'9') => number(bytes, at),
        Some(b'{' | b'[') => container(bytes, at, depth),
        Some(b't') => word(bytes, at, b"true"),
        Some(b'f') => word(bytes, at, b"false"),
        Some(b'n') => word(bytes, at, b"null"),
        _ => error(at, NO_VALUE),
    }
}

#[inline(never)]
fn container(bytes: &[u8], mut at: usize, depth: u32) -> Result<usize, Error> {
    if depth >= DEPTH_MAX {
        return error(at, "nested more than 128 deep");
    }
    let is_object = bytes.get(at) == Some(&b'{');
    let end = if is_object { b'}' } else { b']' };
    at = space(bytes, at + 1);
    if bytes.get(at) == Some(&end) {
        return Ok(at + 1);
    }
    loop {
        if is_object {
            let (key_end, _) = key(bytes, at)?;
            at = colon(bytes, key_end)?;
        }
        at = value(bytes, at, depth + 1)?;
        match next(bytes, at, end)? {
            Next::Member(member) => at = member,
            Next::End(end) => return Ok(end + 1),
        }
    }
}

/// What comes behind a member.
pub(super) enum Next {
    /// Another one, there.
    Member(usize),
    /// The closing bracket, there.
    End(usize),
}

/// What comes behind the member of an array or object that `end` closes.
#[inline(always)]
pub(super) fn next(bytes: &[u8], at: usize, end: u8) -> Result<Next, Error> {
    let at = space(bytes, at);
    match bytes.get(at) {
        Some(b',') => Ok(Next::Member(space(bytes, at + 1))),
        Some(byte) if *byte == end => Ok(Next::End(at)),
        _ => error(at, NO_END),
    }
}

/// Where a key ends, before its colon, and whether it has escapes.
#[inline(always)]
pub(super) fn key(bytes: &[u8], at: usize) -> Result<(usize, bool), Error> {
    if bytes.get(at) != Some(&b'"') {
        return error(at, NO_KEY);
    }
    string(bytes, at)
}

/// The place behind a colon and the space around.
#[inline(always)]
pub(super) fn colon(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let at = space(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return error(at, NO_COLON);
    }
    Ok(space(bytes, at + 1))
}

/// Where the string whose quote is at `at` ends, and whether it has escapes.
#[inline(always)]
pub(super) fn string(bytes: &[u8], at: usize) -> Result<(usize, bool), Error> {
    let at = plain(bytes, at + 1);
    if bytes.get(at) == Some(&b'"') {
        return Ok((at + 1, false));
    }
    rest_of_string(bytes, at).map(|end| (end, true))
}

/// The rest of a string, from the first thing in it that is not plain.
#[inline(never)]
fn rest_of_string(bytes: &[u8], mut at: usize) -> Result<usize, Error> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = plain(bytes, escape(bytes, at)?),
            Some(_) => return error(at, "a control character in a string"),
            None => return error(at, "a string does not end"),
        }
    }
}

/// The place of the first byte that needs a look inside a string.
#[inline(always)]
fn plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|b| b.first_chunk::<CHUNK>()) {
        let place = first_special(chunk);
        at += place;
        if place < CHUNK {
            return at;
        }
    }
    last_plain(bytes, at)
}

#[inline(never)]
fn last_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < b' ' {
            break;
        }
        at += 1;
    }
    at
}

fn escape(bytes: &[u8], at: usize) -> Result<usize, Error> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match bytes.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            _ => error(at, "an escape that needs four hexadecimal digits"),
        },
        _ => error(at, "an escape that JSON does not have"),
    }
}

#[inline(always)]
fn number(bytes: &[u8], mut at: usize) -> Result<usize, Error> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    if bytes.get(at) == Some(&b'0') {
        at += 1;
    } else {
        at = digits(bytes, at)?;
    }
    match bytes.get(at) {
        Some(b'.' | b'e' | b'E') => fraction(bytes, at),
        _ => Ok(at),
    }
}

/// The fraction and exponent of a number.
fn fraction(bytes: &[u8], mut at: usize) -> Result<usize, Error> {
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// The place behind digits, of which there must be one.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let mut at = start;
    while let Some(chunk) = bytes.get(at..).and_then(|b| b.first_chunk::<CHUNK>()) {
        let place = first_non_digit(chunk);
        at += place;
        if place < CHUNK {
            return some_digit(start, at);
        }
    }
    some_digit(start, last_digits(bytes, at))
}

#[inline(never)]
fn last_digits(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

#[inline(always)]
fn some_digit(start: usize, end: usize) -> Result<usize, Error> {
    if start == end {
        error(end, "a digit is missing")
    } else {
        Ok(end)
    }
}

#[inline(never)]
fn word(bytes: &[u8], at: usize, word: &'static [u8]) -> Result<usize, Error> {
    if bytes.get(at..at + word.len()) == Some(word) {
        return Ok(at + word.len());
    }
    error(at, NO_VALUE)
}

/// Checks that a text is one JSON value with nothing but space around it.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    finish(bytes, value(bytes, space(bytes, 0), 0)?)
}

/// Checks what is behind the value, and the encoding.
#[inline(always)]
pub(super) fn finish(bytes: &[u8], end: usize) -> Result<(), Error> {
    let at = space(bytes, end);
    if at < bytes.len() {
        return error(at, "something behind the end");
    }
    if is_ascii(bytes) {
        Ok(())
    } else {
        check_utf8(bytes)
    }
}

#[inline(never)]
fn check_utf8(bytes: &[u8]) -> Result<(), Error> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(wrong) => error(wrong.valid_up_to(), "bytes that are not UTF-8"),
    }
}
