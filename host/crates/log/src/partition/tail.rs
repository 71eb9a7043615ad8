//! Keeps the newest batches of active partitions in memory, so that a reader at the tail never
//! touches the store.
//!
//! Each partition keeps at most its own bound, all together at most the node's. Over the node's
//! bound the partitions give up theirs in turn, the one that has waited longest first.
//! What is kept always reaches to the end of what was acknowledged, without a gap.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wstream_record::{ByteSize, Offset, RecordBatch};

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

    /// Adds what was just acknowledged; it must follow what is held.
    pub(crate) fn extend(&self, new: &[RecordBatch]) {
        let mut batches = self.batches.lock();
        for batch in new {
            let bytes = batch.bytes().len() as u64;
            self.budget.held.fetch_add(bytes, Ordering::Relaxed);
            batches.bytes += bytes;
            batches.queue.push_back(batch.clone());
        }
        while batches.bytes > self.budget.partition_max {
            let Some(oldest) = batches.queue.pop_front() else {
                break;
            };
            let bytes = oldest.bytes().len() as u64;
            batches.bytes -= bytes;
            self.budget.give_back(bytes);
        }
        let announce = !batches.known && !batches.queue.is_empty();
        batches.known |= announce;
        drop(batches);
        if announce {
            let holder = Arc::downgrade(&self.batches);
            self.budget.holders.lock().push_back(holder);
        }
        self.budget.enforce();
    }

    /// Whole batches from the one that holds `from`; `None` if that is not held.
    pub(crate) fn read(&self, from: Offset, limit: ByteSize) -> Option<Vec<RecordBatch>> {
        let batches = self.batches.lock();
        let first = batches.queue.front()?;
        if from < first.header().base_offset {
            return None;
        }
        let at = batches
            .queue
            .partition_point(|b| b.header().next_offset() <= from);
        let mut out = Vec::new();
        let mut bytes = 0;
        for batch in batches.queue.range(at..) {
            bytes += batch.bytes().len() as u64;
            if bytes > limit.0 && !out.is_empty() {
                break;
            }
            out.push(batch.clone());
        }
        Some(out)
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

    fn fill(tail: &Tail, from: i64, count: i64) {
        for n in from..from + count {
            tail.extend(&[batch_of(1, 1_000, None).at(Offset(n), LeaderEpoch(0))]);
        }
    }

    #[test]
    fn a_tail_reaches_to_the_end_and_stays_below_its_bound() {
        let budget = Arc::new(TailBudget::new(ByteSize::mib(1), ByteSize(10_000)));
        let tail = Tail::new(Arc::clone(&budget));
        assert_eq!(tail.read(Offset(0), ByteSize::mib(1)), None);
        fill(&tail, 0, 100);
        assert!(budget.held.load(Ordering::Relaxed) <= 10_000);
        assert_eq!(tail.read(Offset(0), ByteSize::mib(1)), None);
        let read = tail.read(Offset(95), ByteSize::mib(1)).unwrap();
        let offsets: Vec<i64> = read.iter().map(|b| b.header().base_offset.0).collect();
        assert_eq!(offsets, [95, 96, 97, 98, 99]);
        assert_eq!(tail.read(Offset(95), ByteSize(1)).unwrap().len(), 1);
        assert_eq!(tail.read(Offset(100), ByteSize(1)).unwrap(), []);
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
        assert_eq!(first.read(Offset(11), ByteSize(1)), None);
        assert!(second.read(Offset(11), ByteSize(1)).is_some());
        fill(&first, 12, 2);
        assert!(first.read(Offset(12), ByteSize(1)).is_some());
    }
}
