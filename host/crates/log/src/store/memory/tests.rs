use std::cell::Cell;

use wstream_record::{LeaderEpoch, PartitionId, TopicId};

use super::*;
use crate::store::conformance::{self, Environment, Fault};
use crate::testing::batch_of;

/// What a kill leaves is what the clones share.
struct InMemory(MemoryStore);

impl Environment for InMemory {
    fn open(&self) -> Arc<dyn LogStore> {
        Arc::new(self.0.clone())
    }

    fn kill(&self) {}

    fn fail_next(&self, fault: Fault) {
        let faults = self.0.faults();
        match fault {
            Fault::DiskFull => faults.fail_write(StoreError::DiskFull {
                free: ByteSize(1),
                min: ByteSize(2),
            }),
            Fault::Write => faults.fail_write(StoreError::failed("writing", PLACE, &"told to")),
            Fault::Flush => faults.fail_flush(StoreError::failed("flushing", PLACE, &"told to")),
        }
    }
}

#[test]
fn conforms() {
    for streams in [1, 3] {
        conformance::suite(&|clock| Box::new(InMemory(MemoryStore::new(clock.clock(), streams))));
    }
}

fn key() -> PartitionKey {
    PartitionKey {
        topic: TopicId([7; 16]),
        partition: PartitionId(3),
    }
}

fn entry(base: i64) -> (PartitionKey, Entry) {
    let batch = batch_of(2, 5, None).at(Offset(base), LeaderEpoch(0));
    (key(), Entry::Batch(batch))
}

#[test]
fn a_batch_below_the_end_is_refused_with_its_group() {
    let store = MemoryStore::new(Clock::system(), 1);
    store.write(0, &[entry(0), entry(2)], &Vec::new).unwrap();
    assert!(store.write(0, &[entry(4), entry(5)], &Vec::new).is_err());
    store.flush(0).unwrap();
    assert_eq!(store.bytes(key()), ByteSize(0));
    store.write(0, &[entry(0)], &Vec::new).unwrap();
    store.flush(0).unwrap();
    assert!(store.write(0, &[entry(1)], &Vec::new).is_err());
    assert!(
        store.write(1, &[entry(2)], &Vec::new).is_err(),
        "there is one stream"
    );
}

#[test]
fn the_journal_is_bounded() {
    let store = MemoryStore::new(Clock::system(), 1);
    let asked = Cell::new(0);
    let derived = || {
        asked.set(asked.get() + 1);
        Vec::new()
    };
    let groups = 3 * JOURNAL_ENTRIES_MAX / 64;
    for group in 0..i64::try_from(groups).unwrap() {
        let entries: Vec<_> = (0..64).map(|n| entry((group * 64 + n) * 2)).collect();
        store.write(0, &entries, &derived).unwrap();
        store.flush(0).unwrap();
        assert!(store.shared.streams[0].lock().journal.len() <= JOURNAL_ENTRIES_MAX + 64);
    }
    assert_eq!(asked.get(), 2);
}

#[test]
fn the_partitions_of_a_topic_lie_on_all_streams() {
    let store = MemoryStore::new(Clock::system(), 4);
    let of = |partition| {
        let partition = PartitionId(partition);
        store.stream_of(PartitionKey { partition, ..key() })
    };
    let mut streams: Vec<_> = (0..4).map(of).collect();
    streams.sort_unstable();
    assert_eq!(streams, [0, 1, 2, 3]);
}

#[test]
fn trouble_is_as_it_was_set() {
    let store = MemoryStore::new(Clock::system(), 1);
    store
        .faults()
        .set_trouble(Some("the disk fails".to_owned()));
    assert_eq!(store.trouble().as_deref(), Some("the disk fails"));
}
