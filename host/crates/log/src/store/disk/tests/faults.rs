//! What hangs or has no room costs what was not flushed, and nothing else.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use parking_lot::Mutex;
use wstream_record::{LeaderEpoch, ManualClock, PartitionId, ProducerId, TopicId};

use super::*;
use crate::sled::real::{Latch, Step};
use crate::sled::sim::SimDisk;
use crate::store::conformance::{self, Environment, Fault};
use crate::testing::{batch_of, copy_dir};

/// A directory in which any fault is a flush that does not come back.
struct InHanging {
    dir: tempfile::TempDir,
    /// How often it was killed, each time into another directory.
    kills: Mutex<u32>,
    disk: Mutex<Option<Arc<RealDisk>>>,
    latches: Mutex<Vec<Latch>>,
    clock: ManualClock,
    options: DiskOptions,
}

impl InHanging {
    fn root(&self, kills: u32) -> PathBuf {
        self.dir.path().join(kills.to_string())
    }
}

impl Environment for InHanging {
    fn open(&self) -> Arc<dyn LogStore> {
        let root = self.root(*self.kills.lock());
        fs::create_dir_all(&root).unwrap();
        let disk = disk_in(&root, FreeSpace::system());
        *self.disk.lock() = Some(Arc::clone(&disk));
        Arc::new(DiskStore::new(disk, &self.options, self.clock.clock()))
    }

    fn kill(&self) {
        let mut kills = self.kills.lock();
        copy_dir(&self.root(*kills), &self.root(*kills + 1));
        *kills += 1;
    }

    fn fail_next(&self, _fault: Fault) {
        let disk = self.disk.lock();
        let latch = disk.as_ref().unwrap().hang_next(Step::Flush);
        self.latches.lock().push(latch);
    }
}

impl Drop for InHanging {
    fn drop(&mut self) {
        for latch in &*self.latches.lock() {
            latch.open();
        }
    }
}

#[test]
fn a_disk_whose_flushes_hang_conforms() {
    for (streams, durability) in [(1, Durability::Process), (3, Durability::Disk)] {
        conformance::suite_of_faults(&|clock| {
            Box::new(InHanging {
                dir: tempfile::tempdir().unwrap(),
                kills: Mutex::default(),
                disk: Mutex::default(),
                latches: Mutex::default(),
                clock: clock.clone(),
                options: options(streams, durability),
            })
        });
    }
}

const KEY: PartitionKey = PartitionKey {
    topic: TopicId([7; 16]),
    partition: PartitionId(0),
};

fn entry(base: i64, bytes: usize) -> (PartitionKey, Entry) {
    let batch = batch_of(1, bytes, None).at(Offset(base), LeaderEpoch(0));
    (KEY, Entry::Batch(batch))
}

fn stored(store: &DiskStore) -> Vec<Bytes> {
    let all = ByteSize::mib(10);
    store.read(KEY, Offset(0), Offset(10), all).unwrap().parts
}

fn bytes_of(entries: &[(PartitionKey, Entry)]) -> usize {
    entries.iter().map(|(_, entry)| entry.byte_len()).sum()
}

/// A segment that rolled and whose database does not come back when it is synced or closed: another one
/// takes it over, and meanwhile it is read.
#[test]
fn a_segment_that_does_not_close_is_taken_over() {
    for step in [Step::Sync, Step::Close] {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk_in(dir.path(), FreeSpace::system());
        let clock = ManualClock::default();
        let options = options(1, Durability::Process);
        let store = started(Arc::<RealDisk>::clone(&disk), &options, clock.clock());
        let entries: Vec<_> = (0..5).map(|n| entry(n, 40_000)).collect();
        for n in 0..5 {
            if n == 4 {
                clock.advance(std::time::Duration::from_secs(10));
                store.roll_if_older(0, 1_000);
            }
            store.write(0, &entries[n..=n], &Vec::new).unwrap();
            store.flush(0).unwrap();
        }
        let latch = disk.hang_next(step);
        // One may fail; the next ones do what is to be done.
        let tidied = (0..10).map(|_| store.tidy(&|_| Cleanup::default()));
        assert!(tidied.filter(Result::is_err).count() <= 1, "{step:?}");
        let read: usize = stored(&store).iter().map(Bytes::len).sum();
        assert_eq!(read, bytes_of(&entries), "{step:?}");
        assert!(store.holes().is_empty());
        assert_eq!(store.trouble(), None);
        store.close(&Vec::new).unwrap();
        drop(store);
        let store = started(Arc::<RealDisk>::clone(&disk), &options, clock.clock());
        let read: usize = stored(&store).iter().map(Bytes::len).sum();
        assert_eq!(read, bytes_of(&entries), "{step:?}");
        latch.open();
    }
}

#[test]
fn a_full_disk_costs_what_was_written_before_too() {
    let disk = SimDisk::new(3);
    let clock = ManualClock::default();
    let mut options = options(1, Durability::Process);
    options.disk_free_min = ByteSize(10);
    let store = started(Arc::new(disk.clone()), &options, clock.clock());
    store.write(0, &[entry(0, 10)], &Vec::new).unwrap();
    disk.set_free(ByteSize(5));
    clock.advance(std::time::Duration::from_secs(2));
    let full = store.write(0, &[entry(1, 10)], &Vec::new);
    assert!(matches!(full, Err(StoreError::DiskFull { .. })));
    disk.set_free(ByteSize::mib(100));
    let again = [entry(0, 20)];
    store.write(0, &again, &Vec::new).unwrap();
    store.flush(0).unwrap();
    let parts = stored(&store);
    let (Entry::Batch(batch), parts) = (&again[0].1, &parts[..]) else {
        panic!("it is a batch");
    };
    assert_eq!(parts, [batch.bytes().clone()]);
}

/// What was aborted goes out of memory with the indexes of the segments that close, and is read again.
#[test]
fn what_was_aborted_is_not_kept_in_memory_once_its_segment_is_closed() {
    let clock = ManualClock::default();
    let mut options = options(1, Durability::Process);
    options.segment_bytes = ByteSize(100_000);
    let store = started(Arc::new(SimDisk::new(9)), &options, clock.clock());
    for n in 0..2_000 {
        store.write(0, &[entry(n, 300)], &Vec::new).unwrap();
        store.flush(0).unwrap();
        let (first, last) = (Offset(n), Offset(n));
        let range = Aborted {
            producer: ProducerId(n),
            first,
            last,
            stable: last.plus(1),
        };
        store.note_aborted(KEY, range);
        if n % 100 == 0 {
            while store.tidy(&|_| Cleanup::default()).unwrap() {}
        }
    }
    while store.tidy(&|_| Cleanup::default()).unwrap() {}
    let stream = &store.streams[0];
    let segments = stream.segments.read().clone();
    let live = segments.iter().filter(|segment| segment.is_live()).count();
    assert_eq!(live, 1, "the one that is written");
    let held = stream.held(KEY).unwrap();
    let known = held.lock().aborted.len();
    assert!(known > 3 && known <= segments.len(), "{known}");
    // Read with their segments, of which few stay in memory.
    for n in 0..2_000 {
        let found = store.aborted(KEY, Offset(n), Offset(n + 1)).unwrap();
        let found: Vec<i64> = found.iter().map(|range| range.producer.0).collect();
        assert_eq!(found, [n]);
        let loaded = segments
            .iter()
            .filter(|segment| segment.is_loaded())
            .count();
        assert!(loaded <= 8, "{loaded}");
    }
    for _ in 0..2 {
        store.tidy(&|_| Cleanup::default()).unwrap();
    }
    assert!(!segments.iter().any(|segment| segment.is_loaded()));
    // It goes with the segments.
    let start = [(KEY, Entry::Start(Offset(1_990)))];
    store.write(0, &start, &Vec::new).unwrap();
    store.flush(0).unwrap();
    assert!(held.lock().aborted.len() <= 2);
    assert!(
        store
            .aborted(KEY, Offset(0), Offset(1_990))
            .unwrap()
            .is_empty()
    );
}

/// The index of a closed segment does not read any more: what its markers aborted is asked for anew.
#[test]
fn what_was_aborted_is_derived_again_where_an_index_is_lost() {
    struct Asked(Vec<PartitionKey>);
    impl Replay for Asked {
        fn derived(&mut self, _derived: Derived) -> bool {
            true
        }
        fn entry(&mut self, key: PartitionKey, entry: ReplayEntry<'_>) -> Option<Aborted> {
            if matches!(entry, ReplayEntry::Incomplete) {
                self.0.push(key);
            }
            None
        }
    }
    let disk = SimDisk::new(9);
    let clock = ManualClock::default();
    let options = options(1, Durability::Process);
    let store = started(Arc::new(disk.clone()), &options, clock.clock());
    let (_, Entry::Batch(batch)) = entry(0, 300) else {
        panic!("it is a batch");
    };
    let mut bytes = batch.bytes().to_vec();
    bytes[22] = 1 << 4 | 1 << 5;
    let marker = RecordBatch::parse_trusted(bytes.into()).unwrap();
    let range = Aborted {
        producer: ProducerId(5),
        first: Offset(0),
        last: Offset(0),
        stable: Offset(1),
    };
    let group = [(KEY, Entry::Batch(marker)), entry(1, 300)];
    store.write(0, &group, &Vec::new).unwrap();
    store.flush(0).unwrap();
    store.note_aborted(KEY, range);
    store.close(&Vec::new).unwrap();
    let segment = store.streams[0].segments.read()[0].name.clone();
    drop(store);
    let index = segment::index_file(&segment);
    disk.write(&index, b"nothing").unwrap();
    let store = DiskStore::new(Arc::new(disk), &options, clock.clock());
    let mut asked = Asked(Vec::new());
    store.recover(&mut asked).unwrap();
    assert_eq!(asked.0, [KEY]);
    let all = (Offset(0), Offset(2));
    assert_eq!(store.aborted(KEY, all.0, all.1).unwrap(), []);
    store.note_aborted(KEY, range);
    assert_eq!(store.aborted(KEY, all.0, all.1).unwrap(), [range]);
}

/// A kill comes between a snapshot and the closing of a segment before it: no index says yet what was
/// aborted there, and no start is shown it.
#[test]
fn what_was_aborted_survives_a_kill_before_its_segment_is_closed() {
    let mut disk = SimDisk::new(9);
    let clock = ManualClock::default();
    let options = options(1, Durability::Process);
    let store = started(Arc::new(disk.clone()), &options, clock.clock());
    let mut ranges = Vec::new();
    for n in 0..3 {
        clock.advance(std::time::Duration::from_secs(10));
        store.roll_if_older(0, 1_000);
        store.write(0, &[entry(n, 300)], &Vec::new).unwrap();
        store.flush(0).unwrap();
        ranges.push(Aborted {
            producer: ProducerId(n),
            first: Offset(n),
            last: Offset(n),
            stable: Offset(n + 1),
        });
        store.note_aborted(KEY, ranges[ranges.len() - 1]);
    }
    // It stores the newest snapshot and closes the oldest segment.
    store.tidy(&|_| Cleanup::default()).unwrap();
    let is_live = |store: &DiskStore| {
        let segments = store.streams[0].segments.read();
        segments.iter().map(|s| s.is_live()).collect::<Vec<_>>()
    };
    assert_eq!(is_live(&store), [false, true, true]);
    disk = disk.kill();
    drop(store);
    let store = started(Arc::new(disk), &options, clock.clock());
    // Of the last segment `Replay` has to say it.
    let found = store.aborted(KEY, Offset(0), Offset(9)).unwrap();
    assert_eq!(found, ranges[..2]);
}

/// What a failed flush leaves in its segment does not count, even where the list that says so is lost.
#[test]
fn a_group_that_failed_does_not_come_back_with_a_manifest_made_anew() {
    let disk = SimDisk::new(11);
    let clock = ManualClock::default();
    let options = options(1, Durability::Disk);
    let store = started(Arc::new(disk.clone()), &options, clock.clock());
    store.write(0, &[entry(0, 10)], &Vec::new).unwrap();
    store.flush(0).unwrap();
    // It reaches the file, and no sync says so.
    disk.fail(crate::sled::sim::Step::Sync, 0, false);
    store.write(0, &[entry(1, 100)], &Vec::new).unwrap();
    store.flush(0).unwrap_err();
    disk.heal();
    let again = [entry(1, 200), entry(2, 300)];
    store.write(0, &again, &Vec::new).unwrap();
    store.flush(0).unwrap();
    let before = stored(&store);
    disk.write("0/manifest", b"lost").unwrap();
    let disk = disk.kill();
    drop(store);
    let store = started(Arc::new(disk), &options, clock.clock());
    assert_eq!(stored(&store), before);
}
