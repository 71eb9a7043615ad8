//! Masks by 64-bit words, where there is no SIMD.

use super::{CHUNK, HIGH_BITS, LOW_BITS, TAGS, halves, special};

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn stops(chunk: &[u8; CHUNK]) -> u32 {
    mask(chunk, |word| special(word) | word)
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn wide_stops(chunk: &[u8; CHUNK]) -> u32 {
    mask(chunk, special)
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn non_digits(chunk: &[u8; CHUNK]) -> u32 {
    // Digits have their value in the low half, so that adding 0x76 keeps only them below 0x80.
    mask(chunk, |word| {
        let values = word ^ (LOW_BITS * u64::from(b'0'));
        ((values & !HIGH_BITS) + LOW_BITS * 0x76) | values
    })
}

/// As in `vector`.
#[inline(always)]
pub(in super::super) fn same_tags(tags: &[u32; TAGS], tag: u32, mask: u32) -> u32 {
    let bits = tags.iter().enumerate();
    bits.fold(0, |bits, (n, t)| bits | u32::from(t & mask == tag) << n)
}

/// The mask of the bytes whose high bit `of` sets.
#[inline(always)]
fn mask(chunk: &[u8; CHUNK], of: impl Fn(u64) -> u64) -> u32 {
    // The product moves the lowest bit of byte n to bit 56 + n.
    let bits = |word: u64| {
        let ones = (of(word) & HIGH_BITS) >> 7;
        (ones.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    };
    let (low, high) = halves(chunk);
    bits(low) | bits(high) << 8
}
