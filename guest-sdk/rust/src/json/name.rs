//! Compares names without a loop over bytes, which in a guest pays for the time limit at each turn.

/// Bytes of a name that its tag holds.
const HELD: usize = 7;

/// A name's first seven bytes and its length: the whole name if it is not longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    /// The tag of a name with escapes, which has to be read to be compared. No name has it: 0xff
    /// is not in UTF-8.
    pub(super) const ESCAPED: Self = Self(u64::MAX);

    #[inline(always)]
    pub(super) fn of(name: &[u8]) -> Self {
        let held = match name.first_chunk::<8>() {
            Some(first) => u64::from_le_bytes(*first) & 0x00ff_ffff_ffff_ffff,
            None => short(name),
        };
        Self(held | (name.len().min(255) as u64) << 56)
    }

    /// The tag of the name at the start of a longer text.
    #[inline(always)]
    pub(super) fn of_start(text: &[u8], len: usize) -> Self {
        match text.first_chunk::<8>() {
            Some(first) if len < 8 => {
                let held = u64::from_le_bytes(*first) & ((1 << (8 * len)) - 1);
                Self(held & 0x00ff_ffff_ffff_ffff | (len as u64) << 56)
            }
            _ => Self::of(text.get(..len).unwrap_or_default()),
        }
    }

    /// Its bit in a set of 64.
    #[inline(always)]
    pub(super) const fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
    }

    /// Whether it holds the whole name.
    #[inline(always)]
    pub(super) const fn is_whole(self) -> bool {
        (self.0 >> 56) as usize <= HELD
    }
}

/// Up to eight bytes as a number.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // The two overlap where there are fewer than eight.
        let shift = 8 * (bytes.len() - 4);
        return u64::from(u32::from_le_bytes(*first))
            | u64::from(u32::from_le_bytes(*last)) << shift;
    }
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
        _ => 0,
    }
}

/// Whether two texts are the same bytes.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(last_of_a), Some(last_of_b)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) else {
        return short(a) == short(b);
    };
    let (of_a, _) = a.as_chunks::<8>();
    let (of_b, _) = b.as_chunks::<8>();
    last_of_a == last_of_b && of_a.iter().zip(of_b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn every_length_and_every_byte_counts() {
        for len in 0..TEXT.len() {
            let name = &TEXT[..len];
            // A copy elsewhere in memory, so that addresses cannot decide.
            let copy = name.to_vec();
            assert!(same(name, &copy));
            assert_eq!(Tag::of(name), Tag::of_start(TEXT, len), "{len}");
            assert_eq!(Tag::of(name), Tag::of_start(name, len), "{len}");
            assert_ne!(Tag::of(name), Tag::of(&TEXT[..len + 1]), "{len}");
            assert_eq!(Tag::of(name).is_whole(), len <= HELD);
            assert!(!same(name, &TEXT[..len + 1]));
            for at in 0..len {
                let mut other = name.to_vec();
                other[at] = b'!';
                assert!(!same(name, &other), "{len} {at}");
                assert_eq!(Tag::of(name) == Tag::of(&other), at >= HELD, "{len} {at}");
            }
        }
    }
}
