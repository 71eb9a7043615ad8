//! String literals: what they mean, and how a text is written as one.

use std::borrow::Cow;

use super::chunk::has_special;
use super::copy::append;
use super::name::same;

/// What stands between the quotes of a valid literal, its escapes undone. A surrogate without its
/// other half becomes U+FFFD, as in browsers.
pub(super) fn decode(inner: &[u8]) -> Cow<'_, str> {
    let Some(first) = inner.iter().position(|&b| b == b'\\') else {
        return String::from_utf8_lossy(inner);
    };
    let mut text = Vec::with_capacity(inner.len());
    let (plain, mut rest) = inner.split_at(first);
    text.extend_from_slice(plain);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else {
            break;
        };
        rest = tail;
        let unescaped = match kind {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => code_point(&mut rest),
            other => char::from(other),
        };
        text.extend_from_slice(unescaped.encode_utf8(&mut [0; 4]).as_bytes());
    }
    match String::from_utf8(text) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

/// The character of the digits behind `\u`, two such escapes if they are a surrogate pair.
fn code_point(rest: &mut &[u8]) -> char {
    let Some(first) = hex(rest) else {
        return char::REPLACEMENT_CHARACTER;
    };
    *rest = rest.get(4..).unwrap_or_default();
    if let Some(character) = char::from_u32(first) {
        return character;
    }
    let second = rest.strip_prefix(br"\u").and_then(hex);
    if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, second) {
        *rest = rest.get(6..).unwrap_or_default();
        let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::REPLACEMENT_CHARACTER
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Appends a text as a string literal; what needs no escape is copied as it is.
///
/// Inlined, so that of a text that the compiler knows a few stores are left.
#[inline]
pub(super) fn encode(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if has_special(bytes) {
        escape(bytes, out);
    } else {
        append(out, bytes);
    }
    out.push(b'"');
}

#[cold]
#[inline(never)]
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            control => {
                out.extend_from_slice(br"\u00");
                out.push(b'0' + (control >> 4));
                out.push(b"0123456789abcdef"[usize::from(control & 15)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}

/// Whether a literal, quotes included, means `name`. Escapes only make a literal longer.
#[inline]
pub(super) fn means(literal: &[u8], name: &str) -> bool {
    let inner = inner(literal);
    if inner.len() == name.len() {
        same(inner, name.as_bytes()) && !inner.contains(&b'\\')
    } else {
        inner.len() > name.len() && inner.contains(&b'\\') && decode(inner) == name
    }
}

/// What is between the quotes.
#[inline]
pub(super) fn inner(literal: &[u8]) -> &[u8] {
    literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or_default()
}
