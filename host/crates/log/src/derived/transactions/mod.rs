//! Knows which transactions of a partition are open, so that a reader of committed records stops
//! before what is undecided, and says of each marker what it aborted, which readers leave out.
//!
//! A transactional batch of a producer that has none open opens one at its first offset; the
//! producer's next marker ends it. Up to `last_stable` everything is decided: it lies below the
//! first offset of every open transaction, and of every one whose marker is not committed yet
//! (Kafka's rule: that marker may still be truncated and the other one be written).
//!
//! To go back (`truncate`), ended transactions are kept until the high watermark has passed their
//! marker (`committed_to`), `ENDED_MAX` at most: those whose marker goes and whose beginning stays
//! are open again. That suffices, since a follower never truncates below its high watermark. Below
//! a marker that is not kept any more the answer is `false`.
//!
//! Open transactions are bounded where they come from: the leader asks `has_room` and refuses the
//! batch that would open one beyond `OPEN_MAX`. One that is stored is never forgotten, as readers
//! would take its records for committed.
//! Aborted ranges are not kept here: the store keeps each with the segment that holds its marker.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Buf;
use wstream_record::{
    BatchBuilder, BatchHeader, CoordinatorEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp,
    Record, RecordBatch, Sequence, Timestamp,
};

use crate::numbers::{Reader, put, put_above, put_count};
use crate::store::Aborted;

/// Transactions open in one partition, as far as its leader lets them.
const OPEN_MAX: usize = 10_000;
/// Ended transactions kept; beyond that those that ended first go.
const ENDED_MAX: usize = 10_000;
/// The version of a marker's key and value.
const MARKER_VERSION: i16 = 0;
/// Bytes of an encoded open transaction and ended one at least.
const OPEN_BYTES_MIN: usize = 2;
const ENDED_BYTES_MIN: usize = 3;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Its records do not count.
    Abort,
    /// Its records count.
    Commit,
}

impl Marker {
    /// A control batch of one record that ends a producer's transaction.
    pub(crate) fn batch(
        self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        coordinator: CoordinatorEpoch,
        now: Timestamp,
    ) -> RecordBatch {
        let kind: i16 = match self {
            Self::Abort => 0,
            Self::Commit => 1,
        };
        let mut key = MARKER_VERSION.to_be_bytes().to_vec();
        key.extend_from_slice(&kind.to_be_bytes());
        let mut value = MARKER_VERSION.to_be_bytes().to_vec();
        value.extend_from_slice(&coordinator.0.to_be_bytes());
        let mut builder = BatchBuilder::new();
        builder.push(&Record {
            timestamp: now,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: Vec::new(),
        });
        let stamp = ProducerStamp {
            id: producer,
            epoch,
            sequence: Sequence(-1),
        };
        let batch = builder.finish_control(stamp);
        batch.expect("it has a record")
    }

    /// Reads the marker in a control batch, and the epoch of the coordinator that wrote it; `None` if
    /// compaction has emptied it.
    pub(crate) fn parse(
        control: &RecordBatch,
    ) -> Result<Option<(Self, CoordinatorEpoch)>, &'static str> {
        let header = control.header();
        if !header.is_control() {
            return Err("the batch is no control batch");
        }
        if header.records == 0 {
            return Ok(None);
        }
        let records = control.records().map_err(|_| "its records do not read")?;
        let record = records.first().ok_or("it has no record")?;
        let mut key: &[u8] = record.record.key.as_deref().ok_or("it has no key")?;
        let mut value: &[u8] = record.record.value.as_deref().ok_or("it has no value")?;
        let version = key.try_get_i16().map_err(|_| "its key is cut")?;
        let kind = key.try_get_i16().map_err(|_| "its key is cut")?;
        let value_version = value.try_get_i16().map_err(|_| "its value is cut")?;
        let coordinator = value.try_get_i32().map_err(|_| "its value is cut")?;
        if version < 0 || value_version < 0 {
            return Err("its version is negative");
        }
        let marker = match kind {
            0 => Self::Abort,
            1 => Self::Commit,
            _ => return Err("its type is not abort or commit"),
        };
        Ok(Some((marker, CoordinatorEpoch(coordinator))))
    }
}

/// A transaction that a marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    producer: ProducerId,
    first: Offset,
    marker: Offset,
}

/// Ended transactions that went for the bound while perhaps not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beyond {
    /// The smallest first offset.
    first: Offset,
    /// The last marker.
    marker: Offset,
}

/// The transactions of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    open: HashMap<ProducerId, Offset>,
    /// The same, by first offset.
    by_first: BTreeSet<(Offset, ProducerId)>,
    /// In the order of markers.
    ended: VecDeque<Ended>,
    beyond: Option<Beyond>,
    /// All that ended at or above are in `ended`.
    ended_from: Offset,
}

impl Transactions {
    /// How many are open.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// The first offset of the producer's open transaction.
    #[must_use]
    pub(crate) fn first_of(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    /// Whether the batch opens none, or one that there is room for.
    #[must_use]
    pub(crate) fn has_room(&self, header: &BatchHeader) -> bool {
        let opens = header.is_transactional() && !header.is_control();
        let Some(stamp) = header.producer.filter(|_| opens) else {
            return true;
        };
        self.open.len() < OPEN_MAX || self.open.contains_key(&stamp.id)
    }

    /// Below it everything is decided and committed.
    #[must_use]
    pub(crate) fn last_stable(&self, high_watermark: Offset) -> Offset {
        let open = self.by_first.first().map(|&(first, _)| first);
        let undecided = self.ended.iter().rev();
        let undecided = undecided.take_while(|ended| ended.marker >= high_watermark);
        let beyond = self.beyond.filter(|b| b.marker >= high_watermark);
        undecided
            .map(|ended| ended.first)
            .chain(open)
            .chain(beyond.map(|b| b.first))
            .fold(high_watermark, Offset::min)
    }

    /// Takes note of a stored batch that is no marker.
    pub(super) fn note(&mut self, header: &BatchHeader) {
        let Some(stamp) = header.producer.filter(|_| header.is_transactional()) else {
            return;
        };
        if !self.open.contains_key(&stamp.id) {
            self.insert_open(stamp.id, header.base_offset);
        }
    }

    /// Takes note of a stored marker; answers what it aborted. One that ends nothing leaves nothing.
    pub(super) fn note_marker(
        &mut self,
        producer: ProducerId,
        marker: Marker,
        at: Offset,
    ) -> Option<Aborted> {
        let first = self.open.remove(&producer)?;
        self.by_first.remove(&(first, producer));
        if self.ended.len() >= ENDED_MAX {
            self.drop_oldest_ended();
        }
        self.ended.push_back(Ended {
            producer,
            first,
            marker: at,
        });
        let open = self.by_first.first().map(|&(first, _)| first);
        let behind = at.plus(1);
        (marker == Marker::Abort).then(|| Aborted {
            producer,
            first,
            last: at,
            stable: open.map_or(behind, |first| first.min(behind)),
        })
    }

    fn insert_open(&mut self, producer: ProducerId, first: Offset) {
        if let Some(other) = self.open.insert(producer, first) {
            self.by_first.remove(&(other, producer));
        }
        self.by_first.insert((first, producer));
    }

    fn drop_oldest_ended(&mut self) {
        let Some(oldest) = self.ended.pop_front() else {
            return;
        };
        self.ended_from = self.ended_from.max(oldest.marker.plus(1));
        let first = self
            .beyond
            .map_or(oldest.first, |b| b.first.min(oldest.first));
        self.beyond = Some(Beyond {
            first,
            marker: oldest.marker,
        });
    }

    /// The high watermark is `at`: what ended below will not be undone.
    pub(crate) fn committed_to(&mut self, at: Offset) {
        while let Some(ended) = self.ended.front().filter(|ended| ended.marker < at) {
            self.ended_from = self.ended_from.max(ended.marker.plus(1));
            self.ended.pop_front();
        }
        self.beyond = self.beyond.filter(|b| b.marker >= at);
    }

    /// Forgets what began at or above `end` and opens again what ended there. `false`: something
    /// ended there that is not kept.
    #[must_use]
    pub(super) fn truncate(&mut self, end: Offset) -> bool {
        while let Some(&(first, producer)) = self.by_first.last().filter(|open| open.0 >= end) {
            self.by_first.remove(&(first, producer));
            self.open.remove(&producer);
        }
        while let Some(&ended) = self.ended.back().filter(|ended| ended.marker >= end) {
            self.ended.pop_back();
            if ended.first < end {
                self.insert_open(ended.producer, ended.first);
            }
        }
        self.ended_from <= end
    }

    /// Drops what ended below `start`. What is open, or ends above, begins at `start` from now on.
    pub(super) fn drop_below(&mut self, start: Offset) {
        while let Some(&(first, producer)) = self.by_first.first().filter(|open| open.0 < start) {
            self.by_first.remove(&(first, producer));
            self.insert_open(producer, start);
        }
        self.committed_to(start);
        for ended in &mut self.ended {
            ended.first = ended.first.max(start);
        }
        if let Some(beyond) = &mut self.beyond {
            beyond.first = beyond.first.max(start);
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_count(out, self.by_first.len());
        let mut before = Offset(0);
        for &(first, producer) in &self.by_first {
            put_above(out, first.0, before.0);
            put(out, producer.0);
            before = first;
        }
        put(out, self.ended_from.0);
        put_count(out, usize::from(self.beyond.is_some()));
        if let Some(beyond) = self.beyond {
            put(out, beyond.first.0);
            put_above(out, beyond.marker.0, beyond.first.0);
        }
        put_count(out, self.ended.len());
        before = Offset(0);
        for ended in &self.ended {
            put_above(out, ended.marker.0, before.0);
            put_above(out, ended.marker.0, ended.first.0);
            put(out, ended.producer.0);
            before = ended.marker;
        }
    }

    pub(super) fn decode(input: &mut Reader<'_>) -> Result<Self, String> {
        let mut read = Self::default();
        let mut before = Offset(0);
        for _ in 0..input.count(OPEN_BYTES_MIN)? {
            before = input.offset(before)?;
            let producer = producer(input)?;
            if read.open.contains_key(&producer) {
                return Err(format!("{producer} has two open transactions"));
            }
            read.insert_open(producer, before);
        }
        read.ended_from = input.offset(Offset(0))?;
        if input.small::<u8>("a flag")? != 0 {
            let first = input.offset(Offset(0))?;
            let marker = input.offset(first)?;
            read.beyond = Some(Beyond { first, marker });
        }
        let count = input.count(ENDED_BYTES_MIN)?;
        if count > ENDED_MAX {
            return Err(format!("{count} ended transactions"));
        }
        before = Offset(0);
        for _ in 0..count {
            let marker = input.offset(before)?;
            let first = input.offset_below(marker)?;
            let producer = producer(input)?;
            read.ended.push_back(Ended {
                producer,
                first,
                marker,
            });
            before = marker;
        }
        Ok(read)
    }
}

fn producer(input: &mut Reader<'_>) -> Result<ProducerId, String> {
    input.above(0, 0, "a producer's id").map(ProducerId)
}

#[cfg(test)]
mod tests;
