//! Compares names without a loop over bytes, which in a guest pays for the time limit at each turn.

/// Bytes of a name that its tag holds.
const HELD: usize = 3;

/// Longer names count as so long.
const LENGTH_MAX: usize = 254;

/// A name's first three bytes and its length: the whole name if it is not longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// The tag of a name with escapes, which has to be read to be compared. No name has it: 0xff
    /// is not in UTF-8.
    pub(super) const ESCAPED: Self = Self(u32::MAX);

    #[inline(always)]
    pub(super) fn of(name: &[u8]) -> Self {
        let held = match name.first_chunk::<4>() {
            Some(first) => u32::from_le_bytes(*first),
            None => short(name) as u32,
        };
        Self::new(held, name.len())
    }

    /// The tag of a name within a text.
    #[inline(always)]
    pub(super) fn at(text: &[u8], at: usize, len: usize) -> Self {
        match text.get(at..).and_then(|name| name.first_chunk::<4>()) {
            Some(first) => {
                let behind = 8 * (HELD - len.min(HELD)) as u32;
                let held = u32::from_le_bytes(*first) << 8 << behind >> behind >> 8;
                Self::new(held, len)
            }
            None => Self::of(text.get(at..at + len).unwrap_or_default()),
        }
    }

    #[inline(always)]
    const fn new(held: u32, len: usize) -> Self {
        let len = if len > LENGTH_MAX { LENGTH_MAX } else { len };
        Self(held & 0x00ff_ffff | (len as u32) << 24)
    }

    /// Its bit in a set of 64.
    #[inline(always)]
    const fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9e37_79b1) >> 26)
    }

    /// Whether a name with this tag may be the one that has `other`.
    #[inline(always)]
    pub(super) fn fits(self, other: Self) -> bool {
        (self == other) | (self == Self::ESCAPED)
    }

    /// Whether it holds the whole name.
    #[inline(always)]
    pub(super) const fn is_whole(self) -> bool {
        (self.0 >> 24) as usize <= HELD
    }
}

/// Which tags there are, and which may be there twice: a bit for each, that others may share.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names {
    once: u64,
    twice: u64,
}

impl Names {
    #[inline(always)]
    pub(super) fn add(&mut self, tag: Tag) {
        if tag == Tag::ESCAPED {
            // It may be any name.
            self.once = u64::MAX;
            self.twice = u64::MAX;
        } else {
            self.twice |= self.once & tag.bit();
            self.once |= tag.bit();
        }
    }

    #[inline(always)]
    pub(super) const fn may_have(&self, tag: Tag) -> bool {
        self.once & tag.bit() != 0
    }

    #[inline(always)]
    pub(super) const fn may_have_two(&self, tag: Tag) -> bool {
        self.twice & tag.bit() != 0
    }
}

/// Up to eight bytes as a number.
#[inline(always)]
pub(super) fn short(bytes: &[u8]) -> u64 {
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
            assert_eq!(Tag::of(name), Tag::at(TEXT, 0, len), "{len}");
            assert_eq!(Tag::of(&copy), Tag::at(&copy, 0, len), "{len}");
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
