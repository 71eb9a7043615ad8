//! Compares names without a loop over bytes, which in a guest pays for the time limit at each turn.

use super::chunk::{TAGS, same_tags};

/// A name's first four bytes, its closing quote among them if it is shorter: what is behind the
/// quote differs, so that a look for a name masks it.
pub(super) type Tag = u32;

/// The tag of no name.
pub(super) const NO_TAG: Tag = 0;

/// The tag of the name that begins at `at` in a text.
#[inline(always)]
pub(super) fn tag_at(text: &[u8], at: usize) -> Tag {
    let name = text.get(at..).and_then(|name| name.first_chunk());
    // Behind a name there are at least a quote, a colon, a value and a brace.
    name.copied().map_or(NO_TAG, u32::from_le_bytes)
}

/// A name to look for, and what its tags have in common. Where the compiler knows the name it
/// knows these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'n> {
    pub(super) text: &'n str,
    tag: Tag,
    mask: Tag,
}

impl<'n> Name<'n> {
    #[inline]
    pub(super) fn new(text: &'n str) -> Self {
        let bytes = text.as_bytes();
        let (tag, mask) = match bytes.first_chunk() {
            Some(first) => (u32::from_le_bytes(*first), u32::MAX),
            None => (
                short(bytes) as u32 | u32::from(b'"') << (8 * bytes.len()),
                u32::MAX >> (24 - 8 * bytes.len()),
            ),
        };
        Self { text, tag, mask }
    }

    /// The tag of this name where it is not in a text.
    pub(super) const fn tag(&self) -> Tag {
        self.tag
    }

    /// The first of the tags from a place on that fits; the last [`TAGS`] may be passed over.
    #[inline]
    pub(super) fn find(&self, tags: &[Tag], from: usize) -> Option<usize> {
        let tags = tags.get(from..)?;
        let found = place(tags, self.tag, self.mask);
        (found < tags.len()).then(|| from + found)
    }
}

/// Where a tag is among others; a place behind them if it is not there.
#[inline(never)]
fn place(tags: &[Tag], tag: Tag, mask: Tag) -> usize {
    let (chunks, _) = tags.as_chunks();
    let mut at = 0;
    for chunk in chunks {
        let found = same_tags(chunk, tag, mask);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += TAGS;
    }
    usize::MAX
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

    #[test]
    fn a_tag_fits_its_name_whatever_is_behind_it() {
        let names = ["", "a", "b", "ab", "abc", "abd", "abcd", "abcde", "abce"];
        for text in names {
            let name = Name::new(text);
            for other in names {
                for behind in ["\":1}", "\": null}", "\"\n\n\n"] {
                    let key = format!("{other}{behind}");
                    let shared = text.len() > 3 && text.get(..4) == other.get(..4);
                    let mut tags = [NO_TAG; TAGS];
                    tags[0] = tag_at(key.as_bytes(), 0);
                    let found = name.find(&tags, 0);
                    assert_eq!(found.is_some(), text == other || shared, "{text} {key}");
                }
            }
            let mut tags = [NO_TAG; TAGS];
            tags[1] = name.tag();
            assert_eq!(name.find(&tags, 0), Some(1), "{text}");
        }
    }

    #[test]
    fn a_tag_is_found_anywhere() {
        let name = Name::new("name");
        for len in 0..20 {
            for at in 0..len {
                let mut tags = vec![Name::new("other").tag(); len + TAGS];
                tags[at] = name.tag();
                for from in 0..len {
                    let wanted = (from <= at).then_some(at);
                    assert_eq!(name.find(&tags, from), wanted, "{len} {at} {from}");
                }
            }
        }
    }

    const TEXT: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn every_length_and_every_byte_counts() {
        for len in 0..TEXT.len() {
            let name = &TEXT[..len];
            // A copy elsewhere in memory, so that addresses cannot decide.
            let copy = name.to_vec();
            assert!(same(name, &copy));
            assert!(!same(name, &TEXT[..len + 1]));
            for at in 0..len {
                let mut other = name.to_vec();
                other[at] = b'!';
                assert!(!same(name, &other), "{len} {at}");
            }
        }
    }
}
