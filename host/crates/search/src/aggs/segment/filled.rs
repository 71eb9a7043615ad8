//! Counts the buckets of one column: by number in the order of their first sight, or by value where
//! values lie close together and nothing else is asked.

use super::super::slots::Slots;
use super::short;

/// Widest range of values that are counted by value.
const DIRECT_MAX: usize = 1 << 16;

/// The buckets of a lane.
pub(super) struct Filled {
    slots: Slots,
    counts: Vec<u64>,
    /// Whether sub-aggregations need to know which document fell where.
    keep: bool,
    pairs: Vec<(u32, u32)>,
    /// Counts by value instead, from the least on, where there is one parent and no
    /// sub-aggregation.
    direct: Vec<u64>,
}

impl Filled {
    pub(super) fn new(slots: Slots, keep: bool, root: bool) -> Self {
        let (width, _) = slots.range();
        let direct = root && !keep && width <= DIRECT_MAX;
        Self {
            slots,
            counts: Vec::new(),
            keep,
            pairs: Vec::new(),
            direct: vec![0; if direct { width } else { 0 }],
        }
    }

    /// Whether [`Self::count`] may be used.
    pub(super) fn is_direct(&self) -> bool {
        !self.direct.is_empty()
    }

    /// Counts values below the one parent.
    #[inline]
    pub(super) fn count(&mut self, values: impl Iterator<Item = u64>) {
        let (_, min) = self.slots.range();
        for value in values {
            let at = usize::try_from(value.wrapping_sub(min)).unwrap_or(usize::MAX);
            if let Some(count) = self.direct.get_mut(at) {
                *count += 1;
            }
        }
    }

    /// Begins a block of documents.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
    }

    /// The block's documents by their place in it, each with a bucket it fell into.
    pub(super) fn documents(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// How many buckets have numbers.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The buckets as pairs of parent and value, and their counts.
    pub(super) fn finish(self) -> (Vec<(u32, u64)>, Vec<u64>) {
        let (_, min) = self.slots.range();
        let (mut pairs, mut counts) = (self.slots.pairs().to_vec(), self.counts);
        counts.resize(pairs.len(), 0);
        let direct = self
            .direct
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        for (at, count) in direct {
            pairs.push((0, min.wrapping_add(at as u64)));
            counts.push(*count);
        }
        (pairs, counts)
    }

    #[inline]
    pub(super) fn put(&mut self, place: usize, parent: u32, value: u64) {
        let slot = self.slots.number(parent, value);
        let at = slot as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        if self.keep {
            self.pairs.push((short(place), slot));
        }
    }
}
