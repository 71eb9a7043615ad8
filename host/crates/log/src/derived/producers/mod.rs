//! Knows the last batches of each idempotent producer of a partition, so that a batch sent twice
//! is stored once and a lost one is noticed.
//!
//! The rules are Kafka's: the last five batches of a producer are known by their sequences; a
//! batch that is one of them is a duplicate and answered with its first offset; any other must
//! follow the last one; a new epoch starts at sequence 0; an older epoch is fenced; the first
//! batch of an unknown producer may have any sequence, since retention may have removed the rest.
//! A transaction's marker gives the producer its epoch and is no batch of its sequence; nor is a
//! batch without a sequence (-1), such as a coordinator writes for a producer. A marker of an older
//! epoch, or of an older coordinator than has ended a transaction of the producer before, is fenced.
//! Judging is for what producers send. What is stored is noted as it is: its epoch is the
//! producer's from then on.
//!
//! Going back (`truncate`) is exact as long as one batch of the producer's epoch is left, or none
//! was ever forgotten. With fewer than five left no more is lost than can matter: a producer has at
//! most five batches in flight and numbers them in a row, so what it may send again is among the
//! last five that it sent, and each of those was truncated or is left.
//!
//! Producers are bounded: in a partition by `PRODUCERS_MAX`, in a node by a `ProducerBudget`. Over
//! either bound a tenth of this partition's are forgotten at once, those silent for longest. A
//! partition may have `PRODUCERS_SURE` of them whatever the others have, so a node has never more
//! than its budget and that many for each partition.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::time::Duration;

use wstream_record::{
    BatchHeader, CoordinatorEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence,
    Timestamp,
};

use crate::errors::AppendError;
use crate::numbers::{Reader, put, put_above, put_count};

/// Batches of one producer that are known again.
const BATCHES_KNOWN: usize = 5;
/// Producers known in one partition.
const PRODUCERS_MAX: usize = 10_000;
/// Producers known in one partition even when the node's budget is used up.
const PRODUCERS_SURE: usize = 10;
/// Producers known in one node, by default.
const NODE_PRODUCERS_MAX: usize = 100_000;
/// Of a partition's producers this part is forgotten at once, so that forgetting is rare.
const FORGOTTEN_PART: usize = 10;
/// Bytes of an encoded producer at least.
const PRODUCER_BYTES_MIN: usize = 7;

/// How many producers all partitions of a node know together.
#[derive(Debug)]
pub(crate) struct ProducerBudget {
    known: AtomicUsize,
    max: usize,
}

impl Default for ProducerBudget {
    fn default() -> Self {
        Self::new(NODE_PRODUCERS_MAX)
    }
}

impl ProducerBudget {
    /// A budget of `max` producers.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            known: AtomicUsize::new(0),
            max,
        }
    }

    /// Producers known now.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.known.load(Atomic::Relaxed)
    }

    /// Takes one if the budget has one.
    fn try_take(&self) -> bool {
        let more = |known: usize| (known < self.max).then(|| known + 1);
        self.known
            .fetch_update(Atomic::Relaxed, Atomic::Relaxed, more)
            .is_ok()
    }

    fn take(&self) {
        self.known.fetch_add(1, Atomic::Relaxed);
    }

    fn give_back(&self, count: usize) {
        self.known.fetch_sub(count, Atomic::Relaxed);
    }
}

/// The epoch of a coordinator that is not known: no marker is older.
const COORDINATOR_UNKNOWN: CoordinatorEpoch = CoordinatorEpoch(-1);

/// The producers of one partition; without a budget, those of one write.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    /// `None` beside a write, which bounds what is noted by its own size.
    budget: Option<Arc<ProducerBudget>>,
}

impl PartialEq for Producers {
    /// The budget is not part of what is known.
    fn eq(&self, other: &Self) -> bool {
        self.by_id == other.by_id
    }
}

impl Eq for Producers {}

impl Drop for Producers {
    fn drop(&mut self) {
        self.give_back(self.by_id.len());
    }
}

/// What a batch is to its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen before and in order.
    New,
    /// Stored already, at these offsets.
    Duplicate { base: Offset, next: Offset },
}

impl Producers {
    pub(super) fn new(budget: Arc<ProducerBudget>) -> Self {
        Self {
            by_id: HashMap::new(),
            budget: Some(budget),
        }
    }

    /// The same, without a budget.
    pub(crate) fn copy(&self) -> Self {
        Self {
            by_id: self.by_id.clone(),
            budget: None,
        }
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The sequence that the producer's next record has, if the producer is known.
    #[must_use]
    pub(crate) fn next_sequence(&self, producer: ProducerId) -> Option<Sequence> {
        self.by_id.get(&producer).map(Producer::next_sequence)
    }

    /// The producer's epoch, if the producer is known.
    #[cfg(test)]
    pub(crate) fn epoch(&self, producer: ProducerId) -> Option<ProducerEpoch> {
        self.by_id.get(&producer).map(|known| known.epoch)
    }

    /// Judges a batch, or by its epoch alone a marker. `earlier` are the batches of the same write
    /// that precede it.
    pub(crate) fn judge(
        &self,
        earlier: &Self,
        header: &BatchHeader,
    ) -> Result<Verdict, AppendError> {
        let Some(stamp) = header.producer else {
            return Ok(Verdict::New);
        };
        let known = earlier.by_id.get(&stamp.id);
        let Some(producer) = known.or_else(|| self.by_id.get(&stamp.id)) else {
            return Ok(Verdict::New);
        };
        producer.judge(stamp, header)
    }

    /// Judges a marker by the epoch of the coordinator that wrote it.
    pub(crate) fn judge_coordinator(
        &self,
        earlier: &Self,
        producer: ProducerId,
        found: CoordinatorEpoch,
    ) -> Result<(), AppendError> {
        let known = [earlier, self].map(|all| all.by_id.get(&producer));
        let current = known.into_iter().flatten().map(|known| known.coordinator);
        match current.max() {
            Some(current) if found < current => {
                Err(AppendError::FencedCoordinator { current, found })
            }
            _ => Ok(()),
        }
    }

    /// Notes a marker in `earlier`, as `note_beside` does a batch.
    pub(crate) fn note_marker_beside(
        &self,
        earlier: &mut Self,
        stamp: ProducerStamp,
        coordinator: CoordinatorEpoch,
        at: Offset,
    ) {
        if let Some(known) = self.by_id.get(&stamp.id) {
            let place = earlier.by_id.entry(stamp.id);
            place.or_insert_with(|| known.clone());
        }
        earlier.note_marker(stamp, coordinator, at, Timestamp::NONE);
    }

    /// Notes a batch in `earlier`, with what is known here of its producer, to judge further
    /// batches of the same write by.
    pub(crate) fn note_beside(&self, earlier: &mut Self, header: &BatchHeader) {
        let Some(stamp) = header.producer else {
            return;
        };
        if header.is_control() {
            let at = header.base_offset;
            self.note_marker_beside(earlier, stamp, COORDINATOR_UNKNOWN, at);
            return;
        }
        if let Some(known) = self.by_id.get(&stamp.id) {
            earlier
                .by_id
                .entry(stamp.id)
                .or_insert_with(|| known.clone());
        }
        earlier.note(header, Timestamp::NONE);
    }

    /// Takes note of a stored batch that is no marker.
    pub(super) fn note(&mut self, header: &BatchHeader, now: Timestamp) {
        let Some(stamp) = header.producer else {
            return;
        };
        let producer = self.seen(stamp, header.base_offset, now);
        if let Some(mark) = Mark::of(stamp, header) {
            producer.forgotten |= producer.marks.push(mark);
        }
    }

    /// Takes note of a stored marker: its epoch is the producer's.
    pub(super) fn note_marker(
        &mut self,
        stamp: ProducerStamp,
        coordinator: CoordinatorEpoch,
        at: Offset,
        now: Timestamp,
    ) {
        let producer = self.seen(stamp, at, now);
        producer.coordinator = producer.coordinator.max(coordinator);
    }

    /// The producer, in the stamp's epoch.
    fn seen(&mut self, stamp: ProducerStamp, at: Offset, now: Timestamp) -> &mut Producer {
        if !self.by_id.contains_key(&stamp.id) {
            self.make_room();
        }
        let fresh = Producer {
            epoch: stamp.epoch,
            known_from: at,
            epoch_from: at,
            last_seen: now,
            coordinator: COORDINATOR_UNKNOWN,
            forgotten: false,
            marks: Marks::default(),
        };
        match self.by_id.entry(stamp.id) {
            Entry::Vacant(place) => place.insert(fresh),
            Entry::Occupied(place) => {
                let known = place.into_mut();
                known.last_seen = known.last_seen.max(now);
                if known.epoch != stamp.epoch {
                    *known = Producer {
                        known_from: known.known_from,
                        last_seen: known.last_seen,
                        coordinator: known.coordinator,
                        ..fresh
                    };
                }
                known
            }
        }
    }

    /// Takes one of the budget for a producer that is about to be added.
    fn make_room(&mut self) {
        let Some(budget) = self.budget.clone() else {
            return;
        };
        if self.by_id.len() >= PRODUCERS_MAX {
            self.forget_silent();
        }
        if budget.try_take() {
            return;
        }
        if self.by_id.len() >= PRODUCERS_SURE {
            self.forget_silent();
        }
        budget.take();
    }

    fn forget_silent(&mut self) {
        let count = (self.by_id.len() / FORGOTTEN_PART).max(1);
        let mut order: Vec<_> = self
            .by_id
            .iter()
            .map(|(&id, known)| (known.last_seen, known.last_offset(), id))
            .collect();
        if count < order.len() {
            order.select_nth_unstable(count);
        }
        order.truncate(count);
        for (_, _, id) in &order {
            self.by_id.remove(id);
        }
        self.give_back(order.len());
    }

    fn give_back(&self, count: usize) {
        if let Some(budget) = &self.budget {
            budget.give_back(count);
        }
    }

    /// Keeps the producers that say yes.
    fn retain(&mut self, mut keep: impl FnMut(ProducerId, &mut Producer) -> bool) {
        let before = self.by_id.len();
        self.by_id.retain(|&id, known| keep(id, known));
        self.give_back(before - self.by_id.len());
    }

    /// Forgets batches at or above `end`, and producers first seen there. `false`: of a producer
    /// known before, its state at `end` is not known any more. When it was last seen stays as it
    /// is: it expires no earlier than it should.
    #[must_use]
    pub(super) fn truncate(&mut self, end: Offset) -> bool {
        let mut enough = true;
        self.retain(|_, known| {
            if known.known_from >= end {
                return false;
            }
            enough &= known.truncate(end);
            true
        });
        enough
    }

    /// Forgets those silent for `after`, other than those `spared`.
    pub(super) fn expire(
        &mut self,
        now: Timestamp,
        after: Duration,
        spared: &dyn Fn(ProducerId) -> bool,
    ) {
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.retain(|id, known| now.0.saturating_sub(known.last_seen.0) < after || spared(id));
        self.by_id.shrink_to(self.by_id.len().saturating_mul(2));
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_count(out, self.by_id.len());
        let mut ids: Vec<_> = self.by_id.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let (mut id_before, mut seen_before) = (0, 0);
        for (id, known) in ids {
            put_above(out, id.0, id_before);
            put_above(out, known.last_seen.0, seen_before);
            known.encode(out);
            (id_before, seen_before) = (id.0, known.last_seen.0);
        }
    }

    pub(super) fn decode(
        input: &mut Reader<'_>,
        budget: Arc<ProducerBudget>,
        with_coordinators: bool,
    ) -> Result<Self, String> {
        let count = input.count(PRODUCER_BYTES_MIN)?;
        if count > PRODUCERS_MAX {
            return Err(format!("{count} producers"));
        }
        let mut read = Self::new(budget);
        let (mut id, mut seen) = (0, 0_i64);
        for n in 0..count {
            id = input.above(id, i64::from(n > 0), "a producer's id")?;
            // Any time is possible, so the difference may have wrapped.
            seen = seen.wrapping_add(input.number()?);
            let producer = Producer::decode(input, Timestamp(seen), with_coordinators)?;
            read.make_room();
            read.by_id.insert(ProducerId(id), producer);
        }
        Ok(read)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    /// Where it was first seen.
    known_from: Offset,
    /// Where its epoch was first seen.
    epoch_from: Offset,
    last_seen: Timestamp,
    /// The newest coordinator that ended a transaction of it; also after that was truncated, for there
    /// was such a coordinator.
    coordinator: CoordinatorEpoch,
    /// Its epoch had batches before those in `marks`.
    forgotten: bool,
    /// Of its epoch; may be empty behind a marker.
    marks: Marks,
}

impl Producer {
    fn last_offset(&self) -> Offset {
        let last = self.marks.known().last();
        last.map_or(self.epoch_from, |mark| mark.base)
    }

    fn next_sequence(&self) -> Sequence {
        let last = self.marks.known().last();
        last.map_or(Sequence(0), Mark::next_sequence)
    }

    fn judge(&self, stamp: ProducerStamp, header: &BatchHeader) -> Result<Verdict, AppendError> {
        let expected = match stamp.epoch.cmp(&self.epoch) {
            Ordering::Less => {
                return Err(AppendError::FencedProducer {
                    current: self.epoch,
                    found: stamp.epoch,
                });
            }
            Ordering::Greater => Sequence(0),
            Ordering::Equal => self.next_sequence(),
        };
        if header.is_control() {
            return Ok(Verdict::New);
        }
        let Some(found) = Mark::of(stamp, header) else {
            return Ok(Verdict::New);
        };
        let same = |mark: &&Mark| mark.first == found.first && mark.delta == found.delta;
        // The newest: of two equal ones it is the one that a truncation leaves known.
        let known = self.marks.known().iter().rfind(same);
        if let (Some(mark), Ordering::Equal) = (known, stamp.epoch.cmp(&self.epoch)) {
            return Ok(Verdict::Duplicate {
                base: mark.base,
                next: mark.next(),
            });
        }
        if found.first == expected {
            Ok(Verdict::New)
        } else {
            Err(AppendError::OutOfOrderSequence {
                expected,
                found: found.first,
            })
        }
    }

    /// `false`: what was known at `end` is not known any more.
    fn truncate(&mut self, end: Offset) -> bool {
        self.marks.truncate(end);
        let epoch_stays = self.epoch_from < end;
        let batch_stays = !self.marks.known().is_empty() || !self.forgotten;
        epoch_stays && batch_stays
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put(out, i64::from(self.epoch.0));
        put(out, self.known_from.0);
        put_above(out, self.epoch_from.0, self.known_from.0);
        put(out, i64::from(self.coordinator.0));
        put(out, i64::from(self.forgotten));
        put_count(out, self.marks.known().len());
        let (mut base, mut sequence) = (self.epoch_from, Sequence(0));
        for mark in self.marks.known() {
            put(out, i64::from(mark.first.0) - i64::from(sequence.0));
            put_above(out, mark.base.0, base.0);
            put(out, i64::from(mark.delta));
            (base, sequence) = (mark.next(), mark.next_sequence());
        }
    }

    fn decode(
        input: &mut Reader<'_>,
        last_seen: Timestamp,
        with_coordinator: bool,
    ) -> Result<Self, String> {
        let epoch = ProducerEpoch(input.small("a producer's epoch")?);
        let known_from = input.offset(Offset(0))?;
        let epoch_from = input.offset(known_from)?;
        let coordinator = match with_coordinator {
            true => CoordinatorEpoch(input.small("a coordinator's epoch")?),
            false => COORDINATOR_UNKNOWN,
        };
        let forgotten = input.small::<u8>("a flag")? != 0;
        let count: usize = input.small("a count of batches")?;
        if count > BATCHES_KNOWN {
            return Err(format!("{count} batches of a producer"));
        }
        let mut marks = Marks::default();
        let (mut base, mut sequence) = (epoch_from, Sequence(0));
        for _ in 0..count {
            let first = i64::from(sequence.0).saturating_add(input.number()?);
            let first = i32::try_from(first)
                .ok()
                .filter(|&first| first >= 0)
                .ok_or_else(|| format!("a sequence is {first}"))?;
            let at = input.offset(base)?;
            let delta = input.small("a batch's last offset")?;
            let mark =
                Mark::new(Sequence(first), at, delta).ok_or("a batch ends before it begins")?;
            marks.push(mark);
            (base, sequence) = (mark.next(), mark.next_sequence());
        }
        Ok(Self {
            epoch,
            known_from,
            epoch_from,
            last_seen,
            coordinator,
            forgotten,
            marks,
        })
    }
}

/// The last batches of a producer, oldest first, without an allocation of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    len: usize,
    all: [Mark; BATCHES_KNOWN],
}

impl Marks {
    fn known(&self) -> &[Mark] {
        self.all.get(..self.len).unwrap_or(&self.all)
    }

    /// Adds one; answers whether the oldest had to go.
    fn push(&mut self, mark: Mark) -> bool {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = mark;
            self.len += 1;
            return false;
        }
        self.all.rotate_left(1);
        if let Some(last) = self.all.last_mut() {
            *last = mark;
        }
        true
    }

    fn truncate(&mut self, end: Offset) {
        let kept = self.known().partition_point(|mark| mark.base < end);
        self.len = kept;
        // What is not known must not make two equal ones differ.
        if let Some(rest) = self.all.get_mut(kept..) {
            rest.fill(Mark::default());
        }
    }
}

/// One batch of a producer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    first: Sequence,
    base: Offset,
    /// Last offset and sequence less the first, not negative.
    delta: i32,
}

impl Mark {
    /// `None` for a batch without a sequence.
    fn of(stamp: ProducerStamp, header: &BatchHeader) -> Option<Self> {
        Self::new(stamp.sequence, header.base_offset, header.last_offset_delta)
    }

    fn new(first: Sequence, base: Offset, delta: i32) -> Option<Self> {
        (first.0 >= 0 && delta >= 0).then_some(Self { first, base, delta })
    }

    fn next(&self) -> Offset {
        self.base.plus(i64::from(self.delta) + 1)
    }

    fn next_sequence(&self) -> Sequence {
        self.first.plus(self.delta).plus(1)
    }
}

#[cfg(test)]
mod tests;
