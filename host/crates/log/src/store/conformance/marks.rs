//! Truncation, reset, the log start, the high watermark, deletion.

use wstream_record::{Offset, RecordBatch};

use super::batches::{aborting, filled, sized};
use super::key;
use super::model::Seen;
use super::subject::{ALL, Subject};
use crate::store::{Entry, PartitionKey};

/// What a group of this file holds for each of three partitions: small batches, which a disk packs
/// together.
fn small_group(subject: &mut Subject<'_>, topic: u8, fill: u8) {
    let mut group = Vec::new();
    for n in 0..3 {
        let batches = (0..6).map(|m| filled(fill + m, &[1, 2], 30 + usize::from(m)));
        let entries = subject.place(key(topic, n), batches.collect());
        group.extend(entries.into_iter().map(|e| (key(topic, n), e)));
    }
    // The partitions' batches one after the other, as they would come.
    let third = group.len() / 3;
    let shuffled = (0..third).flat_map(|n| [0, 1, 2].map(|p| group[p * third + n].clone()));
    subject.write(shuffled.collect());
}

fn cut(subject: &mut Subject<'_>, key: PartitionKey, end: Offset) {
    subject.write_one(key, Entry::End(end));
    assert_eq!(subject.end(key), end);
    let behind = subject.store().read(key, end, end.plus(100), ALL).unwrap();
    assert!(behind.parts.is_empty());
    subject.check_find(key, Offset(0), end, -1);
    subject.check_find(key, Offset(0), end, 2);
}

pub(super) fn any_boundary_can_be_the_end(subject: &mut Subject<'_>) {
    for boundary in 0..=12_u8 {
        let topic = 20 + boundary;
        small_group(subject, topic, 1);
        small_group(subject, topic, 7);
        let end = Offset(i64::from(boundary) * 2);
        cut(subject, key(topic, 1), end);
        subject.check_all();
        if boundary % 3 == 0 {
            subject.reopen(boundary % 2 == 0);
        }
        // The same offsets again, with other contents.
        subject.append(
            key(topic, 1),
            vec![filled(99, &[3, 4, 5], 31), filled(98, &[6], 9)],
        );
        subject.check_all();
        if boundary % 3 == 1 {
            subject.reopen(boundary % 2 == 0);
        }
    }
}

pub(super) fn an_end_within_a_large_group(subject: &mut Subject<'_>) {
    let key = key(35, 0);
    for boundary in [0, 1, 2, 4, 5] {
        let base = subject.end(key);
        let sizes = [40_000, 60_000, 300_000, 20_000, 1 << 20, 90];
        subject.append(key, sizes.map(|size| sized(7, size)).into());
        cut(subject, key, base.plus(boundary));
        subject.append(key, vec![sized(8, 250_000), sized(9, 80)]);
        subject.check_all();
        subject.reopen(boundary % 2 == 0);
        subject.check_all();
    }
}

pub(super) fn the_last_end_counts(subject: &mut Subject<'_>) {
    let key = key(36, 0);
    // Cut, written and cut again, in one group and over several, with rolls in between.
    for round in 0..4 {
        let base = subject.end(key);
        let batch = |fill, at| Entry::Batch(filled(fill, &[1, 1], 20).at(at, 3.into()));
        let entries = vec![
            batch(1, base),
            batch(2, base.plus(2)),
            Entry::End(base.plus(2)),
            batch(3, base.plus(2)),
            batch(4, base.plus(4)),
            Entry::End(base),
            batch(5, base),
        ];
        subject.write(entries.into_iter().map(|e| (key, e)).collect());
        if round % 2 == 1 {
            subject.roll();
        }
        subject.check_all();
        subject.write_one(key, Entry::End(base));
        subject.reopen(round < 2);
        subject.check_all();
        subject.append(key, vec![filled(6, &[2, 2, 2], 12)]);
    }
    // Down to a boundary that lies in what was closed long ago.
    subject.roll();
    cut(subject, key, Offset(3));
    subject.tidy(&|_| Default::default());
    subject.reopen(false);
    subject.append(key, vec![filled(7, &[2], 12)]);
}

pub(super) fn a_reset_begins_anew(subject: &mut Subject<'_>) {
    let key = key(37, 0);
    subject.append(key, vec![filled(1, &[1, 2], 300), filled(2, &[3], 150_000)]);
    for (n, start) in [500, 2, 2, 0, 1 << 40].into_iter().enumerate() {
        subject.write_one(key, Entry::Reset(Offset(start)));
        subject.check_all();
        if n % 2 == 0 {
            subject.reopen(n % 4 == 0);
        }
        let batch = |fill: u8| filled(fill, &[4, 5], 20 * n);
        subject.append(key, vec![batch(3), batch(4)]);
        subject.check_read(key, Offset(0), subject.end(key), ALL);
        if n % 2 == 1 {
            subject.reopen(n % 4 == 1);
        }
    }
    // A reset with what follows it in one group.
    let batch: RecordBatch = filled(9, &[8], 8).at(Offset(70), 4.into());
    let group = [Entry::Reset(Offset(70)), Entry::Batch(batch)];
    subject.write(group.map(|e| (key, e)).into());
}

pub(super) fn a_raised_start_stays(subject: &mut Subject<'_>) {
    let key = key(38, 0);
    for n in 0..10 {
        subject.append(key, vec![filled(n, &[1; 10], 4_000)]);
    }
    let bytes = subject.store().bytes(key);
    for start in [5, 47, 48, 30, 90] {
        subject.write_one(key, Entry::Start(Offset(start)));
        let kept = subject.partition(key).start;
        subject.check_read(key, kept, subject.end(key), ALL);
        subject.reopen(start % 2 == 0);
        subject.roll();
        subject.tidy(&|_| Default::default());
        subject.check_read(key, kept, subject.end(key), ALL);
    }
    assert!(subject.store().bytes(key).0 <= bytes.0 / 2);
}

pub(super) fn an_emptied_log_goes_on(subject: &mut Subject<'_>) {
    let one = key(39, 0);
    subject.append(one, vec![filled(1, &[1; 10], 40), filled(1, &[1; 90], 40)]);
    subject.append(key(39, 1), vec![filled(2, &[1], 40)]);
    subject.write_one(one, Entry::Start(Offset(100)));
    assert_eq!(subject.store().bytes(one).0, 0);
    for n in 0..6 {
        // Nothing is left, not even the segment, and yet the offsets go on.
        subject.roll();
        subject.tidy(&|_| Default::default());
        subject.reopen(n % 2 == 0);
    }
    assert_eq!(subject.end(one), Offset(100));
    subject.append(one, vec![filled(3, &[1], 10)]);
    subject.check_read(one, Offset(0), Offset(101), ALL);
}

pub(super) fn the_high_watermark_comes_back(subject: &mut Subject<'_>) {
    let key = key(40, 0);
    subject.append(key, (0..10).map(|n| filled(n, &[1, 2], 50)).collect());
    for (n, at) in [4, 10, 10, 18].into_iter().enumerate() {
        subject.write_one(key, Entry::HighWatermark(Offset(at)));
        subject.reopen(n % 2 == 0);
        subject.roll();
        subject.reopen(n % 2 == 1);
    }
    // Cut below it, and grown above it again: what is new was not committed.
    subject.write_one(key, Entry::End(Offset(12)));
    subject.append(key, vec![filled(3, &[1; 20], 5)]);
    assert_eq!(subject.partition(key).high_watermark, Offset(12));
    subject.reopen(false);
    subject.write_one(key, Entry::HighWatermark(Offset(32)));
    subject.write_one(key, Entry::Start(Offset(32)));
    for _ in 0..3 {
        subject.roll();
        subject.tidy(&|_| Default::default());
        subject.reopen(false);
    }
}

/// Two transactions of which the first is aborted far behind its beginning, many times.
fn abort_some(subject: &mut Subject<'_>, key: PartitionKey, transactions: usize) {
    for n in 0..transactions {
        let first = subject.end(key);
        let data = (0..4).map(|m| filled(m, &[1, 2], 900)).collect();
        subject.append(key, data);
        // In the next segment, now and then.
        if n % 5 == 4 {
            subject.roll();
        }
        let (one, other) = (first.plus(2), subject.end(key).plus(1));
        subject.append(key, vec![aborting(5, first, one)]);
        subject.append(key, vec![aborting(6, one, other)]);
    }
}

fn check_every_window(subject: &Subject<'_>, key: PartitionKey) {
    let partition = subject.partition(key);
    for from in partition.start.0..=partition.end.0 {
        for length in [1, 3, 11, 1_000] {
            subject.check_aborted(key, Offset(from), Offset(from + length));
        }
    }
}

pub(super) fn what_was_aborted_stays_known(subject: &mut Subject<'_>) {
    let one = key(42, 0);
    let others = [key(42, 1), key(42, 2), key(42, 3)];
    abort_some(subject, one, 12);
    check_every_window(subject, one);
    for round in 0..6 {
        // Something to sort with it.
        for other in others {
            subject.append(other, vec![filled(1, &[1], 500)]);
        }
        match round {
            0 => subject.roll(),
            1 => subject.tidy(&|_| Default::default()),
            2 => {
                // A boundary in what was closed, and further markers above it.
                let at = subject.partition(one).aborted[9].last;
                cut(subject, one, at);
                check_every_window(subject, one);
                abort_some(subject, one, 6);
            }
            3 => {
                let start = subject.partition(one).aborted[4].last;
                subject.write_one(one, Entry::Start(start));
            }
            4 => {
                let start = subject.partition(one).aborted[3].last.plus(1);
                subject.write_one(one, Entry::Start(start));
                subject.tidy(&|_| Default::default());
            }
            _ => {
                let seen = Seen {
                    refuses: true,
                    ..Seen::default()
                };
                subject.reopen_showing(false, seen);
            }
        }
        check_every_window(subject, one);
        for cleanly in [false, true] {
            subject.reopen(cleanly);
            check_every_window(subject, one);
        }
        subject.roll();
        subject.tidy(&|_| Default::default());
        check_every_window(subject, one);
    }
    subject.write_one(one, Entry::Reset(Offset(9)));
    check_every_window(subject, one);
    abort_some(subject, one, 2);
    subject.reopen(false);
    check_every_window(subject, one);
}

pub(super) fn what_is_gone_stays_gone(subject: &mut Subject<'_>) {
    for n in 0..4 {
        subject.append(key(41, n), vec![filled(1, &[1, 2], 500), sized(2, 200_000)]);
    }
    subject.roll();
    for n in 0..3 {
        subject.append(key(41, n), vec![filled(3, &[1], 70)]);
        subject.write_one(key(41, n), Entry::Gone);
        let store = subject.store();
        let stored = store.read(key(41, n), Offset(0), Offset(100), ALL).unwrap();
        assert!(stored.parts.is_empty());
        assert_eq!(store.bytes(key(41, n)).0, 0);
        assert_eq!(store.extents(key(41, n)), []);
        subject.reopen(n % 2 == 0);
        subject.tidy(&|_| Default::default());
        subject.reopen(n % 2 == 1);
    }
}
