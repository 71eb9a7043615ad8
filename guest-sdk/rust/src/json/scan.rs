//! Reads JSON text once and accepts exactly what the grammar allows: values up to 128 deep,
//! strings with valid escapes and no control characters, numbers without superfluous zeros.
//!
//! It never indexes and never goes back. Strings say whether they hold anything but ASCII; only
//! then is the text looked at again, for UTF-8. Places are passed and returned by value: kept
//! behind a reference they would go through memory at every byte. What is common is inlined where
//! it is used, what is rare is a call.

use super::chunk::{CHUNK, non_digits, stops, wide_stops};
use super::error::Error;

/// The deepest nesting; serde_json's bound too, so that both ways accept the same records.
pub(super) const DEPTH_MAX: u32 = 128;

/// What is wrong where something that must come is missing.
const NO_VALUE: &str = "a value is missing";
const NO_END: &str = "a comma or the end of the array or object is missing";

#[cold]
#[inline(never)]
const fn error<T>(at: usize, what: &'static str) -> Result<T, Error> {
    Err(Error { what, at })
}

/// What strings hold beside plain ASCII. Only strings that do go through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holds {
    escapes: bool,
    /// Bytes above 127, not checked yet.
    wide: bool,
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

/// The two bytes at `at`.
#[inline(always)]
fn two(bytes: &[u8], at: usize) -> Option<&[u8; 2]> {
    bytes.get(at..)?.first_chunk()
}

/// A value's place and its first byte.
pub(super) type Begin = (usize, u8);

/// The value behind the colon at `at`.
#[inline(always)]
pub(super) fn colon(bytes: &[u8], at: usize) -> Result<Begin, Error> {
    match two(bytes, at) {
        Some([b':', first]) if *first > b' ' => Ok((at + 1, *first)),
        _ => colon_and_space(bytes, at),
    }
}

#[inline(never)]
fn colon_and_space(bytes: &[u8], at: usize) -> Result<Begin, Error> {
    let at = space(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return error(at, "a colon is missing");
    }
    begin(bytes, at + 1)
}

/// The value at `at` or behind white space there.
#[inline(always)]
pub(super) fn begin(bytes: &[u8], at: usize) -> Result<Begin, Error> {
    let at = space(bytes, at);
    match bytes.get(at) {
        Some(first) => Ok((at, *first)),
        None => error(at, NO_VALUE),
    }
}

/// The text of the key behind the comma, or behind the brace, before `at`.
#[inline(always)]
pub(super) fn key(bytes: &[u8], at: usize) -> Result<usize, Error> {
    if bytes.get(at) == Some(&b'"') {
        return Ok(at + 1);
    }
    spaced_key(bytes, at)
}

#[inline(never)]
fn spaced_key(bytes: &[u8], at: usize) -> Result<usize, Error> {
    let at = space(bytes, at);
    if bytes.get(at) != Some(&b'"') {
        return error(at, "a key is missing");
    }
    Ok(at + 1)
}

/// The text of the next key behind a member, or with false the place behind the object.
#[inline(always)]
pub(super) fn next_key(bytes: &[u8], at: usize) -> Result<(usize, bool), Error> {
    if let Some([b',', b'"']) = two(bytes, at) {
        return Ok((at + 2, true));
    }
    let at = space(bytes, at);
    match bytes.get(at) {
        Some(b'}') => Ok((at + 1, false)),
        Some(b',') => Ok((key(bytes, at + 1)?, true)),
        _ => error(at, NO_END),
    }
}

/// The place behind the value that begins there, `outside` deep.
#[inline(always)]
pub(super) fn value(
    bytes: &[u8],
    (at, first): Begin,
    outside: u32,
    holds: &mut Holds,
) -> Result<usize, Error> {
    if first | 0x20 == b'{' {
        container(bytes, at, outside, holds)
    } else {
        scalar(bytes, (at, first), holds)
    }
}

/// The place behind the array or object at `at`.
///
/// A loop, not a recursion: a bit for each level says whether it is an object.
#[inline(never)]
fn container(bytes: &[u8], at: usize, outside: u32, holds: &mut Holds) -> Result<usize, Error> {
    let mut depth = outside;
    let mut objects = 0_u128;
    let (mut at, mut first) = begin(bytes, at)?;
    loop {
        // A value begins here.
        let mut end = if first | 0x20 == b'{' {
            if depth >= DEPTH_MAX {
                return error(at, "nested more than 128 deep");
            }
            let inner = space(bytes, at + 1);
            // Closing brackets come two behind their opening ones in ASCII.
            if bytes.get(inner) != Some(&(first + 2)) {
                depth += 1;
                objects = objects << 1 | u128::from(first == b'{');
                (at, first) = if first == b'{' {
                    member(bytes, key(bytes, inner)?, holds)?
                } else {
                    begin(bytes, inner)?
                };
                continue;
            }
            if depth == outside {
                return Ok(inner + 1);
            }
            inner + 1
        } else {
            scalar(bytes, (at, first), holds)?
        };
        // And has ended here, perhaps with the containers it is the last of.
        (at, first) = loop {
            if objects & 1 == 1 {
                let (place, more) = next_key(bytes, end)?;
                if more {
                    break member(bytes, place, holds)?;
                }
                end = place;
            } else {
                end = space(bytes, end);
                match bytes.get(end) {
                    Some(b',') => break begin(bytes, end + 1)?,
                    Some(b']') => end += 1,
                    _ => return error(end, NO_END),
                }
            }
            depth -= 1;
            objects >>= 1;
            if depth == outside {
                return Ok(end);
            }
        };
    }
}

/// The value of the member whose key's text begins at `at`.
#[inline(always)]
fn member(bytes: &[u8], at: usize, holds: &mut Holds) -> Result<Begin, Error> {
    let (end, _) = string(bytes, at, holds)?;
    colon(bytes, end)
}

/// The place behind the string, number or word that begins there.
#[inline(always)]
fn scalar(bytes: &[u8], (at, first): Begin, holds: &mut Holds) -> Result<usize, Error> {
    if first == b'"' {
        string(bytes, at + 1, holds).map(|(end, _)| end)
    } else if first.is_ascii_digit() {
        number(bytes, at)
    } else {
        other_scalar(bytes, at)
    }
}

/// The place behind a number below zero, `true`, `false` or `null`.
#[inline(never)]
fn other_scalar(bytes: &[u8], at: usize) -> Result<usize, Error> {
    if bytes.get(at) == Some(&b'-') {
        return any_number(bytes, at);
    }
    match bytes.get(at..).and_then(|b| b.first_chunk::<4>()) {
        Some(b"true" | b"null") => Ok(at + 4),
        Some(b"fals") if bytes.get(at + 4) == Some(&b'e') => Ok(at + 5),
        _ => error(at, NO_VALUE),
    }
}

/// The place behind the string whose text begins at `at`, and whether it has escapes.
#[inline(always)]
pub(super) fn string(bytes: &[u8], at: usize, holds: &mut Holds) -> Result<(usize, bool), Error> {
    if let Some(chunk) = chunk_at(bytes, at) {
        let place = stops(chunk).trailing_zeros() as usize;
        if chunk.get(place) == Some(&b'"') {
            return Ok((at + place + 1, false));
        }
    }
    long_string(bytes, at, holds)
}

#[inline(always)]
fn chunk_at(bytes: &[u8], at: usize) -> Option<&[u8; CHUNK]> {
    bytes.get(at..)?.first_chunk()
}

/// Any string, from anywhere in it.
#[inline(never)]
fn long_string(bytes: &[u8], mut at: usize, holds: &mut Holds) -> Result<(usize, bool), Error> {
    let mut here = Holds::default();
    loop {
        at = if here.wide {
            run(bytes, at, wide_stops)
        } else {
            run(bytes, at, stops)
        };
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => {
                here.escapes = true;
                at = escape(bytes, at)?;
            }
            Some(128..) => {
                here.wide = true;
                at += 1;
            }
            Some(_) => return error(at, "a control character in a string"),
            None => return error(at, "a string does not end"),
        }
    }
    holds.wide |= here.wide;
    Ok((at + 1, here.escapes))
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

/// The place behind the number at `at`: nearly all fit a chunk, with a fraction, without exponent.
#[inline(always)]
fn number(bytes: &[u8], at: usize) -> Result<usize, Error> {
    if let Some(chunk) = chunk_at(bytes, at) {
        let others = non_digits(chunk);
        let whole = others.trailing_zeros() as usize;
        // A zero in front stands alone.
        if chunk[0] != b'0' || whole == 1 {
            match chunk.get(whole) {
                Some(b'.') => {
                    let part = (others >> (whole + 1)).trailing_zeros() as usize;
                    let end = whole + 1 + part;
                    if part > 0 && chunk.get(end).is_some_and(|byte| byte | 0x20 != b'e') {
                        return Ok(at + end);
                    }
                }
                Some(byte) if byte | 0x20 != b'e' => return Ok(at + whole),
                _ => {}
            }
        }
    }
    any_number(bytes, at)
}

/// The place behind any number, step by step.
#[inline(never)]
fn any_number(bytes: &[u8], mut at: usize) -> Result<usize, Error> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    if bytes.get(at) == Some(&b'0') {
        at += 1;
    } else {
        at = some_digits(bytes, at)?;
    }
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = some_digits(bytes, at)?;
    }
    Ok(at)
}

/// The place behind digits, of which there must be one.
fn some_digits(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let end = run(bytes, start, non_digits);
    if start == end {
        return error(end, "a digit is missing");
    }
    Ok(end)
}

/// Checks that a text is one JSON value with nothing but space around it.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut holds = Holds::default();
    let end = value(bytes, begin(bytes, 0)?, 0, &mut holds)?;
    finish(bytes, end, holds)
}

/// Checks what is behind the value, and the encoding.
#[inline(always)]
pub(super) fn finish(bytes: &[u8], end: usize, holds: Holds) -> Result<(), Error> {
    let at = space(bytes, end);
    if at < bytes.len() {
        return error(at, "something behind the end");
    }
    if holds.wide {
        check_utf8(bytes)
    } else {
        Ok(())
    }
}

#[inline(never)]
fn check_utf8(bytes: &[u8]) -> Result<(), Error> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(wrong) => error(wrong.valid_up_to(), "bytes that are not UTF-8"),
    }
}
