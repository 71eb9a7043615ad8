//! Where the tail of a segment is lost, nobody knows which offsets it held: the partitions of the
//! stream go on far behind them, so that none is given out twice. The manifest says so before anything
//! is built on it, and as long as the partitions are there.

use std::sync::atomic::Ordering;

use super::stream::Stream;
use crate::errors::StoreError;
use crate::store::{PartitionKey, Recovered};

/// Offsets that are passed over.
const LOST_TAIL_OFFSETS: i64 = 1 << 24;
/// Why.
const REASON: &str = "a segment's tail is lost: offsets that it may have held are passed over";

impl Stream {
    /// What was passed over at an earlier start.
    pub(super) fn pass_over_again(&self) {
        let passed = self.manifest.lock().passed.ends.clone();
        for passed in passed {
            let key = passed.key();
            let held = self.held_or_new(key);
            let mut held = held.lock();
            if held.end < passed.end {
                let missing = (Some(key), held.end.max(held.start), passed.end);
                held.end = passed.end;
                self.damage.add(missing, None, None, REASON);
            }
        }
    }

    /// The tails of these segments are lost.
    pub(super) fn pass_over_lost(&self, segments: &[u64]) -> Result<(), StoreError> {
        // Set as long as one is listed: a start may be killed before `begin_behind`.
        self.lost_tail
            .store(!segments.is_empty(), Ordering::Relaxed);
        {
            let mut manifest = self.manifest.lock();
            let known = &mut manifest.passed.segments;
            let before = known.len();
            let new = segments.iter().filter(|id| !known.contains(id));
            let new: Vec<u64> = new.copied().collect();
            known.extend(new);
            if known.len() == before {
                return Ok(());
            }
        }
        let keys: Vec<PartitionKey> = self.partitions.read().keys().copied().collect();
        self.pass_over(&keys)
    }

    /// As `LogStore::begin_behind`.
    pub(super) fn begin_behind(&self, keys: &[PartitionKey]) -> Result<Vec<Recovered>, StoreError> {
        if !self.lost_tail.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        self.pass_over(keys)?;
        let marks = self.marks().into_iter();
        Ok(marks.filter(|marks| keys.contains(&marks.key)).collect())
    }

    fn pass_over(&self, keys: &[PartitionKey]) -> Result<(), StoreError> {
        let mut manifest = self.manifest.lock();
        for key in keys {
            let held = self.held_or_new(*key);
            let mut held = held.lock();
            let end = held.end;
            held.end = end.plus(LOST_TAIL_OFFSETS);
            manifest.passed.go_on(*key, held.end);
            self.damage
                .add((Some(*key), end, held.end), None, None, REASON);
        }
        manifest.write(&*self.node.disk, &self.root)
    }
}
