//! Readers beside retention and settling: what was removed is not opened again, and nothing else is
//! read than what was written.

use std::sync::atomic::AtomicBool;

use wstream_record::{LeaderEpoch, ManualClock, PartitionId, TopicId};

use super::super::segment::Trouble;
use super::*;
use crate::testing::batch_of;

fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId([3; 16]),
        partition: PartitionId(partition),
    }
}

fn write(store: &DiskStore, entries: &[(PartitionKey, Entry)]) {
    store.write(0, entries, &Vec::new).unwrap();
    store.flush(0).unwrap();
}

/// Reads the partitions from their starts, again and again, until `done`.
fn read_all(store: &DiskStore, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for partition in 0..4 {
            let all = ByteSize::mib(64);
            let read = store.read(key(partition), Offset(0), Offset(i64::MAX), all);
            for part in &read.unwrap().parts {
                let mut rest = part.clone();
                while let Some(batch) = RecordBatch::take_first(&mut rest).unwrap() {
                    assert_eq!(batch.header().records, 1);
                }
            }
        }
    }
}

#[test]
fn a_removed_segment_is_never_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = disk_in(dir.path(), FreeSpace::system());
    let clock = ManualClock::default();
    let options = options(1, Durability::Process);
    let store = started(Arc::clone(&disk), &options, clock.clock());
    let done = AtomicBool::new(false);
    let mut removed = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| read_all(&store, &done));
        }
        for round in 0..60_i64 {
            let batches = (0..4).map(|partition| {
                let batch = batch_of(1, 60_000, None).at(Offset(round), LeaderEpoch(0));
                (key(partition), Entry::Batch(batch))
            });
            write(&store, &batches.collect::<Vec<_>>());
            let starts = (0..4).map(|partition| (key(partition), Entry::Start(Offset(round - 4))));
            write(&store, &starts.filter(|_| round > 4).collect::<Vec<_>>());
            let before = store.streams[0].segments.read().clone();
            while store.tidy(&|_| Cleanup::default()).unwrap() {}
            removed.extend(before.into_iter().filter(|segment| segment.is_removed()));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(removed.len() > 3, "{} segments went", removed.len());
    let node = &store.streams[0].node;
    for segment in &removed {
        let opened = segment.scan(&*disk, &node.slots, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(opened, Err(Trouble::Removed)));
    }
    let names = disk.names("0").unwrap();
    let there = names.iter().filter(|name| !name.contains('.'));
    let there: Vec<u64> = there
        .filter_map(|n| super::super::segment::segment_id(n))
        .collect();
    let mut listed: Vec<u64> = store.streams[0]
        .segments
        .read()
        .iter()
        .map(|s| s.id)
        .collect();
    listed.sort_unstable();
    assert_eq!(there, listed);
    assert!(store.holes().is_empty(), "{:?}", store.holes());
}
