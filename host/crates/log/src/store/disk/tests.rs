use std::sync::atomic::{AtomicU64, Ordering};

use wstream_record::{
    ByteSize, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, ProducerStamp,
    RecordBatch, Sequence, Timestamp, TopicName,
};

use super::database::BUFFER_BYTES_SMALL;
use super::files::segment_base;
use super::*;
use crate::config::FreeSpace;
use crate::store::{Before, Recovered, conformance};
use crate::summary::Summary;
use crate::testing::batch_of;

const ALL: ByteSize = ByteSize::mib(1_000);

fn config(dir: &Path) -> LogConfig {
    LogConfig {
        dir: dir.to_owned(),
        disk_free_min: ByteSize(0),
        ..LogConfig::default()
    }
}

fn name(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(0))
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(&config(dir), Clock::system()).unwrap()
}

fn open_partition(store: &DiskStore, topic: &str) -> (Box<dyn PartitionStore>, Recovered) {
    let small = TopicConfig {
        segment_bytes: ByteSize(200_000),
        ..TopicConfig::default()
    };
    let partition = store.open(&name(topic), &small).unwrap();
    let recovered = partition.recover().unwrap();
    (partition, recovered)
}

/// Appends `count` batches of ten records and 50,000 bytes, from offset `from` on.
fn append(partition: &dyn PartitionStore, from: i64, count: i64) -> Offset {
    for n in 0..count {
        let batch = batch_of(10, 5_000, None).at(Offset(from + n * 10), LeaderEpoch(0));
        partition.append(&[batch], &Summary::default()).unwrap();
    }
    Offset(from + count * 10)
}

fn bases(partition: &dyn PartitionStore, from: i64, end: Offset) -> Vec<i64> {
    let read = partition.read(Offset(from), end, ALL).unwrap();
    read.iter().map(|b| b.header().base_offset.0).collect()
}

fn segment_dirs(dir: &Path, topic: &str) -> Vec<PathBuf> {
    let mut dirs = entries(&dir.join("log").join(format!("{topic}-0"))).unwrap();
    dirs.retain(|d| d.is_dir());
    dirs
}

fn garble(segment: &Path) {
    for path in entries(segment).unwrap() {
        if path.is_file() && path.file_name().unwrap() != "segment.json" {
            fs::write(&path, vec![0x5a; 4_000]).unwrap();
        }
    }
}

/// The database does not open; its batches still tell their offsets.
fn garble_names(segment: &Path) {
    fs::write(segment.join("conf"), b"segment_size: 12\n........").unwrap();
}

#[test]
fn a_database_that_a_kill_left_half_made_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(database::open(dir.path(), database::BUFFER_BYTES_SMALL).unwrap());
    let whole = fs::read(dir.path().join("conf")).unwrap();
    // What is in the file when each of its two writes is done, and within them.
    for cut in [0, 1, 9, whole.len() - 4, whole.len() - 1] {
        let half = tempfile::tempdir().unwrap();
        fs::write(half.path().join("conf"), &whole[..cut]).unwrap();
        if cut % 2 == 0 {
            fs::write(half.path().join("db"), b"").unwrap();
        }
        let db = database::open(half.path(), database::BUFFER_BYTES_SMALL).unwrap();
        db.insert(b"k", b"v").unwrap();
    }
}

#[test]
fn conforms() {
    conformance::suite(&|clock, run| {
        let dir = tempfile::tempdir().unwrap();
        run(&|| Arc::new(DiskStore::open(&config(dir.path()), clock.clock()).unwrap()));
    });
}

#[test]
fn conforms_with_few_databases_open_and_bytes_on_the_device() {
    conformance::suite(&|clock, run| {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segments_open_max: 2,
            durability: Durability::Disk,
            ..config(dir.path())
        };
        run(&|| Arc::new(DiskStore::open(&config, clock.clock()).unwrap()));
    });
}

#[test]
fn no_value_becomes_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let big = store.open(&name("t"), &TopicConfig::default()).unwrap();
    big.recover().unwrap();
    let mut end = Offset(0);
    for size in [1, 900, 9_000, 17_000, 119_000, 130_000, 1_000_000] {
        for _ in 0..40 {
            let batch = batch_of(1, size, None).at(end, LeaderEpoch(0));
            end = batch.header().next_offset();
            big.append(&[batch], &Summary::default()).unwrap();
        }
    }
    let segment = &segment_dirs(dir.path(), "t")[0];
    assert_eq!(entries(&segment.join("blobs")).unwrap(), [] as [PathBuf; 0]);
    let stored = big.bytes().0 as f64;
    let written = fs::metadata(segment.join("db")).unwrap().len() as f64;
    assert!(written < stored * 1.2, "{written} for {stored}");
}

#[test]
fn at_most_so_many_databases_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segments_open_max: 3,
        ..config(dir.path())
    };
    let store = DiskStore::open(&config, Clock::system()).unwrap();
    let partitions: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|topic| open_partition(&store, topic).0)
        .into_iter()
        .collect();
    for round in 0..4 {
        for partition in &partitions {
            append(&**partition, round * 10, 1);
            assert!(store.node.slots.open_count() <= 3);
        }
    }
    for partition in &partitions {
        assert_eq!(bases(&**partition, 0, Offset(40)), [0, 10, 20, 30]);
    }
    assert_eq!(store.node.slots.open_count(), 3);
}

#[test]
fn open_databases_hold_at_most_so_much() {
    let dir = tempfile::tempdir().unwrap();
    let bytes_max = ByteSize(3_000_000);
    let config = LogConfig {
        segments_open_bytes_max: bytes_max,
        // An open database may hold four mebibytes in any case.
        segments_open_max: 1,
        ..config(dir.path())
    };
    let bytes_max = ByteSize(bytes_max.0.max(partition::REOPEN_BYTES_MAX));
    let store = DiskStore::open(&config, Clock::system()).unwrap();
    let held = || store.node.slots.held();
    let (partition, _) = open_partition(&store, "t");
    let mut end = Offset(0);
    for _ in 0..200 {
        end = append(&*partition, end.0, 1);
        assert!(held() <= bytes_max, "{:?}", held());
    }
    // 10,000,000 bytes are read through databases that may hold four.
    assert_eq!(bases(&*partition, 0, end).len(), 200);
    assert!(held() <= bytes_max, "{:?}", held());
    // What nobody uses is closed at the second look.
    let (now, summary) = (Timestamp(0), Summary::default());
    partition.maintain(now, &summary).unwrap();
    partition.maintain(now, &summary).unwrap();
    assert_eq!((store.node.slots.open_count(), held()), (0, ByteSize(0)));
    assert_eq!(append(&*partition, end.0, 1), end.plus(10));
}

#[test]
fn a_large_segment_rolls_rather_than_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let partition = store.open(&name("t"), &TopicConfig::default()).unwrap();
    partition.recover().unwrap();
    let mut end = Offset(0);
    for (count, segments) in [(60, 1), (60, 1), (1, 2)] {
        // 60 batches are 3,000,000 bytes, 120 of them 6,000,000.
        end = append(&*partition, end.0, count);
        assert_eq!(segment_dirs(dir.path(), "t").len(), segments);
        for _ in 0..2 {
            let closed = partition.maintain(Timestamp(0), &Summary::default());
            closed.unwrap();
        }
    }
    assert_eq!(bases(&*partition, 0, end).len(), 121);
}

#[test]
fn a_full_segment_is_followed_by_one_with_large_buffers_which_open_again() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    let mut end = append(&*partition, 0, 9);
    partition.roll(&Summary::default()).unwrap();
    end = append(&*partition, end.0, 1);
    drop(partition);
    let sizes = segment_dirs(dir.path(), "t");
    let sizes = sizes.iter().map(|d| fs::read(d.join("conf")).unwrap());
    let large = sizes.map(|conf| conf.starts_with(b"segment_size: 2097152\n"));
    assert_eq!(large.collect::<Vec<_>>(), [false, true, true, false]);
    let (partition, recovered) = open_partition(&open(dir.path()), "t");
    assert_eq!(recovered.end, end);
    assert_eq!(bases(&*partition, 0, end).len(), 10);
}

#[test]
fn a_clean_restart_opens_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (partition, _) = open_partition(&store, "t");
    let end = append(&*partition, 0, 10);
    partition.close(&Summary::default()).unwrap();
    drop(partition);
    let store = open(dir.path());
    let (partition, recovered) = open_partition(&store, "t");
    assert_eq!(recovered.end, end);
    assert_eq!(store.node.slots.open_count(), 0);
    assert_eq!(append(&*partition, end.0, 1), Offset(110));
    drop(partition);
    let (_, recovered) = open_partition(&open(dir.path()), "t");
    assert_eq!(recovered.end, Offset(110));
}

#[test]
fn a_segment_that_a_kill_left_unsealed_is_read_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    let end = append(&*partition, 0, 9);
    drop(partition);
    let sealed = segment_dirs(dir.path(), "t")[1].join("segment.json");
    fs::remove_file(&sealed).unwrap();
    let (partition, recovered) = open_partition(&open(dir.path()), "t");
    assert_eq!((recovered.start, recovered.end), (Offset(0), end));
    assert_eq!(bases(&*partition, 0, end).len(), 9);
    assert!(sealed.exists());
}

#[test]
fn what_is_not_flushed_is_not_closed_and_counts_only_once_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segments_open_max: 1,
        ..config(dir.path())
    };
    let store = DiskStore::open(&config, Clock::system()).unwrap();
    let (writing, _) = open_partition(&store, "a");
    let batch = batch_of(10, 5_000, None).at(Offset(0), LeaderEpoch(0));
    let summary = Summary::default();
    let written = writing.write(
        std::slice::from_ref(&batch),
        Before::new(&summary, &[]),
        false,
    );
    assert_eq!((written.unwrap(), writing.bytes()), (1, ByteSize(0)));
    let (other, _) = open_partition(&store, "b");
    append(&*other, 0, 1);
    assert_eq!(store.node.slots.open_count(), 2);
    writing.flush().unwrap();
    assert_eq!(writing.bytes(), ByteSize(batch.bytes().len() as u64));
    append(&*other, 10, 1);
    assert_eq!(bases(&*writing, 0, Offset(10)), [0]);
}

#[test]
fn what_a_kill_during_an_open_leaves_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    append(&*partition, 0, 3);
    drop(partition);
    let segment = &segment_dirs(dir.path(), "t")[0];
    let half = segment.join("snap.00000000000009C4.generating");
    fs::write(&half, b"half").unwrap();
    fs::write(segment.join("snap.00000000000009C4"), b"garbage").unwrap();
    let (partition, recovered) = open_partition(&open(dir.path()), "t");
    assert_eq!(recovered.end, Offset(30));
    assert_eq!(bases(&*partition, 0, Offset(30)), [0, 10, 20]);
    assert!(!half.exists());
}

#[test]
fn a_newest_segment_that_does_not_open_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    append(&*partition, 0, 5);
    drop(partition);
    let segments = segment_dirs(dir.path(), "t");
    assert_eq!(segments.len(), 2);
    garble_names(&segments[1]);
    let store = open(dir.path());
    let (partition, recovered) = open_partition(&store, "t");
    let aside = store.set_aside();
    assert_eq!(aside.len(), 1, "{aside:?}");
    let kept = &aside[0];
    assert_eq!((kept.first, kept.next), (Offset(30), Offset(50)));
    assert!(kept.kept_at.join("db").exists());
    assert_eq!((recovered.start, recovered.end), (Offset(0), Offset(50)));
    // The rest is served, and offsets go on behind the gap, also after another restart.
    assert_eq!(bases(&*partition, 0, recovered.end), [0, 10, 20]);
    append(&*partition, 50, 1);
    assert_eq!(bases(&*partition, 25, Offset(60)), [20, 50]);
    drop(partition);
    let store = open(dir.path());
    let (_, recovered) = open_partition(&store, "t");
    assert_eq!(recovered.end, Offset(60));
    assert_eq!(store.set_aside(), []);
}

#[test]
fn offsets_go_on_in_another_segment_behind_one_that_was_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    append(&*partition, 0, 1);
    partition.roll(&Summary::default()).unwrap();
    append(&*partition, 10, 1);
    drop(partition);
    garble_names(&segment_dirs(dir.path(), "t")[1]);
    for (from, bases_then) in [(20, vec![0, 20]), (30, vec![0, 20, 30])] {
        let (partition, recovered) = open_partition(&open(dir.path()), "t");
        assert_eq!(recovered.end, Offset(from));
        let end = append(&*partition, from, 1);
        assert_eq!(bases(&*partition, 0, end), bases_then);
    }
    let names = segment_dirs(dir.path(), "t");
    let names: Vec<_> = names.iter().filter_map(|d| segment_base(d)).collect();
    assert_eq!(names, [Offset(0), Offset(20)]);
}

#[test]
fn a_start_after_a_kill_replays_the_last_trees_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let partition = store.open(&name("t"), &TopicConfig::default()).unwrap();
    partition.recover().unwrap();
    let stamp = |n: i64| ProducerStamp {
        id: ProducerId(n % 10),
        epoch: ProducerEpoch(0),
        sequence: Sequence(i32::try_from(n / 10).unwrap()),
    };
    let mut summary = Summary::default();
    for n in 0..600 {
        let batch = batch_of(1, 20_000, Some(stamp(n))).at(Offset(n), LeaderEpoch(0));
        partition
            .append(std::slice::from_ref(&batch), &summary)
            .unwrap();
        summary.note(batch.header());
    }
    drop(partition);
    // 75 trees: after the first 64 a summary was stored. What lies before is not read again.
    {
        let db = database::open(&segment_dirs(dir.path(), "t")[0], BUFFER_BYTES_SMALL).unwrap();
        let first = db
            .open_tree(values::Key::whole(Offset(0)).to_bytes())
            .unwrap();
        first
            .remove(values::Key::whole(Offset(0)).to_bytes())
            .unwrap();
        db.flush().unwrap();
    }
    let (_, recovered) = open_partition(&open(dir.path()), "t");
    assert_eq!(recovered.end, Offset(600));
    assert_eq!(recovered.summary, summary);
}

#[test]
fn a_closed_segment_that_does_not_open_is_kept_aside_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    let end = append(&*partition, 0, 12);
    partition.close(&Summary::default()).unwrap();
    let segments = segment_dirs(dir.path(), "t");
    garble(&segments[1]);
    let store = open(dir.path());
    let (partition, recovered) = open_partition(&store, "t");
    assert_eq!(recovered.end, end);
    assert_eq!(store.set_aside(), []);
    let read = bases(&*partition, 0, end);
    assert_eq!(read, [0, 10, 20, 60, 70, 80, 90, 100, 110]);
    assert_eq!(bases(&*partition, 35, end)[0], 60);
    let aside = store.set_aside();
    assert_eq!((aside[0].first, aside[0].next), (Offset(30), Offset(60)));
    let found = partition.offset_for(Offset(0), end, Timestamp(1_000));
    assert_eq!(found.unwrap().unwrap().offset, Offset(0));
}

#[test]
fn an_incomplete_last_batch_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (partition, _) = open_partition(&open(dir.path()), "t");
    append(&*partition, 0, 2);
    drop(partition);
    let segment = &segment_dirs(dir.path(), "t")[0];
    {
        // Two of three chunks, the second in a tree of its own.
        let db = database::open(segment, BUFFER_BYTES_SMALL).unwrap();
        let batch = batch_of(1, 300_000, None).at(Offset(20), LeaderEpoch(0));
        let chunks = values::chunks(Offset(20), batch.bytes(), values::VALUE_BYTES_MAX);
        for (key, bytes) in chunks.take(2) {
            let tree = db.open_tree(key.to_bytes()).unwrap();
            tree.insert(key.to_bytes(), bytes).unwrap();
        }
        db.flush().unwrap();
    }
    for _ in 0..2 {
        let (partition, recovered) = open_partition(&open(dir.path()), "t");
        assert_eq!(recovered.end, Offset(20));
        assert_eq!(bases(&*partition, 0, Offset(i64::MAX)), [0, 10]);
    }
    let (partition, _) = open_partition(&open(dir.path()), "t");
    let whole: RecordBatch = batch_of(1, 190_000, None).at(Offset(20), LeaderEpoch(0));
    partition.append(&[whole], &Summary::default()).unwrap();
    let end = append(&*partition, 21, 3);
    assert_eq!(bases(&*partition, 0, end), [0, 10, 20, 21, 31, 41]);
}

#[test]
fn appends_are_refused_while_the_disk_is_full_and_go_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1 << 30));
    let asked = Arc::clone(&free);
    let config = LogConfig {
        disk_free_min: ByteSize::mib(512),
        free_space: FreeSpace::from_fn(move |_| Ok(ByteSize(asked.load(Ordering::SeqCst)))),
        ..config(dir.path())
    };
    let store = DiskStore::open(&config, Clock::system()).unwrap();
    let (partition, _) = open_partition(&store, "t");
    append(&*partition, 0, 2);
    free.store(1 << 20, Ordering::SeqCst);
    // It is asked again after a second or so many bytes.
    let batch = |base| batch_of(1, 900_000, None).at(Offset(base), LeaderEpoch(0));
    let mut end = 20;
    let refused = loop {
        match partition.append(&[batch(end)], &Summary::default()) {
            Ok(()) => end += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull { min, .. } if min == ByteSize::mib(512)));
    assert!((20..=26).contains(&end), "{end}");
    let again = partition.append(&[batch(end)], &Summary::default());
    assert!(again.is_err());
    free.store(1 << 30, Ordering::SeqCst);
    partition
        .append(&[batch(end)], &Summary::default())
        .unwrap();
    assert_eq!(partition.recover().unwrap().end, Offset(end + 1));
}

#[test]
fn directories_of_no_topic_are_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for topic in ["a", "b"] {
        append(&*open_partition(&store, topic).0, 0, 1);
    }
    let known = HashSet::from(["a-0".to_owned()]);
    store.keep_strangers_aside(&known).unwrap();
    assert!(dir.path().join("log/a-0").exists());
    assert!(!dir.path().join("log/b-0").exists());
    assert!(dir.path().join("aside/b-0").exists());
}
