//! Masks by wasm's SIMD instructions.

use std::arch::wasm32::{
    i8x16_add, i8x16_lt, i8x16_splat, u8x16_bitmask, u8x16_eq, u8x16_le, u8x16_splat, u32x4,
    u32x4_bitmask, u32x4_eq, u32x4_splat, u64x2, v128, v128_and, v128_or,
};

use super::{CHUNK, TAGS, halves};

/// Bytes that a run of plain ASCII text in a string ends at: quotes, backslashes, control
/// characters, and bytes above 127.
#[inline(always)]
pub(in super::super) fn stops(chunk: &[u8; CHUNK]) -> u32 {
    let bytes = load(chunk);
    // As signed numbers control characters and what is above 127 are both below a space.
    let others = i8x16_lt(bytes, i8x16_splat(b' ' as i8));
    mask(v128_or(quotes_and_backslashes(bytes), others))
}

/// Bytes that need a look in a string that is not ASCII: quotes, backslashes, control characters.
#[inline(always)]
pub(in super::super) fn wide_stops(chunk: &[u8; CHUNK]) -> u32 {
    let bytes = load(chunk);
    let controls = u8x16_le(bytes, u8x16_splat(b' ' - 1));
    mask(v128_or(quotes_and_backslashes(bytes), controls))
}

/// Bytes that are not digits.
#[inline(always)]
pub(in super::super) fn non_digits(chunk: &[u8; CHUNK]) -> u32 {
    // Moved so that the digits are the ten largest signed numbers.
    let moved = i8x16_add(load(chunk), i8x16_splat(i8::MAX - b'9' as i8));
    mask(i8x16_lt(moved, i8x16_splat(i8::MAX - 9)))
}

/// The tags that are `tag` where `mask` has ones.
#[inline(always)]
pub(in super::super) fn same_tags(tags: &[u32; TAGS], tag: u32, mask: u32) -> u32 {
    let [a, b, c, d, e, f, g, h] = *tags;
    let same = |four| u32x4_eq(v128_and(four, u32x4_splat(mask)), u32x4_splat(tag));
    let low = u32x4_bitmask(same(u32x4(a, b, c, d)));
    let high = u32x4_bitmask(same(u32x4(e, f, g, h)));
    u32::from(low) | u32::from(high) << 4
}

#[inline(always)]
fn quotes_and_backslashes(bytes: v128) -> v128 {
    v128_or(
        u8x16_eq(bytes, u8x16_splat(b'"')),
        u8x16_eq(bytes, u8x16_splat(b'\\')),
    )
}

#[inline(always)]
fn load(chunk: &[u8; CHUNK]) -> v128 {
    let (low, high) = halves(chunk);
    u64x2(low, high)
}

#[inline(always)]
fn mask(bytes: v128) -> u32 {
    u32::from(u8x16_bitmask(bytes))
}
