//! Numbers pairs of (parent bucket, value) in the order of their first sight. Where values lie
//! close together it is an array, else a hash map.

use std::collections::HashMap;

use crate::hash::Keyed;

/// Widest range of values of an array below the one root bucket.
const ROOT_WIDTH_MAX: u64 = 1 << 21;
/// Widest range of values of an array below many buckets.
const NESTED_WIDTH_MAX: u64 = 4096;
/// Most elements of all arrays.
const DENSE_MAX: usize = 8 << 20;
const NONE: u32 = u32::MAX;

/// The numbering.
#[derive(Debug)]
pub(super) struct Slots {
    min: u64,
    /// Values per parent in the array; 0 for none.
    width: usize,
    dense: Vec<u32>,
    sparse: HashMap<(u32, u64), u32, Keyed>,
    /// The pair behind each number.
    pairs: Vec<(u32, u64)>,
}

impl Slots {
    /// For values from `min` to `max`; `root` says that there is one parent.
    pub(super) fn new(min: u64, max: u64, root: bool) -> Self {
        let width = max.saturating_sub(min).saturating_add(1);
        let limit = if root {
            ROOT_WIDTH_MAX
        } else {
            NESTED_WIDTH_MAX
        };
        let dense = if width <= limit {
            usize::try_from(width).unwrap_or(0)
        } else {
            0
        };
        Self {
            min,
            width: dense,
            dense: Vec::new(),
            sparse: HashMap::default(),
            pairs: Vec::new(),
        }
    }

    /// The number of a pair.
    #[inline]
    pub(super) fn number(&mut self, parent: u32, value: u64) -> u32 {
        let at = value.wrapping_sub(self.min);
        if at < self.width as u64 {
            let at = parent as usize * self.width + usize::try_from(at).unwrap_or(0);
            if let Some(number) = self.dense.get(at)
                && *number != NONE
            {
                return *number;
            }
            if at < DENSE_MAX {
                return self.first_dense(parent, value, at);
            }
        }
        let next = u32::try_from(self.pairs.len()).unwrap_or(NONE);
        let number = *self.sparse.entry((parent, value)).or_insert(next);
        if number == next {
            self.pairs.push((parent, value));
        }
        number
    }

    #[cold]
    fn first_dense(&mut self, parent: u32, value: u64, at: usize) -> u32 {
        if at >= self.dense.len() {
            let size = (parent as usize + 1) * self.width;
            self.dense.resize(size.min(DENSE_MAX), NONE);
        }
        let number = u32::try_from(self.pairs.len()).unwrap_or(NONE);
        self.dense[at] = number;
        self.pairs.push((parent, value));
        number
    }

    /// How many values lie close enough together for an array below one bucket, and the least.
    pub(super) fn range(&self) -> (usize, u64) {
        (self.width, self.min)
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn pairs(&self) -> &[(u32, u64)] {
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_its_number_in_an_array_and_in_a_map() {
        for (max, root) in [(100, true), (u64::MAX, true), (100, false)] {
            let mut slots = Slots::new(10, max, root);
            let pairs = [
                (0, 10),
                (0, 99),
                (1, 10),
                (0, 10),
                (7, 50),
                (1, 10),
                (0, 100),
            ];
            let numbers: Vec<u32> = pairs.iter().map(|(p, v)| slots.number(*p, *v)).collect();
            assert_eq!(numbers, [0, 1, 2, 0, 3, 2, 4]);
            assert_eq!(
                slots.pairs(),
                [(0, 10), (0, 99), (1, 10), (7, 50), (0, 100)]
            );
        }
    }
}
