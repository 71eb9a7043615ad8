//! Everything in any order, by seed.

use wstream_record::{ByteSize, LeaderEpoch, Offset, RecordBatch};

use super::batches::{CONTROL, TRANSACTIONAL, aborting, filled, with_attributes};
use super::model::Seen;
use super::subject::Subject;
use super::{Fault, key};
use crate::store::{Entry, PartitionKey};

const STEPS: usize = 400;

/// The partitions in use. One that is deleted is replaced by one that never was.
struct Keys {
    alive: Vec<PartitionKey>,
    made: i32,
}

impl Keys {
    fn any(&self, subject: &mut Subject<'_>) -> PartitionKey {
        self.alive[subject.random.below(self.alive.len())]
    }
}

pub(super) fn any_sequence_agrees_with_the_model(subject: &mut Subject<'_>) {
    let mut keys = Keys {
        alive: (0..6).map(|n| key(90, n)).collect(),
        made: 6,
    };
    for _ in 0..STEPS {
        let of = keys.any(subject);
        match subject.random.below(24) {
            0 => subject.reopen(true),
            1 => subject.reopen(false),
            2 => subject.roll(),
            3 => subject.tidy(&|_| Default::default()),
            4 => {
                let end = boundary(subject, of);
                subject.write_one(of, Entry::End(end));
            }
            5 => {
                let start = somewhere(subject, of);
                subject.write_one(of, Entry::Start(start));
            }
            6 => {
                let at = boundary(subject, of);
                subject.write_one(of, Entry::HighWatermark(at));
            }
            7 if subject.random.below(4) == 0 => {
                let start = somewhere(subject, of);
                subject.write_one(of, Entry::Reset(start.plus(3)));
            }
            8 if subject.random.below(4) == 0 => {
                subject.write_one(of, Entry::Gone);
                keys.alive.retain(|k| *k != of);
                keys.alive.push(key(90, keys.made));
                keys.made += 1;
            }
            9 => {
                let fault = [Fault::DiskFull, Fault::Write, Fault::Flush][subject.random.below(3)];
                subject.environment.fail_next(fault);
                let group = group(subject, &keys);
                assert_eq!(subject.try_write(group), 1, "{fault:?}");
            }
            10 if subject.random.below(3) == 0 => {
                let seen = Seen {
                    refuses: true,
                    ..Seen::default()
                };
                subject.reopen_showing(false, seen);
            }
            11..=15 => ask(subject, of),
            _ => {
                let group = group(subject, &keys);
                subject.write(group);
            }
        }
        subject.clock.advance(std::time::Duration::from_millis(20));
    }
}

/// An offset between start and end.
fn somewhere(subject: &mut Subject<'_>, key: PartitionKey) -> Offset {
    let partition = subject.partition(key);
    let span = usize::try_from(partition.end.0 - partition.start.0 + 1).unwrap();
    let by = subject.random.below(span);
    partition.start.plus(i64::try_from(by).unwrap())
}

/// A boundary of batches between start and end.
fn boundary(subject: &mut Subject<'_>, key: PartitionKey) -> Offset {
    let at = somewhere(subject, key);
    let partition = subject.partition(key);
    let boundary = subject.store().boundary(key, at).unwrap();
    // The batch that holds the start may begin below it.
    if boundary < partition.start {
        partition.end
    } else {
        boundary
    }
}

/// Batches for several partitions, of mixed sizes, some behind a gap.
fn group(subject: &mut Subject<'_>, keys: &Keys) -> Vec<(PartitionKey, Entry)> {
    let mut group: Vec<(PartitionKey, Entry)> = Vec::new();
    let mut ends: std::collections::HashMap<PartitionKey, Offset> = Default::default();
    for _ in 0..=subject.random.below(8) {
        let of = keys.any(subject);
        let random = &mut subject.random;
        let now = subject.clock.clock().now().0;
        let times: Vec<i64> = (0..=random.below(5))
            .map(|_| now - i64::try_from(random.below(3_000)).unwrap())
            .collect();
        let bytes = match random.below(40) {
            0 => 200_000,
            1..=5 => random.below(40_000),
            _ => random.below(600),
        };
        let batch = filled(u8::try_from(random.below(256)).unwrap(), &times, bytes);
        let kind = random.below(12);
        let gap = if random.below(10) == 0 { 4 } else { 0 };
        let batch = match kind {
            0 => with_attributes(&batch, TRANSACTIONAL | CONTROL),
            1 => with_attributes(&batch, TRANSACTIONAL),
            2..=4 if !ends.contains_key(&of) => aborting_some(subject, of),
            _ => batch,
        };
        let end = ends.get(&of).copied().unwrap_or_else(|| subject.end(of));
        let batch = batch.at(end.plus(gap), LeaderEpoch(3));
        ends.insert(of, batch.header().next_offset());
        group.push((of, Entry::Batch(batch)));
    }
    // A fault hits one stream.
    let stream = subject.store().stream_of(group[0].0);
    group.retain(|(key, _)| subject.store().stream_of(*key) == stream);
    group
}

/// A marker that aborts what began behind all that is decided.
fn aborting_some(subject: &mut Subject<'_>, of: PartitionKey) -> RecordBatch {
    let partition = subject.partition(of);
    let decided = partition.aborted.iter().map(|range| range.stable).max();
    let decided = decided.unwrap_or(partition.start).max(partition.start);
    let mut above = |from: Offset| {
        let span = usize::try_from(partition.end.0 - from.0 + 1).unwrap_or(1);
        from.plus(i64::try_from(subject.random.below(span)).unwrap())
    };
    let decided = decided.min(partition.end);
    aborting(7, above(decided), above(decided))
}

fn ask(subject: &mut Subject<'_>, of: PartitionKey) {
    let (a, b) = (somewhere(subject, of), somewhere(subject, of));
    let limit = subject.random.below(300_000);
    subject.check_read(of, a.min(b), a.max(b), ByteSize(limit.try_into().unwrap()));
    subject.check_look(of, a.min(b), a.max(b));
    subject.check_boundary(of, a);
    let end = subject.end(of);
    let at = subject.now().0 - i64::try_from(subject.random.below(20_000)).unwrap();
    subject.check_find(of, a, end, at);
    subject.check_find(of, a.min(b), a.max(b), at);
    subject.check_extents(of);
    subject.check_aborted(of, a.min(b), a.max(b));
}
