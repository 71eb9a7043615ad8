//! Kafka's zigzag variable-length integers. Decoding returns `None` at a cut or over-long number.

/// Longest encoding of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// Appends `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, value: i64) {
    let rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    // Nearly all numbers of a record are one byte or two.
    match rest {
        0..0x80 => out.push(rest as u8),
        0x80..0x4000 => out.extend_from_slice(&[rest as u8 | 0x80, (rest >> 7) as u8]),
        _ => put_long(out, rest),
    }
}

fn put_long(out: &mut Vec<u8>, mut rest: u64) {
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that `put` writes for `value`.
#[must_use]
pub fn len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes a number off the front of `input`.
#[inline]
pub fn take(input: &mut &[u8]) -> Option<i64> {
    let value = match **input {
        [one @ 0..0x80, ref rest @ ..] => {
            *input = rest;
            u64::from(one)
        }
        [low, high @ 0..0x80, ref rest @ ..] => {
            *input = rest;
            u64::from(low & 0x7f) | u64::from(high) << 7
        }
        _ => take_long(input)?,
    };
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

fn take_long(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (i, &byte) in input.iter().enumerate().take(VARINT_BYTES_MAX) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *input = input.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        let rows: [(i64, &[u8]); 9] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[126]),
            (64, &[0x80, 1]),
            (-65, &[0x81, 1]),
            (300, &[0xd8, 4]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 1]),
        ];
        for (value, bytes) in rows {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(len(value), bytes.len());
            assert_eq!(take(&mut &out[..]), Some(value));
        }
    }

    proptest::proptest! {
        #[test]
        fn round_trip(value: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            proptest::prop_assert_eq!(out.len(), len(value));
            let mut input = &out[..];
            proptest::prop_assert_eq!(take(&mut input), Some(value));
            proptest::prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn a_cut_or_endless_number_is_refused() {
        assert_eq!(take(&mut &[][..]), None);
        assert_eq!(take(&mut &[0x80][..]), None);
        assert_eq!(take(&mut &[0x80, 0x80][..]), None);
        assert_eq!(take(&mut &[0x80; 11][..]), None);
    }
}
