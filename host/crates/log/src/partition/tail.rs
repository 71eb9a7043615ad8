//! Keeps the newest batches of active partitions in memory, so that a reader at the tail never
//! touches the store.
//!
//! Each partition keeps at most its own bound, all together at most the node's. Over the node's
//! bound the partitions give up theirs in turn, the one that has waited longest first.
//! What is kept always reaches to the log end, and lacks nothing in between: where offsets are
//! missing between two batches here, the log has none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wstream_record::{ByteSize, Offset, RecordBatch};

use crate::store::Stored;

/// The node's bound, shared by all tails.
#[derive(Debug)]
pub(crate) struct TailBudget {
    node_max: u64,
    partition_max: u64,
    held: AtomicU64,
    /// Tails that hold something, the one that has waited longest first.
    holders: Mutex<VecDeque<Weak<Mutex<Batches>>>>,
}

/// The newest batches of one partition.
#[derive(Debug)]
pub(crate) struct Tail {
    batches: Arc<Mutex<Batches>>,
    budget: Arc<TailBudget>,
}

#[derive(Debug, Default)]
struct Batches {
    queue: VecDeque<RecordBatch>,
    bytes: u64,
    /// Whether the budget knows that this tail holds something.
    known: bool,
}

impl TailBudget {
    pub(crate) fn new(node_max: ByteSize, partition_max: ByteSize) -> Self {
        Self {
            node_max: node_max.0,
            partition_max: partition_max.0,
            held: AtomicU64::new(0),
            holders: Mutex::new(VecDeque::new()),
        }
    }

    /// Empties tails until the node's bound holds.
    fn enforce(&self) {
        while self.held.load(Ordering::Relaxed) > self.node_max {
            let Some(oldest) = self.holders.lock().pop_front() else {
                return;
            };
            if let Some(batches) = oldest.upgrade() {
                let mut batches = batches.lock();
                batches.known = false;
                self.give_back(batches.clear());
            }
        }
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Tail {
    pub(crate) fn new(budget: Arc<TailBudget>) -> Self {
        let batches = Arc::default();
        Self { batches, budget }
    }

    /// Adds what was just stored; it must follow what is held.
    pub(crate) fn extend(&self, new: impl Iterator<Item = RecordBatch>) {
        let mut batches = self.batches.lock();
        let mut added = 0;
        for batch in new {
            added += batch.bytes().len() as u64;
            batches.queue.push_back(batch);
        }
        batches.bytes += added;
        self.budget.held.fetch_add(added, Ordering::Relaxed);
        let mut removed = 0;
        while batches.bytes > self.budget.partition_max
            && let Some(oldest) = batches.queue.pop_front()
        {
            let bytes = oldest.bytes().len() as u64;
            batches.bytes -= bytes;
            removed += bytes;
        }
        let announce = !batches.known && !batches.queue.is_empty();
        batches.known |= announce;
        drop(batches);
        self.budget.give_back(removed);
        if announce {
            let holder = Arc::downgrade(&self.batches);
            self.budget.holders.lock().push_back(holder);
        }
        self.budget.enforce();
    }

    /// As `LogStore::read`; `None` if the batch at or behind `from` may be one that is not held.
    pub(crate) fn read(&self, from: Offset, end: Offset, limit: ByteSize) -> Option<Stored> {
        let batches = self.batches.lock();
        let first = batches.queue.front()?;
        if from < first.header().base_offset {
            return None;
        }
        let at = batches
            .queue
            .partition_point(|b| b.header().next_offset() <= from);
        let mut stored = Stored {
            parts: Vec::new(),
            next: end,
        };
        let mut bytes = 0;
        for batch in batches.queue.range(at..) {
            let header = batch.header();
            if header.next_offset() > end {
                // What lies before this batch is not there, now or later.
                let gap = header.base_offset.min(end).max(from);
                stored.next = stored.parts.last().map_or(gap, |_| stored.next.max(gap));
                return Some(stored);
            }
            bytes += batch.bytes().len() as u64;
            if bytes > limit.0 && !stored.parts.is_empty() {
                return Some(stored);
            }
            stored.parts.push(batch.bytes().clone());
            stored.next = header.next_offset();
        }
        Some(stored)
    }

    /// Forgets what lies at or above `end`, a boundary of batches.
    pub(crate) fn truncate(&self, end: Offset) {
        let mut removed = 0;
        let mut batches = self.batches.lock();
        while let Some(newest) = batches.queue.back()
            && newest.header().next_offset() > end
        {
            removed += newest.bytes().len() as u64;
            batches.queue.pop_back();
        }
        batches.bytes -= removed;
        drop(batches);
        self.budget.give_back(removed);
    }

    /// Holds nothing from now on.
    pub(crate) fn clear(&self) {
        self.budget.give_back(self.batches.lock().clear());
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Batches {
    fn clear(&mut self) -> u64 {
        self.queue = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use wstream_record::LeaderEpoch;

    use super::*;
    use crate::testing::batch_of;

    fn batch(base: i64) -> RecordBatch {
        batch_of(1, 1_000, None).at(Offset(base), LeaderEpoch(0))
    }

    fn fill(tail: &Tail, from: i64, count: i64) {
        for n in from..from + count {
            tail.extend([batch(n)].into_iter());
        }
    }

    const END: Offset = Offset(i64::MAX);

    fn offsets(stored: Stored) -> Vec<i64> {
        let base = |bytes| RecordBatch::parse(bytes).unwrap().header().base_offset.0;
        stored.parts.into_iter().map(base).collect()
    }

    #[test]
    fn a_tail_reaches_to_the_end_and_stays_below_its_bound() {
        let budget = Arc::new(TailBudget::new(ByteSize::mib(1), ByteSize(10_000)));
        let tail = Tail::new(Arc::clone(&budget));
        let all = ByteSize::mib(1);
        assert_eq!(tail.read(Offset(0), END, all), None);
        fill(&tail, 0, 100);
        assert!(budget.held.load(Ordering::Relaxed) <= 10_000);
        assert_eq!(tail.read(Offset(0), END, all), None);
        // from, end, limit, offsets, next
        let rows = [
            (95, 100, all, vec![95, 96, 97, 98, 99], 100),
            (95, 97, all, vec![95, 96], 97),
            (95, 100, ByteSize(1), vec![95], 96),
            (100, 100, ByteSize(1), vec![], 100),
        ];
        for (from, end, limit, expected, next) in rows {
            let read = tail.read(Offset(from), Offset(end), limit).unwrap();
            assert_eq!(read.next, Offset(next));
            assert_eq!(offsets(read), expected);
        }
        drop(tail);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn over_the_nodes_bound_the_longest_waiting_gives_way() {
        let budget = Arc::new(TailBudget::new(ByteSize(20_000), ByteSize(15_000)));
        let first = Tail::new(Arc::clone(&budget));
        let second = Tail::new(Arc::clone(&budget));
        fill(&first, 0, 12);
        fill(&second, 0, 12);
        assert!(budget.held.load(Ordering::Relaxed) <= 20_000);
        assert_eq!(first.read(Offset(11), END, ByteSize(1)), None);
        assert!(second.read(Offset(11), END, ByteSize(1)).is_some());
        fill(&first, 12, 2);
        assert!(first.read(Offset(12), END, ByteSize(1)).is_some());
    }

    #[test]
    fn gaps_are_passed_over_only_between_what_is_held() {
        let budget = Arc::new(TailBudget::new(ByteSize::mib(1), ByteSize(10_000)));
        let tail = Tail::new(budget);
        tail.extend([batch(5), batch(9), batch(12)].into_iter());
        let all = ByteSize::mib(1);
        assert_eq!(tail.read(Offset(4), END, all), None);
        let read = tail.read(Offset(7), Offset(20), all).unwrap();
        assert_eq!(read.next, Offset(13));
        assert_eq!(offsets(read), [9, 12]);
        let gap = tail.read(Offset(6), Offset(9), all).unwrap();
        assert_eq!((gap.parts.len(), gap.next), (0, Offset(9)));
        tail.truncate(Offset(9));
        assert_eq!(offsets(tail.read(Offset(5), END, all).unwrap()), [5]);
        tail.truncate(Offset(0));
        assert_eq!(tail.read(Offset(5), END, all), None);
    }
}
