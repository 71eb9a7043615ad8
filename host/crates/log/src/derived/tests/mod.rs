//! `Derived` against a model that looks through all kept batches for each answer.

pub(crate) mod model;

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use wstream_record::{
    BatchBuilder, LeaderEpoch, ProducerEpoch, ProducerId, ProducerStamp, Record, Sequence,
};

use self::model::{Kept, Model};
use super::*;
use crate::numbers::put;
use crate::store::aborted;
use crate::testing::{Random, batch_of};

/// The header of a data batch at `base`.
pub(super) fn header_of(base: i64, count: i32, producer: Option<(i64, i16, i32)>) -> BatchHeader {
    let stamp = producer.map(|(id, epoch, sequence)| ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        sequence: Sequence(sequence),
    });
    BatchHeader {
        base_offset: Offset(base),
        last_offset_delta: count - 1,
        records: count,
        ..*batch_of(1, 1, stamp).header()
    }
}

/// A control batch of one record.
pub(super) fn control_of(
    base: i64,
    producer: (i64, i16),
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        timestamp: Timestamp(1_000),
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        ..Record::default()
    });
    let stamp = ProducerStamp {
        id: ProducerId(producer.0),
        epoch: ProducerEpoch(producer.1),
        sequence: Sequence(-1),
    };
    let batch = builder.finish(Some(stamp)).unwrap();
    let mut bytes = batch.at(Offset(base), LeaderEpoch(0)).bytes().to_vec();
    bytes[21..23].copy_from_slice(&(1_i16 << 4 | 1 << 5).to_be_bytes());
    RecordBatch::parse_trusted(bytes.into()).unwrap()
}

const PRODUCERS: usize = 5;
/// Runs of the suite, each of 150 steps.
const SEEDS: u64 = 100;

/// One log, its model and what chance does to them.
struct Run {
    random: Random,
    model: Model,
    derived: Derived,
    /// What a store would keep.
    aborted: Vec<Aborted>,
    budget: Arc<ProducerBudget>,
    now: i64,
    leader_epoch: i32,
    truncated: usize,
    rebuilt: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let budget = Arc::new(ProducerBudget::default());
        Self {
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            model: Model::default(),
            derived: Derived::new(Arc::clone(&budget)),
            aborted: Vec::new(),
            budget,
            now: 1_000,
            leader_epoch: 0,
            truncated: 0,
            rebuilt: 0,
        }
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(bound).unwrap())).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.random.below(n) == 0
    }

    fn step(&mut self) {
        self.now += self.below(20);
        match self.random.below(24) {
            0..13 => self.data(),
            13..17 => self.marker(),
            17 => self.leader_epoch += 1 + i32::try_from(self.below(2)).unwrap(),
            18 | 19 => self.advance(),
            20 => self.raise_start(),
            21 | 22 => self.truncate(),
            _ => self.expire(),
        }
    }

    /// A batch of a producer: the next one, a retry, or anything.
    fn data(&mut self) {
        let id = self.below(PRODUCERS as i64);
        let count = 1 + i32::try_from(self.below(3)).unwrap();
        let (epoch, batches) = self.model.producer(id).unwrap_or_default();
        let next = batches
            .last()
            .map_or(0, |b| b.0.wrapping_add(b.1) & i32::MAX);
        let row = match self.random.below(10) {
            0 if !batches.is_empty() => {
                let again = batches[self.random.below(batches.len())];
                (epoch, again.0, again.1)
            }
            1 => (epoch + 1, 0, count),
            2 => (epoch.saturating_sub(1), next, count),
            3 if batches.is_empty() => (epoch, i32::MAX - 1, count),
            4 => (epoch, next.wrapping_add(7) & i32::MAX, count),
            5 => (epoch, -1, count),
            _ => (epoch, next, count),
        };
        let (epoch, sequence, count) = row;
        let mut header = header_of(self.model.end, count, Some((id, epoch, sequence)));
        if self.one_in(2) || self.derived.transactions.first_of(ProducerId(id)).is_some() {
            header.attributes = 1 << 4;
        }
        if self.one_in(8) {
            header.producer = None;
        }
        let verdict = self.derived.producers.judge(&Producers::default(), &header);
        // What is stored counts, whatever it was judged.
        if matches!(verdict, Ok(Verdict::New)) || self.one_in(10) {
            self.store(header, None);
        }
    }

    fn marker(&mut self) {
        let id = self.below(PRODUCERS as i64);
        let epoch = self.model.producer(id).map_or(0, |known| known.0);
        let epoch = epoch + i16::from(self.one_in(3));
        let kind = u8::try_from(self.below(3)).unwrap();
        let cut = self.random.below(6).min(4);
        let key = &[0, 0, 0, kind][..cut];
        let batch = control_of(self.model.end, (id, epoch), Some(key), Some(&[0; 6]));
        self.store(*batch.header(), Some(batch));
    }

    fn store(&mut self, mut header: BatchHeader, control: Option<RecordBatch>) {
        if self.one_in(10) {
            header.base_offset = header.base_offset.plus(self.below(4));
        }
        header.leader_epoch = LeaderEpoch(self.leader_epoch);
        let parsed = control.as_ref().map(Marker::parse);
        let marker = parsed.and_then(|marker| marker.ok().flatten());
        let marker = marker.map(|(marker, _)| marker);
        let now = Timestamp(self.now);
        self.aborted
            .extend(self.derived.note(&header, control.as_ref(), now));
        if let Some(stamp) = header
            .producer
            .filter(|_| control.is_none() || marker.is_some())
        {
            self.model.last_seen.insert(stamp.id.0, self.now);
        }
        self.model.end = header.next_offset().0;
        self.model.kept.push(Kept {
            header,
            control,
            marker,
            at: Timestamp(self.now),
        });
    }

    fn advance(&mut self) {
        let above = self.model.end - self.model.high_watermark;
        self.model.high_watermark += self.below(above + 1);
        let at = Offset(self.model.high_watermark);
        self.derived.transactions.committed_to(at);
    }

    fn raise_start(&mut self) {
        let above = self.model.high_watermark - self.model.start;
        self.model.start += self.below(above / 2 + 1);
        let start = Offset(self.model.start);
        self.derived.drop_below(start);
        self.aborted.retain(|range| range.last >= start);
    }

    /// Mostly to where nothing was committed.
    fn truncate(&mut self) {
        let below_watermark = self.one_in(6);
        let floor = if below_watermark {
            self.model.start
        } else {
            self.model.high_watermark
        };
        let bases = self.model.kept.iter().map(|kept| kept.header.base_offset.0);
        let start = self.model.start;
        let ends: Vec<i64> = bases
            .filter(|&base| base >= floor && base > start)
            .collect();
        let Some(&end) = ends.get(self.random.below(ends.len())) else {
            return;
        };
        let transactions = self.derived.transactions.clone().truncate(Offset(end));
        assert!(transactions || end < self.model.high_watermark);
        let reasons = (0..PRODUCERS as i64).any(|id| {
            let known = self
                .model
                .of(id)
                .next()
                .is_some_and(|k| k.header.base_offset.0 < end);
            known && self.model.of(id).any(|k| k.header.base_offset.0 >= end)
        });
        self.model.truncate(end);
        aborted::truncate(&mut self.aborted, Offset(end));
        self.truncated += 1;
        if !self.derived.truncate(Offset(end)) {
            assert!(reasons || !transactions, "rebuilt for no reason");
            self.rebuilt += 1;
            (self.derived, self.aborted) = self.model.rebuild(&self.budget);
        }
    }

    fn expire(&mut self) {
        let after = 100 + self.below(400);
        self.model.expire(self.now, after);
        let after = Duration::from_millis(u64::try_from(after).unwrap());
        self.derived.expire(Timestamp(self.now), after);
    }

    fn compare(&mut self) {
        let (model, derived) = (&self.model, &self.derived);
        let starts = derived.epochs.starts().iter();
        let starts: Vec<_> = starts.map(|s| (s.epoch.0, s.start.0)).collect();
        assert_eq!(starts, model.epochs());
        for high_watermark in model.high_watermark..=model.end {
            let stable = derived.transactions.last_stable(Offset(high_watermark));
            assert_eq!(stable.0, model.last_stable(high_watermark));
        }
        let known = (0..PRODUCERS as i64).filter(|&id| model.producer(id).is_some());
        assert_eq!(derived.producers.len(), known.count());
        assert_eq!(self.budget.known(), derived.producers.len());
        for _ in 0..4 {
            let from = self.below(self.model.end + 2).max(self.model.start);
            let next = from + 1 + self.below(30);
            let mut found = Vec::new();
            aborted::overlapping(&self.aborted, Offset(from), Offset(next), &mut found);
            let start = self.model.start;
            let row = |r: &Aborted| (r.first.0.max(start), r.last.0, r.producer.0);
            let rows: Vec<_> = found.iter().map(row).collect();
            let expected = self.model.aborted_in(from, next);
            assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), expected);
            assert_eq!(rows.len(), expected.len());
            assert!(found.is_sorted_by_key(|range| range.last));
        }
        for id in 0..PRODUCERS as i64 {
            self.compare_producer(id);
        }
    }

    fn compare_producer(&self, id: i64) {
        let none = Producers::default();
        let state = self.model.producer(id);
        let known = self.derived.producers.epoch(ProducerId(id));
        assert_eq!(known.map(|epoch| epoch.0), state.as_ref().map(|s| s.0));
        let (epoch, batches) = state.unwrap_or_default();
        let next = batches
            .last()
            .map_or(0, |b| b.0.wrapping_add(b.1) & i32::MAX);
        let mut rows = vec![
            (epoch, next, 2),
            (epoch, 5, 1),
            (epoch + 1, 0, 1),
            (epoch + 1, 3, 1),
        ];
        rows.push((epoch - 1, next, 1));
        rows.extend(batches.iter().rev().take(7).map(|b| (epoch, b.0, b.1)));
        for (epoch, sequence, count) in rows {
            let header = header_of(self.model.end, count, Some((id, epoch, sequence)));
            let said = match self.derived.producers.judge(&none, &header) {
                Ok(Verdict::New) => Ok(None),
                Ok(Verdict::Duplicate { base, .. }) => Ok(Some(base.0)),
                Err(_) => Err(()),
            };
            let expected = self.model.judge(id, epoch, sequence, count);
            // Of the last five as many may not be known as were truncated, never the last one.
            let rank = batches.iter().rev().position(|b| expected == Ok(Some(b.2)));
            let cut = self.model.cut.get(&id).copied().unwrap_or(0);
            // Where a sequence went back, which only unjudged batches do, such a one may be next.
            let unknown = said.is_err() || (said == Ok(None) && sequence == next);
            let fewer = rank.is_some_and(|rank| rank > 0 && rank + cut >= 5) && unknown;
            assert!(
                fewer || said == expected,
                "{id}: {said:?}, expected {expected:?}"
            );
        }
    }

    fn encode(&mut self) {
        let mut out = Vec::new();
        self.derived.encode(&mut out);
        let again = Derived::decode(&out, Arc::default()).unwrap();
        assert_eq!(again, self.derived);
        let cut = self.random.below(out.len());
        assert!(Derived::decode(&out[..cut], Arc::default()).is_err());
        let at = self.random.below(out.len());
        out[at] ^= 1 << self.random.below(8);
        // What reads is something, and can be written.
        if let Ok(mut other) = Derived::decode(&out, Arc::default()) {
            other.encode(&mut Vec::new());
            let end = Offset(self.below(self.model.end + 1));
            let _enough = other.truncate(end);
            other.drop_below(Offset(end.0 / 2));
            let mut out = Vec::new();
            other.encode(&mut out);
            assert_eq!(Derived::decode(&out, Arc::default()), Ok(other));
        }
    }
}

#[test]
fn it_knows_what_the_kept_batches_say() {
    let (mut truncated, mut rebuilt) = (0, 0);
    for seed in 1..=SEEDS {
        let outcome = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..150 {
                run.step();
                run.compare();
                run.encode();
            }
            (run.truncated, run.rebuilt)
        });
        let (cut, anew) = outcome.unwrap_or_else(|_| panic!("seed {seed} fails"));
        truncated += cut;
        rebuilt += anew;
    }
    // Both ways of going back were taken often.
    assert!(
        rebuilt > 100 && truncated - rebuilt > 100,
        "{rebuilt} of {truncated}"
    );
}

#[test]
fn a_control_batch_that_is_no_marker_changes_nothing() {
    let mut derived = Derived::new(Arc::default());
    let mut header = header_of(0, 1, Some((1, 0, 0)));
    header.attributes = 1 << 4;
    derived.note(&header, None, Timestamp(0));
    let value: &[u8] = &[0; 6];
    let unknown = control_of(1, (1, 5), Some(&[0, 0, 0, 2]), Some(value));
    derived.note(unknown.header(), Some(&unknown), Timestamp(1));
    derived.note(unknown.header(), None, Timestamp(1));
    assert_eq!(
        derived.producers.epoch(ProducerId(1)),
        Some(ProducerEpoch(0))
    );
    assert_eq!(derived.transactions.last_stable(Offset(2)), Offset(0));
    let abort = control_of(2, (1, 5), Some(&[0, 0, 0, 0]), Some(value));
    derived.note(abort.header(), Some(&abort), Timestamp(2));
    assert_eq!(
        derived.producers.epoch(ProducerId(1)),
        Some(ProducerEpoch(5))
    );
    assert_eq!(derived.transactions.last_stable(Offset(3)), Offset(3));
}

#[test]
fn the_largest_numbers_are_written_and_read() {
    let mut derived = Derived::new(Arc::default());
    for (id, now) in [(i64::MAX, i64::MIN), (0, i64::MAX), (i64::MAX - 1, 0)] {
        let mut header = header_of(i64::MAX - 9, i32::MAX, Some((id, i16::MAX, i32::MAX)));
        header.attributes = 1 << 4;
        header.leader_epoch = LeaderEpoch(i32::MAX);
        derived.note(&header, None, Timestamp(now));
    }
    let marker = control_of(i64::MAX, (0, 0), Some(&[0; 4]), Some(&[0; 6]));
    derived.note(marker.header(), Some(&marker), Timestamp(0));
    let mut out = Vec::new();
    derived.encode(&mut out);
    assert_eq!(Derived::decode(&out, Arc::default()), Ok(derived));
}

#[test]
fn a_stated_count_reserves_nothing_that_the_bytes_do_not_hold() {
    for count in [1, 1 << 20, i64::MAX, -1] {
        let mut bytes = vec![VERSION];
        put(&mut bytes, count);
        assert!(Derived::decode(&bytes, Arc::default()).is_err(), "{count}");
    }
    assert!(Derived::decode(&[], Arc::default()).is_err());
    let mut out = Vec::new();
    Derived::new(Arc::default()).encode(&mut out);
    assert!(Derived::decode(&out, Arc::default()).is_ok());
    out.push(0);
    assert!(Derived::decode(&out, Arc::default()).is_err());
    out[0] = VERSION + 1;
    assert!(Derived::decode(&out, Arc::default()).is_err());
}

#[test]
fn the_version_before_is_read_if_it_holds_no_aborted_ranges() {
    let mut out = Vec::new();
    let derived = Derived::new(Arc::default());
    derived.encode(&mut out);
    out[0] = VERSION_WITH_ABORTED;
    assert!(Derived::decode(&out, Arc::default()).is_err(), "it is cut");
    out.push(0);
    assert_eq!(Derived::decode(&out, Arc::default()), Ok(derived));
    *out.last_mut().unwrap() = 2;
    assert!(Derived::decode(&out, Arc::default()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(0..12_u8, 0..200)) {
        if let Some(version) = bytes.first_mut() {
            *version = VERSION;
        }
        if let Ok(read) = Derived::decode(&bytes, Arc::default()) {
            let mut out = Vec::new();
            read.encode(&mut out);
            prop_assert_eq!(Derived::decode(&out, Arc::default()), Ok(read));
        }
    }

    #[test]
    fn wild_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(version) = bytes.first_mut() {
            *version = VERSION;
        }
        let _read = Derived::decode(&bytes, Arc::default());
    }
}
