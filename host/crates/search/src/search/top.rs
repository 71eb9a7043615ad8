//! Keeps the best of many documents by their ranks, smallest first, then by their number.
//!
//! Documents are gathered and cut when there are twice as many as wanted: where each is better
//! than the last, as in a log that is read from its newest end, a heap would turn over for each.

use tantivy::DocId;

/// A value's rank in one segment: the class of its type, then its order among them, both turned
/// so that smaller is better.
pub(super) type Rank = (u8, u64);

/// Documents gathered before the first cut, however few are wanted.
const GATHERED_MIN: usize = 512;

/// The best so far, and some more.
#[derive(Debug)]
pub(super) struct Best {
    wanted: usize,
    /// Ranks of each document.
    width: usize,
    ranks: Vec<Rank>,
    documents: Vec<DocId>,
    /// The last of those wanted at the last cut: what is behind it cannot win.
    worst: Option<(Vec<Rank>, DocId)>,
}

impl Best {
    pub(super) fn new(wanted: usize, width: usize) -> Self {
        Self {
            wanted,
            width,
            ranks: Vec::new(),
            documents: Vec::new(),
            worst: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether a document that begins with these ranks may be among the best.
    #[inline]
    pub(super) fn may_take(&self, first: &[Rank]) -> bool {
        match &self.worst {
            Some((worst, _)) => *first <= worst[..first.len()],
            None => true,
        }
    }

    #[inline]
    pub(super) fn take(&mut self, ranks: &[Rank], document: DocId) {
        if let Some((worst, last)) = &self.worst
            && (ranks, document) >= (&worst[..], *last)
        {
            return;
        }
        self.ranks.extend_from_slice(ranks);
        self.documents.push(document);
        if self.documents.len() >= self.wanted.saturating_mul(2).max(GATHERED_MIN) {
            self.cut();
        }
    }

    fn row(&self, at: usize) -> &[Rank] {
        &self.ranks[at * self.width..(at + 1) * self.width]
    }

    fn cut(&mut self) {
        if self.wanted == 0 || self.documents.len() <= self.wanted {
            return;
        }
        let mut order: Vec<usize> = (0..self.documents.len()).collect();
        order.select_nth_unstable_by(self.wanted - 1, |a, b| {
            (self.row(*a), self.documents[*a]).cmp(&(self.row(*b), self.documents[*b]))
        });
        order.truncate(self.wanted);
        let last = order[self.wanted - 1];
        self.worst = Some((self.row(last).to_vec(), self.documents[last]));
        self.ranks = order.iter().flat_map(|at| self.row(*at)).copied().collect();
        self.documents = order.iter().map(|at| self.documents[*at]).collect();
    }

    /// The best with their ranks, in no order.
    pub(super) fn finish(mut self) -> Vec<(Vec<Rank>, DocId)> {
        self.cut();
        (0..self.documents.len())
            .map(|at| (self.row(at).to_vec(), self.documents[at]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sorted_list(
            ranks in prop::collection::vec((0_u8..3, 0_u64..50), 0..2_000),
            wanted in 1_usize..40,
        ) {
            let mut best = Best::new(wanted, 1);
            let mut all = Vec::new();
            for (document, rank) in (0..).zip(ranks) {
                if best.may_take(&[rank]) {
                    best.take(&[rank], document);
                }
                all.push((vec![rank], document));
            }
            all.sort();
            all.truncate(wanted);
            let mut found = best.finish();
            found.sort();
            prop_assert_eq!(found, all);
        }
    }
}
