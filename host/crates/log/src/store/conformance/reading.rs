//! Appends, reads, look-ups by time, extents.

use wstream_record::{ByteSize, LeaderEpoch, Offset};

use super::batches::{ZSTD, filled, sized, with_attributes};
use super::key;
use super::subject::{ALL, Subject};
use crate::store::{Entry, Stored};

pub(super) fn a_group_counts_when_flushed(subject: &mut Subject<'_>) {
    let keys: Vec<_> = (0..200)
        .map(|n| key(u8::try_from(n % 7).unwrap(), n))
        .collect();
    for round in 0..3_u8 {
        let mut group = Vec::new();
        for (n, &key) in keys.iter().enumerate() {
            let batches = (0..=n % 3).map(|m| filled(round, &[1, 2], n * 3 + m * 100));
            let entries = subject.place(key, batches.collect());
            group.extend(entries.into_iter().map(|e| (key, e)));
        }
        for stream in 0..subject.store().streams() {
            let own = |(key, _): &&(_, Entry)| subject.store().stream_of(*key) == stream;
            let own: Vec<_> = group.iter().filter(own).cloned().collect();
            // In two writes, of which nothing is seen before the flush.
            let (first, second) = own.split_at(own.len() / 2);
            subject.write_only(stream, first).unwrap();
            subject.write_only(stream, second).unwrap();
            for &(key, _) in &own {
                let end = subject.end(key);
                let stored = subject.store().read(key, end, end.plus(100), ALL).unwrap();
                assert!(stored.parts.is_empty());
                subject.check_read(key, Offset(0), end, ALL);
                subject.check_extents(key);
            }
            subject.store().flush(stream).unwrap();
            subject.flushed(&own);
        }
        subject.check_all();
    }
}

pub(super) fn what_is_appended_is_read(subject: &mut Subject<'_>) {
    let groups: [&[usize]; 7] = [
        &[10],
        &[1, 2_000, 30_000, 50_000, 90_000],
        &[100_000, 100_000],
        &[130_000],
        &[900_000, 5, 250_000],
        &[64 << 10, 60 << 10, 120 << 10],
        &[40; 120],
    ];
    for (n, sizes) in groups.into_iter().enumerate() {
        let fill = u8::try_from(n).unwrap();
        let batches = |fill| {
            sizes
                .iter()
                .map(move |&s| filled(fill, &[7, 8, 9], s / 3))
                .collect()
        };
        let one = subject.place(key(1, 0), batches(fill));
        let other = subject.place(key(2, 0), batches(fill + 100));
        let ones = one.into_iter().map(|e| (key(1, 0), e));
        let others = other.into_iter().map(|e| (key(2, 0), e));
        subject.write(ones.zip(others).flat_map(|(a, b)| [a, b]).collect());
    }
    for cleanly in [true, false] {
        let end = subject.end(key(1, 0));
        for from in (0..=end.0).map(Offset) {
            for limit in [ByteSize(1), ByteSize(150_000)] {
                subject.check_read(key(1, 0), from, end, limit);
                subject.check_read(key(2, 0), from, end, limit);
            }
            subject.check_boundary(key(1, 0), from);
        }
        subject.check_look(key(1, 0), Offset(4), Offset(30));
        subject.reopen(cleanly);
    }
}

pub(super) fn batches_of_every_size(subject: &mut Subject<'_>) {
    let mut sizes = vec![70, 71, 100, 1_000, 4_095, 4_096, 4_097];
    for bound in [32 << 10, 64 << 10, 100 << 10, 120 << 10, 128 << 10, 1 << 20] {
        sizes.extend([bound - 100, bound - 1, bound, bound + 1, bound + 100]);
    }
    sizes.extend([200 << 10, 300_000, 500 << 10, 3 << 20]);
    let alone = key(3, 0);
    for (n, &size) in sizes.iter().enumerate() {
        subject.append(alone, vec![sized(u8::try_from(n).unwrap(), size)]);
    }
    // The same in groups over several partitions, shuffled.
    for round in 0..4_u8 {
        let mut left = sizes.clone();
        let mut group = Vec::new();
        let mut ends = [0, 1, 2].map(|n| subject.end(key(4, n)));
        while !left.is_empty() {
            let size = left.swap_remove(subject.random.below(left.len()));
            let to = subject.random.below(3);
            let batch = sized(round, size).at(ends[to], LeaderEpoch(2));
            ends[to] = batch.header().next_offset();
            group.push((key(4, i32::try_from(to).unwrap()), Entry::Batch(batch)));
        }
        subject.write(group);
    }
    for cleanly in [false, true] {
        for key in [alone, key(4, 0), key(4, 1), key(4, 2)] {
            let end = subject.end(key);
            for from in (0..=end.0).map(Offset) {
                subject.check_read(key, from, end, ByteSize(1));
            }
            subject.check_read(key, Offset(0), end, ByteSize::mib(2));
        }
        subject.reopen(cleanly);
    }
}

pub(super) fn every_end_bounds_a_read(subject: &mut Subject<'_>) {
    let key = key(5, 1);
    subject.append(key, (1..6).map(|n| filled(n, &[1, 2, 3], 50)).collect());
    subject.append(
        key,
        vec![filled(6, &[1, 2], 200_000), filled(7, &[1, 2], 10)],
    );
    for _ in 0..2 {
        let last = subject.end(key);
        for from in 0..=last.0 {
            for end in from..=last.0 + 2 {
                subject.check_read(key, Offset(from), Offset(end), ALL);
                subject.check_look(key, Offset(from), Offset(end));
            }
        }
        subject.reopen(false);
    }
}

pub(super) fn gaps_are_passed_over(subject: &mut Subject<'_>) {
    let key = key(6, 0);
    let mut group = Vec::new();
    let mut end = Offset(0);
    for (n, gap) in [3, 0, 1, 100, 0, 7].into_iter().enumerate() {
        let batch = filled(u8::try_from(n).unwrap(), &[10, 20, 30], 40 * n);
        let batch = batch.at(end.plus(gap), LeaderEpoch(1));
        end = batch.header().next_offset();
        group.push((key, Entry::Batch(batch)));
    }
    let second = group.split_off(3);
    subject.write(group);
    subject.write(second);
    for cleanly in [true, false] {
        for from in 0..=end.0 {
            subject.check_read(key, Offset(from), end, ByteSize(1));
            subject.check_read(key, Offset(from), end, ALL);
            subject.check_read(key, Offset(from), Offset((from + 20).min(end.0)), ALL);
            subject.check_boundary(key, Offset(from));
            subject.check_find(key, Offset(from), end, 20);
        }
        subject.reopen(cleanly);
    }
    subject.append(key, vec![filled(9, &[40], 5)]);
}

pub(super) fn epochs_stay_in_the_headers(subject: &mut Subject<'_>) {
    let mut end = Offset(0);
    for epoch in [0, 0, 1, 5, i32::MAX] {
        let batch = filled(3, &[1], 100_000).at(end, LeaderEpoch(epoch));
        end = batch.header().next_offset();
        let small = filled(4, &[1], 9).at(end, LeaderEpoch(epoch));
        end = small.header().next_offset();
        let group = [batch, small].map(|b| (key(7, 0), Entry::Batch(b)));
        subject.write(group.into());
    }
}

pub(super) fn unknown_partitions_are_empty(subject: &mut Subject<'_>) {
    subject.append(key(8, 0), vec![filled(1, &[1], 1)]);
    let unknown = key(8, 1);
    let store = subject.store();
    assert!(store.stream_of(unknown) < store.streams());
    let nothing = Stored {
        parts: Vec::new(),
        next: Offset(0),
    };
    let read = store.read(unknown, Offset(0), Offset(0), ALL).unwrap();
    assert_eq!(read, nothing);
    assert_eq!(store.boundary(unknown, Offset(9)).unwrap(), Offset(9));
    assert_eq!(store.extents(unknown), []);
    assert_eq!(store.bytes(unknown), ByteSize(0));
    subject.check_find(unknown, Offset(0), Offset(10), -1);
    subject.check_look(unknown, Offset(0), Offset(10));
}

pub(super) fn times_are_found(subject: &mut Subject<'_>) {
    let key = key(9, 0);
    let mut now = 5;
    for n in 0..60 {
        let mut times: Vec<i64> = Vec::new();
        for _ in 0..4 {
            let time = now + i64::try_from(subject.random.below(20)).unwrap();
            let unknown = subject.random.below(12) == 0;
            times.push(if unknown { -1 } else { time });
        }
        now += i64::try_from(subject.random.below(12)).unwrap();
        let bytes = subject.random.below(20_000);
        subject.append(key, vec![filled(n, &times, bytes), filled(n, &[now; 3], 7)]);
    }
    subject.append(key, vec![filled(1, &[-1, -1], 10), filled(1, &[now], 10)]);
    for cleanly in [true, false] {
        let end = subject.end(key);
        for at in -1..now + 30 {
            let from = Offset(at.rem_euclid(end.0));
            subject.check_find(key, Offset(0), end, at);
            subject.check_find(key, from, end, at);
            subject.check_find(key, from, from.plus(30).min(end), at);
        }
        subject.reopen(cleanly);
    }
}

pub(super) fn times_in_large_batches_are_found(subject: &mut Subject<'_>) {
    let key = key(10, 0);
    let mut time = 0;
    for size in [
        300_000,
        300_000,
        100,
        1 << 20,
        110_000,
        3 << 20,
        50_000,
        300_000,
    ] {
        // Records all over the batch, also out of order.
        let times: Vec<i64> = (0..30).map(|n| time + (n * 7) % 30).collect();
        time += 30;
        subject.append(key, vec![filled(2, &times, size / 30)]);
    }
    for cleanly in [true, false] {
        let end = subject.end(key);
        for at in -1..time + 2 {
            subject.check_find(key, Offset(0), end, at);
        }
        for from in (0..end.0).step_by(3) {
            subject.check_find(key, Offset(from), end, from + 4);
        }
        subject.reopen(cleanly);
    }
}

pub(super) fn times_in_compressed_batches(subject: &mut Subject<'_>) {
    let key = key(11, 0);
    for time in [10, 20, 30] {
        let plain = filled(5, &[time, time + 5], 50);
        let packed = with_attributes(&filled(5, &[time + 2, time + 7, time + 3], 50), ZSTD);
        subject.append(key, vec![plain, packed]);
    }
    for _ in 0..2 {
        for at in -1..40 {
            subject.check_find(key, Offset(0), subject.end(key), at);
        }
        subject.reopen(false);
    }
}

pub(super) fn extents_lie_on_boundaries(subject: &mut Subject<'_>) {
    for n in 0..40 {
        let time = 1_000 + (n * 37) % 50;
        subject.append(key(12, 0), vec![filled(1, &[time], 90_000)]);
        subject.append(
            key(12, 1),
            vec![filled(2, &[time, 4], 100), filled(2, &[9], 100)],
        );
        subject.clock.advance(std::time::Duration::from_secs(1));
        if n % 15 == 14 {
            subject.roll();
        }
        subject.check_extents(key(12, 0));
        subject.check_extents(key(12, 1));
    }
    assert!(subject.store().extents(key(12, 0)).len() > 1);
    subject.reopen(true);
    // What retention does: the start is raised over the oldest extents.
    for _ in 0..2 {
        let oldest = subject.store().extents(key(12, 0))[0];
        let before = subject.store().bytes(key(12, 0));
        subject.write_one(key(12, 0), Entry::Start(oldest.next));
        let after = subject.store().bytes(key(12, 0));
        assert_eq!(after.0, before.0 - oldest.bytes);
        subject.tidy(&|_| Default::default());
        subject.check_all();
        subject.reopen(false);
    }
}
