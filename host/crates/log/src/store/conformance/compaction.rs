//! What compaction leaves, against a model over all records.

use std::collections::HashMap;
use std::time::Duration;

use wstream_record::{Compression, Offset, RecordBatch, StoredRecord};

use super::batches::{CONTROL, TRANSACTIONAL, ZSTD, keyed, with_attributes};
use super::key;
use super::model::Partition;
use super::subject::{ALL, Subject, batches_in};
use crate::store::{Cleanup, Entry, PartitionKey};

const DAY: i64 = 86_400_000;

fn is_plain(batch: &RecordBatch) -> bool {
    let header = batch.header();
    header.compression == Compression::None && !header.is_transactional() && !header.is_control()
}

/// The records that must be left of each batch, by its base offset; `None` where it stays whole.
fn survivors(
    partition: &Partition,
    cleanup: Cleanup,
    now: i64,
) -> Vec<(RecordBatch, Option<Vec<StoredRecord>>)> {
    let below = cleanup.compact_below.unwrap();
    let judged = |b: &&RecordBatch| b.header().next_offset() <= below && is_plain(b);
    let mut last = HashMap::new();
    for record in partition
        .all()
        .filter(judged)
        .flat_map(|b| b.records().unwrap())
    {
        if let Some(key) = record.record.key {
            last.insert(key, record.offset);
        }
    }
    // Behind a batch that cannot be judged no tombstone goes.
    let opaque = |b: &&RecordBatch| !is_plain(b) && !b.header().is_control();
    let opaque = partition.all().find(opaque).map(|b| b.header().base_offset);
    let mut out = Vec::new();
    for batch in partition.all() {
        if !judged(&batch) {
            out.push((batch.clone(), None));
            continue;
        }
        let header = batch.header();
        let old = now - header.max_timestamp.0 > cleanup.tombstones_kept;
        let free = opaque.is_none_or(|o| header.base_offset < o);
        let stays = |r: &StoredRecord| {
            let Some(key) = &r.record.key else {
                return true;
            };
            last[key] == r.offset && (r.record.value.is_some() || !old || !free)
        };
        let left: Vec<_> = batch.records().unwrap().into_iter().filter(stays).collect();
        if !left.is_empty() {
            out.push((batch.clone(), Some(left)));
        }
    }
    out
}

/// Compacts below `below`, compares with the model, and goes on with what was found.
fn compact(subject: &mut Subject<'_>, key: PartitionKey, below: Offset, tombstones_kept: i64) {
    subject.roll();
    let cleanup = Cleanup {
        compact_below: Some(below),
        tombstones_kept,
    };
    subject.tidy(&|k| {
        if k == key {
            cleanup
        } else {
            Cleanup::default()
        }
    });
    let before = subject.partition(key);
    let expected = survivors(&before, cleanup, subject.now().0);
    let read = subject
        .store()
        .read(key, Offset(0), before.end, ALL)
        .unwrap();
    let found = batches_in(&read.parts);
    assert_eq!(found.len(), expected.len());
    for (found, (before, left)) in found.iter().zip(&expected) {
        let Some(left) = left else {
            assert_eq!(found, before);
            continue;
        };
        assert_eq!(&found.records().unwrap(), left);
        let mut header = *found.header();
        header.records = before.header().records;
        assert_eq!(&header, before.header());
    }
    let partition = subject.partitions.get_mut(&key).unwrap();
    let times: HashMap<_, _> = before
        .batches
        .iter()
        .map(|(b, at)| (b.header().base_offset, *at))
        .collect();
    let time_of = |b: &RecordBatch| times[&b.header().base_offset];
    partition.batches = found
        .into_iter()
        .map(|b| (b.clone(), time_of(&b)))
        .collect();
    partition.compacted = true;
    subject.check_all();
}

pub(super) fn the_last_of_each_key_stays(subject: &mut Subject<'_>) {
    let topic = key(70, 0);
    subject.append(key(70, 1), vec![keyed(9, &[(Some("a"), Some("other"))])]);
    for n in 0..50 {
        let value = n.to_string();
        let one = format!("key {}", n % 7);
        let records = [
            (Some("hot"), Some("early")),
            (Some(&*one), Some(&*value)),
            (Some("hot"), Some(&*value)),
            (Some(""), Some("empty key")),
        ];
        let records = if n == 20 {
            [(None, Some("no key")); 4]
        } else {
            records
        };
        subject.append(topic, vec![keyed(1_000 + n, &records)]);
    }
    let end = subject.end(topic);
    subject.write_one(topic, Entry::HighWatermark(end));
    // Not below 0; then in steps, at a boundary and within a batch.
    for below in [0, 40, 41, 120, 120, end.0] {
        compact(subject, topic, Offset(below), DAY);
        subject.reopen(below % 80 == 0);
        subject.check_all();
        for from in 0..=end.0 {
            subject.check_read(topic, Offset(from), end, ALL);
            subject.check_read(topic, Offset(from), end, wstream_record::ByteSize(1));
        }
        subject.check_find(topic, Offset(0), end, 1_000);
        subject.check_find(topic, Offset(0), end, 1_030);
    }
    let left: usize = subject
        .partition(topic)
        .all()
        .map(|b| b.records().unwrap().len())
        .sum();
    // 7 keys, the hot one, the empty one, and 4 without.
    assert_eq!(left, 13);
    // All of the tail may go: the end stays.
    let hot: Vec<_> = (0..7).map(|n| format!("key {n}")).collect();
    let last: Vec<_> = hot.iter().map(|k| (Some(&**k), Some("new"))).collect();
    subject.append(topic, vec![keyed(2_000, &last)]);
    compact(subject, topic, subject.end(topic), DAY);
    subject.append(topic, vec![keyed(2_000, &[(Some("hot"), Some("newest"))])]);
}

pub(super) fn tombstones_stay_for_their_time(subject: &mut Subject<'_>) {
    let topic = key(71, 0);
    let now = subject.now().0;
    let rows = [
        ("a", Some("1")),
        ("b", Some("1")),
        ("c", Some("1")),
        ("a", None),
    ];
    for (n, (key, value)) in (0..).zip(rows) {
        subject.append(topic, vec![keyed(now + n, &[(Some(key), value)])]);
    }
    subject.append(topic, vec![keyed(now + DAY / 2, &[(Some("b"), None)])]);
    let records = |s: &Subject<'_>| -> usize {
        s.partition(topic)
            .all()
            .map(|b| b.records().unwrap().len())
            .sum()
    };
    let end = subject.end(topic);
    compact(subject, topic, end, DAY);
    assert_eq!(records(subject), 3, "c and two tombstones");
    subject
        .clock
        .advance(Duration::from_millis(DAY.unsigned_abs()));
    compact(subject, topic, end, DAY);
    assert_eq!(records(subject), 2, "c and the younger tombstone");
    subject.reopen(false);
    subject
        .clock
        .advance(Duration::from_millis(DAY.unsigned_abs()));
    compact(subject, topic, end, DAY);
    assert_eq!(records(subject), 1, "c");
    // The last one of the log: nothing is left, and the end stays.
    subject.append(topic, vec![keyed(now, &[(Some("c"), None)])]);
    compact(subject, topic, subject.end(topic), DAY);
    assert_eq!(records(subject), 0);
    for cleanly in [true, false] {
        subject.reopen(cleanly);
        assert_eq!(subject.read_on(topic, Offset(0)), 0);
    }
    assert_eq!(subject.end(topic), Offset(6));
    subject.append(topic, vec![keyed(now, &[(Some("d"), Some("1"))])]);
}

pub(super) fn only_plain_batches_are_compacted(subject: &mut Subject<'_>) {
    let topic = key(72, 0);
    let now = subject.now().0;
    let value = |v| keyed(now, &[(Some("a"), v), (Some("a"), v)]);
    subject.append(topic, vec![value(Some("1")), value(None)]);
    for attributes in [CONTROL, TRANSACTIONAL, TRANSACTIONAL | CONTROL, ZSTD] {
        let opaque = with_attributes(&value(Some("hidden")), attributes);
        subject.append(topic, vec![value(Some("2")), opaque, value(None)]);
    }
    let end = subject.end(topic);
    subject
        .clock
        .advance(Duration::from_millis(DAY.unsigned_abs()));
    compact(subject, topic, end, 1_000);
    // Two markers, two that cannot be judged, and the tombstone that hides what those hold.
    assert_eq!(subject.partition(topic).all().count(), 5);
}

pub(super) fn what_follows_a_cut_is_compacted(subject: &mut Subject<'_>) {
    let topic = key(74, 0);
    let rows = |subject: &mut Subject<'_>, value| {
        for name in ["a", "b", "a", "c"] {
            let records = [(Some(name), Some(value))];
            subject.append(topic, vec![keyed(1_000, &records)]);
        }
    };
    rows(subject, "old");
    rows(subject, "cut");
    compact(subject, topic, Offset(8), DAY);
    subject.write_one(topic, Entry::End(Offset(4)));
    subject.reopen(false);
    rows(subject, "new");
    compact(subject, topic, Offset(8), DAY);
    assert_eq!(subject.partition(topic).all().count(), 3);
}

pub(super) fn any_keys_agree_with_the_model(subject: &mut Subject<'_>) {
    let topic = key(73, 0);
    for round in 0..12 {
        for _ in 0..subject.random.below(30) {
            let names: Vec<String> = (0..=subject.random.below(6))
                .map(|_| format!("k{}", subject.random.below(25)))
                .collect();
            let random = &mut subject.random;
            let records: Vec<_> = names
                .iter()
                .map(|name| {
                    let key = (random.below(9) > 0).then_some(&**name);
                    (key, (random.below(5) > 0).then_some(&**name))
                })
                .collect();
            let time = subject.now().0 - i64::try_from(subject.random.below(10_000)).unwrap();
            let batch = keyed(time, &records);
            let opaque = round > 8 && subject.random.below(20) == 0;
            let batch = if opaque {
                with_attributes(&batch, TRANSACTIONAL)
            } else {
                batch
            };
            subject.append(topic, vec![batch]);
            subject.clock.advance(Duration::from_millis(150));
        }
        let end = subject.end(topic);
        let below = usize::try_from(end.0).unwrap();
        let below = Offset(i64::try_from(subject.random.below(below + 1)).unwrap());
        let floor = subject.partition(topic).high_watermark;
        let below = below.max(floor);
        subject.write_one(topic, Entry::HighWatermark(below));
        compact(subject, topic, below, 5_000);
        if subject.random.below(2) == 0 {
            let cleanly = subject.random.below(2) == 0;
            subject.reopen(cleanly);
        }
    }
}
