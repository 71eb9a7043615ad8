//! Finds the byte that ends a run of plain characters or of digits, 16 at a time, without unsafe.
//!
//! On wasm both become a handful of SIMD instructions behind one load; elsewhere 64-bit words do.
//! A loop over bytes would also pay for the host's time limit at every turn.

/// Bytes looked at together.
pub(super) const CHUNK: usize = 16;

/// Where the first quote, backslash or control character is, 16 if there is none.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
pub(super) fn first_special(chunk: &[u8; CHUNK]) -> usize {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};

    let (low, high) = halves(chunk);
    let bytes = u64x2(low, high);
    let quotes = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslashes = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let controls = u8x16_lt(bytes, u8x16_splat(b' '));
    let special = v128_or(v128_or(quotes, backslashes), controls);
    u8x16_bitmask(special).trailing_zeros() as usize
}

/// Where the first byte that is not a digit is, 16 if there is none.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
pub(super) fn first_non_digit(chunk: &[u8; CHUNK]) -> usize {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_gt, u8x16_splat, u8x16_sub, u64x2};

    let (low, high) = halves(chunk);
    let values = u8x16_sub(u64x2(low, high), u8x16_splat(b'0'));
    u8x16_bitmask(u8x16_gt(values, u8x16_splat(9))).trailing_zeros() as usize
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
pub(super) fn first_non_digit(chunk: &[u8; CHUNK]) -> usize {
    // Digits have their value in the low half, so that adding 0x76 keeps only them below 0x80. A
    // carry into the bytes above comes only from one that is no digit itself.
    let others = |bytes: u64| {
        let values = bytes ^ (LOW_BITS * u64::from(b'0'));
        (values.wrapping_add(LOW_BITS * 0x76) | values) & HIGH_BITS
    };
    let (low, high) = halves(chunk);
    match others(low) {
        0 => 8 + others(high).trailing_zeros() as usize / 8,
        bits => bits.trailing_zeros() as usize / 8,
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
pub(super) fn first_special(chunk: &[u8; CHUNK]) -> usize {
    let (low, high) = halves(chunk);
    match special(low) {
        0 => 8 + special(high).trailing_zeros() as usize / 8,
        bits => bits.trailing_zeros() as usize / 8,
    }
}

#[inline]
fn halves(chunk: &[u8; CHUNK]) -> (u64, u64) {
    let both = u128::from_le_bytes(*chunk);
    (both as u64, (both >> 64) as u64)
}

/// Whether a text has no byte above 127.
#[inline]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<CHUNK>() else {
        return bytes.is_ascii();
    };
    let (blocks, rest) = bytes.as_chunks::<{ 4 * CHUNK }>();
    let (chunks, _) = rest.as_chunks::<CHUNK>();
    // Words that are or-ed become SIMD instructions where there are some.
    let mut seen = u128::from_le_bytes(*last);
    for block in blocks {
        let (chunks, _) = block.as_chunks::<CHUNK>();
        seen |= chunks
            .iter()
            .fold(0, |seen, c| seen | u128::from_le_bytes(*c));
    }
    seen |= chunks
        .iter()
        .fold(0, |seen, c| seen | u128::from_le_bytes(*c));
    let (low, high) = (seen as u64, (seen >> 64) as u64);
    (low | high) & HIGH_BITS == 0
}

/// Whether a string literal of this text needs an escape.
#[inline]
pub(super) fn has_special(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .any(|word| special(u64::from_le_bytes(*word)) != 0)
        || rest
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each special byte; bits above the lowest one set may be wrong.
#[inline]
fn special(bytes: u64) -> u64 {
    // A subtraction borrows into the bytes above only where a byte below is special itself.
    let zeros = |x: u64| x.wrapping_sub(LOW_BITS) & !x;
    let quotes = zeros(bytes ^ (LOW_BITS * b'"' as u64));
    let backslashes = zeros(bytes ^ (LOW_BITS * b'\\' as u64));
    let controls = bytes.wrapping_sub(LOW_BITS * b' ' as u64) & !bytes;
    (quotes | backslashes | controls) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_at_each_place_is_seen() {
        for byte in 0..=255_u8 {
            for place in 0..CHUNK {
                for filler in [b'a', b'!', 0x7f, b'#', 0xff, b'[', b'0', b'9'] {
                    let mut chunk = [filler; CHUNK];
                    chunk[place] = byte;
                    let special = byte == b'"' || byte == b'\\' || byte < b' ';
                    let wanted = if special { place } else { CHUNK };
                    assert_eq!(first_special(&chunk), wanted, "{byte} {place}");
                    let not_digit = chunk.iter().position(|b| !b.is_ascii_digit());
                    assert_eq!(
                        first_non_digit(&chunk),
                        not_digit.unwrap_or(CHUNK),
                        "{chunk:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_byte_anywhere_in_a_text_is_seen() {
        for len in 0..150 {
            let plain = vec![b'x'; len];
            assert!(is_ascii(&plain) && !has_special(&plain), "{len}");
            for at in 0..len {
                let with = |byte| {
                    let mut text = plain.clone();
                    text[at] = byte;
                    text
                };
                assert!(
                    !is_ascii(&with(0x80)) && !has_special(&with(0x80)),
                    "{len} {at}"
                );
                for byte in [b'"', b'\\', 0, 0x1f] {
                    assert!(
                        has_special(&with(byte)) && is_ascii(&with(byte)),
                        "{len} {at}"
                    );
                }
            }
        }
    }
}
