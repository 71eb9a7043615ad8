//! Masks by 64-bit words, where there are no SIMD instructions without unsafe: compilers make such
//! of the comparisons.

use super::{CHUNK, TAGS, halves};

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn stops(chunk: &[u8; CHUNK]) -> u32 {
    mask(chunk, |byte| {
        (byte == b'"') | (byte == b'\\') | ((byte as i8) < b' ' as i8)
    })
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn wide_stops(chunk: &[u8; CHUNK]) -> u32 {
    mask(chunk, |byte| {
        (byte == b'"') | (byte == b'\\') | (byte < b' ')
    })
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn non_digits(chunk: &[u8; CHUNK]) -> u32 {
    mask(chunk, |byte| !byte.is_ascii_digit())
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn same_tags(tags: &[u32; TAGS], tag: u32, mask: u32) -> u32 {
    let bits = tags.iter().enumerate();
    bits.fold(0, |bits, (n, t)| bits | u32::from(t & mask == tag) << n)
}

/// The mask of the bytes of which `of` is true.
#[inline(always)]
fn mask(chunk: &[u8; CHUNK], of: impl Fn(u8) -> bool) -> u32 {
    let ones = chunk.map(|byte| u8::from(of(byte)));
    // The product moves the lowest bit of byte n to bit 56 + n.
    let bits = |ones: u64| (ones.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32;
    let (low, high) = halves(&ones);
    bits(low) | bits(high) << 8
}
