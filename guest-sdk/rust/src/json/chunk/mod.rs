//! Classifies 16 bytes at a time, without unsafe: bit n of a mask stands for byte n.
//!
//! Where there are SIMD instructions, a mask is a handful of them behind one load; elsewhere 64-bit
//! words do. A loop over bytes would also pay for the host's time limit at every turn.

#[cfg(target_feature = "simd128")]
mod vector;
#[cfg(any(test, not(target_feature = "simd128")))]
mod words;

use super::name::short;
#[cfg(target_feature = "simd128")]
pub(super) use vector::{non_digits, same_tags, stops, wide_stops};
#[cfg(not(target_feature = "simd128"))]
pub(super) use words::{non_digits, same_tags, stops, wide_stops};

/// Bytes looked at together.
pub(super) const CHUNK: usize = 16;

/// Bytes whose stops are one number.
pub(super) const WINDOW: usize = 64;

/// Tags of names looked at together.
pub(super) const TAGS: usize = 8;

/// `stops` of as many bytes as a number has bits.
#[inline(always)]
pub(super) fn window_stops(window: &[u8; WINDOW]) -> u64 {
    let (chunks, _) = window.as_chunks();
    let bits = |n| chunks.get(n).map_or(0, |chunk| u64::from(stops(chunk)));
    bits(0) | bits(1) << 16 | (bits(2) | bits(3) << 16) << 32
}

#[inline(always)]
fn halves(chunk: &[u8; CHUNK]) -> (u64, u64) {
    let both = u128::from_le_bytes(*chunk);
    (both as u64, (both >> 64) as u64)
}

/// Whether a string literal of this text needs an escape.
#[inline]
pub(super) fn has_special(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let (chunks, _) = text.as_chunks();
        return wide_stops(last) != 0 || chunks.iter().any(|chunk| wide_stops(chunk) != 0);
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let [first, last] = [*first, *last].map(u64::from_le_bytes);
        return (special(first) | special(last)) & HIGH_BITS != 0;
    }
    // What is behind a short text counts as spaces.
    let spaces = (LOW_BITS * u64::from(b' ')) << (8 * text.len());
    special(short(text) | spaces) & HIGH_BITS != 0
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Sets the high bit of quotes, backslashes and control characters; other bits may be anything.
#[inline(always)]
const fn special(word: u64) -> u64 {
    // No sum leaves its byte, so that each byte's answer is exact.
    let low = !HIGH_BITS;
    let quotes = word ^ (LOW_BITS * b'"' as u64);
    let backslashes = word ^ (LOW_BITS * b'\\' as u64);
    let not_quotes = ((quotes & low) + low) | quotes;
    let not_backslashes = ((backslashes & low) + low) | backslashes;
    let not_controls = ((word & low) + LOW_BITS * (0x80 - b' ' as u64)) | word;
    !(not_quotes & not_backslashes & not_controls)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `of` says, byte by byte.
    fn bits(chunk: &[u8; CHUNK], of: impl Fn(u8) -> bool) -> u32 {
        let bytes = chunk.iter().enumerate();
        bytes.fold(0, |bits, (n, byte)| bits | u32::from(of(*byte)) << n)
    }

    #[test]
    fn each_byte_at_each_place_is_seen() {
        for byte in 0..=255_u8 {
            for place in 0..CHUNK {
                for filler in [
                    b'a', b'!', 0x7f, b'#', 0xff, b'[', b'0', b'9', b'"', 0, 0x80,
                ] {
                    let mut chunk = [filler; CHUNK];
                    chunk[place] = byte;
                    let is_special = |b| b == b'"' || b == b'\\' || b < b' ';
                    let special = bits(&chunk, is_special);
                    let wide = bits(&chunk, |b| b > 127);
                    let others = bits(&chunk, |b| !b.is_ascii_digit());
                    let wanted = [special | wide, special, others];
                    let masks = [stops(&chunk), wide_stops(&chunk), non_digits(&chunk)];
                    assert_eq!(masks, wanted, "{chunk:?}");
                    let masks = [
                        words::stops(&chunk),
                        words::wide_stops(&chunk),
                        words::non_digits(&chunk),
                    ];
                    assert_eq!(masks, wanted, "{chunk:?} by words");
                }
            }
        }
    }

    #[test]
    fn a_byte_anywhere_in_a_text_is_seen() {
        for len in 0..150 {
            let plain = vec![b'x'; len];
            assert!(!has_special(&plain), "{len}");
            for at in 0..len {
                for (byte, special) in [
                    (b'"', true),
                    (b'\\', true),
                    (0, true),
                    (0x1f, true),
                    (0x80, false),
                ] {
                    let mut text = plain.clone();
                    text[at] = byte;
                    assert_eq!(has_special(&text), special, "{len} {at}");
                }
            }
        }
    }
}
