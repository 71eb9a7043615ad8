//! A hash for maps that live as long as one search: faster than the standard library's, and keyed,
//! so that documents cannot be made to meet in it.

use std::hash::{BuildHasher, Hasher, RandomState};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Makes hashers of one key.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    first: u64,
    second: u64,
}

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            first: random.hash_one(1),
            // An even factor would lose bits.
            second: random.hash_one(2) | 1,
        }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.first,
            key: self.second,
        }
    }
}

/// Multiplies into 128 bits and folds them.
#[derive(Debug)]
pub(crate) struct Folded {
    state: u64,
    key: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for Folded {
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state, MULTIPLIER)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.state = fold(self.state ^ n, self.key).wrapping_add(n.rotate_left(32));
    }

    #[inline]
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n.cast_unsigned());
    }

    #[inline]
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n.cast_unsigned() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn near_values_lie_apart_and_keys_differ() {
        let keyed = Keyed::default();
        let mut seen = HashSet::new();
        for n in 0..100_000_u64 {
            assert!(seen.insert(keyed.hash_one((0_u32, n)) >> 20), "{n}");
        }
        for n in 0..1_000 {
            assert!(
                seen.insert(keyed.hash_one(format!("page-{n}")) >> 20),
                "{n}"
            );
        }
        assert_eq!(keyed.hash_one("a"), keyed.hash_one("a"));
        assert_ne!(keyed.hash_one("a"), Keyed::default().hash_one("a"));
    }
}
