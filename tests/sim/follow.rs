//! Followers: what a leader sends, truncations, logs that begin anew, transactions.

use std::sync::Arc;

use wstream_record::{
    ByteSize, LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, RecordBatch, Sequence,
    Timestamp,
};

use super::batches::{Shape, marker, numbered, placed, transactional};
use super::model::{Copied, Kind};
use super::run::{Run, check_refusal};
use crate::derived::{Derived, ProducerBudget};
use crate::partition::Upto;
use crate::store::Aborted;
use crate::store::aborted::overlapping;

impl Copied {
    fn push(&mut self, batch: RecordBatch) {
        self.end = batch.header().next_offset().0;
        self.batches.push(batch);
    }

    fn truncated(&self, end: i64) -> Self {
        if end >= self.end {
            return self.clone();
        }
        let holder = self.batches.iter().map(RecordBatch::header);
        let mut holder = holder.filter(|h| h.base_offset.0 < end && end < h.next_offset().0);
        let boundary = if end < self.start {
            end.max(0)
        } else {
            holder.next().map_or(end, |h| h.base_offset.0)
        };
        if boundary < self.start {
            return Self::at(boundary);
        }
        let kept = self
            .batches
            .iter()
            .filter(|b| b.header().next_offset().0 <= boundary);
        Self {
            start: self.start,
            end: boundary,
            batches: kept.cloned().collect(),
            below: self.below.clone(),
        }
    }

    fn started(&self, start: i64) -> Self {
        let all = self.batches.iter().cloned();
        let (kept, gone): (Vec<_>, Vec<_>) = all.partition(|b| b.header().next_offset().0 > start);
        let below = self.below.iter().cloned().chain(gone);
        Self {
            start: start.max(self.start),
            end: self.end.max(start),
            batches: kept,
            below: below.collect(),
        }
    }

    fn at(start: i64) -> Self {
        Self {
            start,
            end: start,
            ..Self::default()
        }
    }

    /// What follows from the batches, with those below the start or without them.
    fn derived(&self, with_below: bool) -> (Derived, Vec<Aborted>) {
        let mut aborted = Vec::new();
        let mut derived = Derived::new(Arc::new(ProducerBudget::default()));
        let below = self.below.iter().filter(|_| with_below);
        for batch in below.chain(&self.batches) {
            let header = batch.header();
            let control = header.is_control().then_some(batch);
            aborted.extend(derived.note(header, control, Timestamp(0)));
        }
        derived.drop_below(Offset(self.start));
        (derived, aborted)
    }
}

impl Run {
    pub(super) fn follow(&mut self) {
        let Some(at) = self.some_part(|kind| kind == Kind::Followed) else {
            return;
        };
        match self.random.below(14) {
            0..8 => self.replicate(at),
            8..11 => self.truncate(at),
            11 => self.reset(at),
            12 => self.drop_followed(at),
            _ => self.advance(at),
        }
    }

    fn replicate(&mut self, at: usize) {
        let now = self.node.now();
        let partition = self.partition(at);
        let current = partition.marks().leader_epoch;
        let known = partition
            .epochs()
            .last()
            .map_or(LeaderEpoch(0), |start| start.epoch);
        let before = self.parts[at].copied.clone();
        let mut after = before.clone();
        let mut states = vec![before];
        let mut batches = Vec::new();
        for _ in 0..=self.random.below(4) {
            let last = after
                .batches
                .last()
                .map_or(known, |b| b.header().leader_epoch.max(known));
            let epoch = if self.random.below(3) == 0 {
                current
            } else {
                last
            };
            let gap = if self.random.below(4) == 0 {
                self.below(40)
            } else {
                0
            };
            let batch = self.leaders_batch(at, now);
            let batch = placed(batch, after.end + gap, epoch);
            after.push(batch.clone());
            states.push(after.clone());
            batches.push(batch);
        }
        let replicated = self.node.run(partition.replicate(batches));
        self.say(format_args!(
            "{at} replicates to {}: {replicated:?}",
            after.end
        ));
        self.done(
            at,
            replicated.map(|r| r.map(|end| end.0)),
            after.end,
            states,
        );
    }

    /// A batch that is plain, of a transaction, or its end.
    fn leaders_batch(&mut self, at: usize, now: i64) -> RecordBatch {
        let producer = i64::try_from(at * 10 + self.random.below(3)).unwrap();
        let number = u64::try_from(self.random.below(1 << 40)).unwrap();
        let shape = Shape::any(&mut self.random, false, now);
        match self.random.below(6) {
            0..3 => numbered(number, shape, None, &mut self.random).0,
            3..5 => {
                let stamp = ProducerStamp {
                    id: ProducerId(producer),
                    epoch: ProducerEpoch(0),
                    sequence: Sequence(0),
                };
                transactional(&numbered(number, shape, Some(stamp), &mut self.random).0)
            }
            _ => marker(producer, self.random.below(2) == 0, now),
        }
    }

    fn truncate(&mut self, at: usize) {
        let before = self.parts[at].copied.clone();
        let from = before.start - self.below(20);
        let end = (from + self.below(before.end - from + 10)).max(before.end - self.below(60));
        let after = before.truncated(end);
        let partition = self.partition(at);
        let truncated = self.node.run(partition.truncate(Offset(end)));
        self.say(format_args!("{at} ends at {end}: {truncated:?}"));
        let wanted = after.end;
        self.done(
            at,
            truncated.map(|t| t.map(|end| end.0)),
            wanted,
            vec![before, after],
        );
    }

    fn reset(&mut self, at: usize) {
        let before = self.parts[at].copied.clone();
        let start = self.below(before.end + 500);
        let after = Copied::at(start);
        let partition = self.partition(at);
        let reset = self.node.run(partition.reset(Offset(start)));
        self.say(format_args!("{at} begins at {start}: {reset:?}"));
        self.done(
            at,
            reset.map(|r| r.map(|()| start)),
            start,
            vec![before, after],
        );
    }

    fn drop_followed(&mut self, at: usize) {
        let before = self.parts[at].copied.clone();
        let partition = self.partition(at);
        let high_watermark = partition.marks().high_watermark.0;
        let to = before.start + self.below(high_watermark - before.start + 1);
        let after = before.started(to);
        let deleted = self.node.run(partition.delete_before(Offset(to)));
        self.say(format_args!("{at} before {to}: {deleted:?}"));
        let deleted = deleted.map(|d| {
            d.map(|start| start.0).map_err(|error| match error {
                crate::errors::DeleteError::Append(error) => error,
                other @ crate::errors::DeleteError::PastEnd { .. } => panic!("{other}"),
            })
        });
        self.done(at, deleted, to, vec![before, after]);
    }

    fn advance(&mut self, at: usize) {
        let marks = self.partition(at).marks();
        let to = marks.high_watermark.0 + self.below(marks.log_end.0 - marks.high_watermark.0 + 1);
        // A boundary of batches.
        let batches = self.parts[at]
            .copied
            .batches
            .iter()
            .map(RecordBatch::header);
        let to = batches
            .map(|h| h.next_offset().0)
            .filter(|next| *next <= to)
            .max();
        if let Some(to) = to {
            self.partition(at).advance_high_watermark(Offset(to));
        }
    }

    /// Takes note of what became of something: the last of `states` if it was done, any of them if
    /// the node ended.
    fn done(
        &mut self,
        at: usize,
        answer: Option<Result<i64, crate::errors::AppendError>>,
        wanted: i64,
        mut states: Vec<Copied>,
    ) {
        let part = &mut self.parts[at];
        match answer {
            Some(Ok(said)) => {
                assert_eq!(said, wanted, "{}", part.name);
                part.copied = states.pop().expect("there is one");
                part.maybe.clear();
                self.check_followed(at);
            }
            Some(Err(error)) => {
                check_refusal(&error);
                part.maybe.append(&mut states);
            }
            None => part.maybe.append(&mut states),
        }
    }

    /// Compares a follower's log with what it must be, while the node runs.
    fn check_followed(&mut self, at: usize) {
        let found = self.followed(at);
        let part = &self.parts[at];
        if !self.loss.told {
            assert_same(&part.copied, &found, &part.name.to_string());
            self.check_derived(at);
        }
    }

    fn followed(&mut self, at: usize) -> Copied {
        let marks = self.partition(at).marks();
        let start = marks.log_start.0;
        let batches = self.read_all(at, start);
        let end = marks.log_end.0;
        Copied {
            start,
            end,
            batches,
            below: Vec::new(),
        }
    }

    /// After a start.
    pub(super) fn verify_followed(&mut self, at: usize) {
        let found = self.followed(at);
        let lenient = self.loss.told || self.loss.tail;
        let part = &mut self.parts[at];
        part.maybe.push(part.copied.clone());
        let maybe = std::mem::take(&mut part.maybe);
        let known = maybe.into_iter().rev().find(|state| *state == found);
        if known.is_none() && !lenient {
            assert_same(&part.copied, &found, &part.name.to_string());
        }
        part.copied = known.unwrap_or(found);
        let marks = self.partition(at).marks();
        self.partition(at).follow(marks.leader_epoch);
        if !lenient {
            self.check_derived(at);
        }
    }

    /// What is derived from a follower's batches is as if they were looked at one by one.
    fn check_derived(&mut self, at: usize) {
        let partition = self.partition(at);
        let marks = partition.marks();
        let part = &self.parts[at];
        let all = [true, false].map(|with_below| part.copied.derived(with_below));
        let epochs = partition.epochs();
        let fits = all
            .iter()
            .any(|(derived, _)| derived.epochs.starts() == epochs);
        assert!(fits, "{}: {epochs:?}", part.name);
        let stable = all.iter().map(|(derived, _)| {
            let stable = derived.transactions.last_stable(marks.high_watermark);
            stable.max(marks.log_start)
        });
        let stable: Vec<Offset> = stable.collect();
        let fits = stable.contains(&marks.last_stable);
        assert!(fits, "{}: {:?} {stable:?}", part.name, marks.last_stable);
        let aborted = |from: Offset| {
            let all = all.iter().map(|(_, ranges)| {
                let mut found = Vec::new();
                overlapping(ranges, from, marks.log_end, &mut found);
                found.sort_unstable_by_key(|range| (range.first.max(marks.log_start), range.last));
                found
            });
            let bare = |a: &Aborted| (a.producer, a.first.max(marks.log_start), a.last);
            all.map(|found| found.iter().map(bare).collect())
                .collect::<Vec<Vec<_>>>()
        };
        let from = Offset(marks.log_start.0 + self.below(marks.last_stable.0 - marks.log_start.0));
        let limit = ByteSize(1 << 30);
        let fetch = partition.fetch(from, limit, Upto::LastStable, None);
        let Some(Ok(fetched)) = self.node.run(fetch) else {
            return;
        };
        if fetched.next == marks.log_end {
            let found = fetched.aborted.iter();
            let found: Vec<_> = found
                .map(|a| (a.producer, a.first.max(marks.log_start), a.last))
                .collect();
            assert!(
                aborted(from).contains(&found),
                "{}: {found:?}",
                self.parts[at].name
            );
        }
    }
}

fn assert_same(wanted: &Copied, found: &Copied, name: &str) {
    let offsets = |copied: &Copied| -> Vec<(i64, i64)> {
        let headers = copied.batches.iter().map(RecordBatch::header);
        headers
            .map(|h| (h.base_offset.0, h.next_offset().0))
            .collect()
    };
    assert_eq!(
        (wanted.start, wanted.end),
        (found.start, found.end),
        "{name}"
    );
    assert_eq!(offsets(wanted), offsets(found), "{name}");
    assert!(wanted == found, "{name}: the bytes differ");
}
