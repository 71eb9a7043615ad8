//! Writes and flushes that fail.

use wstream_record::Offset;

use super::batches::{filled, sized};
use super::subject::{ALL, Subject};
use super::{Fault, key};
use crate::store::{Cleanup, Entry, PartitionKey};

const FAULTS: [Fault; 3] = [Fault::DiskFull, Fault::Write, Fault::Flush];

/// How a store is opened again after a fault, if at all: after a kill or cleanly.
const REOPENS: [Option<bool>; 3] = [None, Some(false), Some(true)];

/// What counts is what the model says, also to the next start, and the same offsets take other
/// contents.
fn check_and_write_again(
    subject: &mut Subject<'_>,
    keys: [PartitionKey; 2],
    reopens: Option<bool>,
) {
    subject.check_all();
    if let Some(cleanly) = reopens {
        subject.reopen(cleanly);
        subject.check_all();
    }
    subject.write(group(subject, keys, 3));
    subject.check_all();
}

/// Partitions that share a stream, so that a fault is theirs together.
fn neighbours(subject: &Subject<'_>, topic: u8) -> [PartitionKey; 2] {
    let stream = subject.store().stream_of(key(topic, 0));
    let same = |n: &i32| subject.store().stream_of(key(topic, *n)) == stream;
    let other = (1..1_000).find(same).expect("a stream has many partitions");
    [key(topic, 0), key(topic, other)]
}

fn group(subject: &Subject<'_>, keys: [PartitionKey; 2], fill: u8) -> Vec<(PartitionKey, Entry)> {
    let batches = || {
        vec![
            filled(fill, &[1, 2], 90),
            sized(fill, 150_000),
            filled(fill, &[3], 9),
        ]
    };
    let entries = keys.map(|key| {
        subject
            .place(key, batches())
            .into_iter()
            .map(move |e| (key, e))
    });
    entries.into_iter().flatten().collect()
}

pub(super) fn what_failed_is_not_there(subject: &mut Subject<'_>) {
    for (n, fault) in (0..).zip(FAULTS) {
        for reopens in REOPENS {
            let keys = neighbours(subject, 60 + n);
            subject.write(group(subject, keys, 1));
            subject.environment.fail_next(fault);
            assert_eq!(subject.try_write(group(subject, keys, 2)), 1, "{fault:?}");
            for key in keys {
                let end = subject.end(key);
                let stored = subject.store().read(key, end, end.plus(9), ALL).unwrap();
                assert!(stored.parts.is_empty(), "{fault:?}");
            }
            check_and_write_again(subject, keys, reopens);
            subject.reopen(false);
            subject.check_all();
        }
    }
}

pub(super) fn a_fault_spares_what_was_flushed(subject: &mut Subject<'_>) {
    let keys = neighbours(subject, 65);
    let changes = [
        Entry::Start(Offset(2)),
        Entry::End(Offset(2)),
        Entry::Reset(Offset(700)),
        Entry::HighWatermark(Offset(2)),
        Entry::Gone,
    ];
    subject.write(group(subject, keys, 1));
    for fault in FAULTS {
        for change in &changes {
            subject.environment.fail_next(fault);
            let mut entries = group(subject, keys, 2);
            entries.push((keys[0], change.clone()));
            assert_eq!(subject.try_write(entries), 1, "{fault:?} {change:?}");
            subject.check_all();
            // A fault twice in a row.
            subject.environment.fail_next(fault);
            // With a batch: what makes room is taken on a full disk.
            let mut again = group(subject, keys, 4);
            again.push((keys[1], change.clone()));
            assert_eq!(subject.try_write(again), 1, "{fault:?} {change:?}");
            subject.check_all();
            if matches!(change, Entry::Reset(_)) {
                subject.reopen(false);
            }
            subject.append(keys[1], vec![filled(7, &[5], 31)]);
        }
    }
}

pub(super) fn an_earlier_write_fails_with_a_later_one(subject: &mut Subject<'_>) {
    for fault in FAULTS {
        let keys = neighbours(subject, 66);
        subject.append(keys[0], vec![filled(1, &[5], 31)]);
        let stream = subject.store().stream_of(keys[0]);
        let group = group(subject, keys, 2);
        let (first, second) = group.split_at(group.len() / 2);
        subject.write_only(stream, first).unwrap();
        subject.environment.fail_next(fault);
        let written = subject.write_only(stream, second);
        let flushed = subject.store().flush(stream);
        assert!(written.is_err() || flushed.is_err(), "{fault:?}");
        subject.check_all();
        // A flush with nothing to flush brings none of it back.
        subject.store().flush(stream).unwrap();
        subject.check_all();
        subject.append(keys[1], vec![filled(7, &[5], 31)]);
        subject.check_all();
        subject.reopen(false);
    }
}

pub(super) fn what_is_abandoned_is_not_there(subject: &mut Subject<'_>) {
    for written in [0, 1, 2] {
        for reopens in REOPENS {
            let keys = neighbours(subject, 67 + written);
            let stream = subject.store().stream_of(keys[0]);
            subject.write(group(subject, keys, 1));
            for _ in 0..written {
                subject
                    .write_only(stream, &group(subject, keys, 2))
                    .unwrap();
                // Once more is as good.
                subject.store().abandon(stream).unwrap();
                subject.store().abandon(stream).unwrap();
            }
            subject.store().abandon(stream).unwrap();
            subject.store().flush(stream).unwrap();
            check_and_write_again(subject, keys, reopens);
        }
    }
    subject.reopen(false);
    subject.check_all();
    subject.tidy(&|_| Cleanup::default());
    subject.check_all();
}
