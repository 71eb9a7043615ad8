//! Finds the byte that ends a run of plain characters in a string, 16 at a time, without unsafe.

/// Bytes looked at together.
pub(super) const CHUNK: usize = 16;

/// Where the first quote, backslash or control character is, 16 if there is none, and whether any
/// byte of the chunk, also behind that place, is not ASCII.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
pub(super) fn first_special(chunk: &[u8; CHUNK]) -> (usize, bool) {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};

    let (low, high) = halves(chunk);
    let bytes = u64x2(low, high);
    let quotes = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslashes = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let controls = u8x16_lt(bytes, u8x16_splat(b' '));
    let special = u8x16_bitmask(v128_or(v128_or(quotes, backslashes), controls));
    let place = special.trailing_zeros() as usize;
    (place, u8x16_bitmask(bytes) != 0)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
pub(super) fn first_special(chunk: &[u8; CHUNK]) -> (usize, bool) {
    let (low, high) = halves(chunk);
    let ascii = (low | high) & HIGH_BITS == 0;
    let place = match special(low) {
        0 => 8 + special(high).trailing_zeros() as usize / 8,
        bits => bits.trailing_zeros() as usize / 8,
    };
    (place, !ascii)
}

#[inline]
fn halves(chunk: &[u8; CHUNK]) -> (u64, u64) {
    let both = u128::from_le_bytes(*chunk);
    (both as u64, (both >> 64) as u64)
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each special byte; bits above the lowest one set may be wrong.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
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
                for filler in [b'a', b'!', 0x7f, b'#', 0xff, b'['] {
                    let mut chunk = [filler; CHUNK];
                    chunk[place] = byte;
                    let special = byte == b'"' || byte == b'\\' || byte < b' ';
                    let wanted = if special { place } else { CHUNK };
                    let non_ascii = !chunk.is_ascii();
                    assert_eq!(first_special(&chunk), (wanted, non_ascii), "{byte} {place}");
                }
            }
        }
    }
}
