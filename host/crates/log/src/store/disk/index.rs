//! Where the batches of each partition are within one segment: kept while it is written, stored
//! beside it when it closes, loaded again when it is read.
//!
//! A stored index is a checksum and varints; it says what the segment's entries come to, so that a
//! start reads it instead of the segment. `begins` is where the partition ended before: if the
//! segments before end below, something is missing.

use std::collections::BTreeMap;

use wstream_record::{BatchHeader, Offset, Timestamp};

use super::form;
use super::layout::{put_key, take_key};
use crate::numbers::{Reader, put, put_count};
use crate::store::{Aborted, PartitionKey, aborted};

/// Bytes of a stretch that retention can remove by itself.
const STRETCH_BYTES: u64 = 1 << 20;
/// Bytes of a stored segment's number, and of a partition and a place at least.
const ID_BYTES: usize = 8;
const PART_BYTES_MIN: usize = 28;
const PLACE_BYTES_MIN: usize = 6;

/// Some batches of one partition that lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) first: Offset,
    pub(super) next: Offset,
    /// The largest timestamp of a record.
    pub(super) largest: Timestamp,
    /// The value, or the first of its chunks.
    pub(super) value: u32,
    /// Where in the value.
    pub(super) at: u32,
    pub(super) bytes: u32,
    /// How many records have these offsets; markers of transactions are none.
    pub(super) records: u32,
}

impl Place {
    fn has_gaps(&self) -> bool {
        self.records != offsets_in(self.first, self.next)
    }
}

/// How many records a batch holds for readers.
pub(super) fn records_of(header: &BatchHeader) -> u32 {
    let records = if header.is_control() {
        0
    } else {
        header.records
    };
    u32::try_from(records).unwrap_or(0)
}

/// Offsets from `first` to below `next`.
pub(super) fn offsets_in(first: Offset, next: Offset) -> u32 {
    u32::try_from(next.0.saturating_sub(first.0).max(0)).unwrap_or(u32::MAX)
}

/// What a segment says of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartIndex {
    /// The partition's end when the segment began to speak of it.
    pub(super) begins: Offset,
    /// It began anew here, at `begins`: nothing that earlier segments hold counts.
    pub(super) reset: bool,
    /// Of what earlier segments hold, only what lies below counts.
    pub(super) cut: Option<Offset>,
    /// The log start, once it was raised or reset here.
    pub(super) start: Option<Offset>,
    /// The partition's end.
    pub(super) end: Offset,
    pub(super) high_watermark: Option<Offset>,
    pub(super) gone: bool,
    pub(super) places: Vec<Place>,
    /// When the newest batch was appended.
    pub(super) appended: Timestamp,
    /// What the markers in it aborted, in their order.
    pub(super) aborted: Vec<Aborted>,
}

impl PartIndex {
    pub(super) fn new(begins: Offset) -> Self {
        Self {
            begins,
            reset: false,
            cut: None,
            start: None,
            end: begins,
            high_watermark: None,
            gone: false,
            places: Vec::new(),
            appended: Timestamp::NONE,
            aborted: Vec::new(),
        }
    }

    /// Takes up a place behind all others.
    pub(super) fn push(&mut self, place: Place, appended: Timestamp) {
        self.end = place.next;
        self.appended = self.appended.max(appended);
        if let Some(last) = self.places.last_mut() {
            let joined = last.value == place.value
                && last.next == place.first
                && last.at.checked_add(last.bytes) == Some(place.at);
            if joined {
                last.next = place.next;
                last.bytes += place.bytes;
                last.records = last.records.saturating_add(place.records);
                last.largest = last.largest.max(place.largest);
                return;
            }
        }
        self.places.push(place);
    }

    /// What lies at or above `end`, a boundary of batches, is gone. The place that it cuts keeps its
    /// bytes: readers stop at its `next`.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.places.retain(|place| place.first < end);
        if let Some(last) = self.places.last_mut() {
            last.next = last.next.min(end);
            last.records = last.records.min(offsets_in(last.first, last.next));
        }
        if self.reset {
            self.begins = self.begins.min(end);
        } else if end < self.begins {
            self.cut = Some(self.cut.map_or(end, |cut| cut.min(end)));
        }
        self.end = end;
        aborted::truncate(&mut self.aborted, end);
        self.high_watermark = self.high_watermark.map(|at| at.min(end));
    }

    /// The partition begins anew at `start`.
    pub(super) fn reset(&mut self, start: Offset) {
        self.places.clear();
        self.aborted.clear();
        self.reset = true;
        self.cut = None;
        self.begins = start;
        self.start = Some(start);
        self.end = start;
        self.high_watermark = Some(start);
        self.gone = false;
    }

    /// What it says besides where its batches are and what was aborted.
    pub(super) fn without_places(&self) -> Self {
        Self {
            places: Vec::new(),
            aborted: Vec::new(),
            ..*self
        }
    }

    /// Bytes of the batches.
    pub(super) fn bytes(&self) -> u64 {
        self.places.iter().map(|p| u64::from(p.bytes)).sum()
    }

    /// The place that holds `from`, or the first after it.
    pub(super) fn find(&self, from: Offset) -> usize {
        self.places.partition_point(|place| place.next <= from)
    }

    /// The stretches that retention can remove by themselves.
    pub(super) fn stretches(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for place in &self.places {
            let bytes = u64::from(place.bytes);
            match stretches.last_mut() {
                Some(last) if last.bytes + bytes <= STRETCH_BYTES => {
                    last.next = place.next;
                    last.bytes += bytes;
                    last.records = last.records.saturating_add(place.records);
                    last.largest = last.largest.max(place.largest);
                }
                _ => stretches.push(Stretch {
                    first: place.first,
                    next: place.next,
                    bytes,
                    records: place.records,
                    largest: place.largest,
                    appended: self.appended,
                }),
            }
        }
        stretches
    }
}

/// Some places of one partition in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: Offset,
    pub(super) next: Offset,
    pub(super) bytes: u64,
    pub(super) records: u32,
    pub(super) largest: Timestamp,
    pub(super) appended: Timestamp,
}

/// A segment's index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    /// Values that count.
    pub(super) values: u32,
    /// Entries of batches in all values: how mixed they are.
    pub(super) runs: u32,
    /// Whether it was sorted by partition.
    pub(super) settled: bool,
    pub(super) begun: Timestamp,
    /// The segments that it took the place of.
    pub(super) replaces: Vec<u64>,
    pub(super) parts: BTreeMap<PartitionKey, PartIndex>,
    /// Partitions that were compacted when it was written, and when a tombstone left in them goes;
    /// not stored.
    pub(super) compacted: BTreeMap<PartitionKey, Option<Timestamp>>,
}

impl SegmentIndex {
    /// Bytes of all batches.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.values().map(PartIndex::bytes).sum()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = form::begin();
        put(&mut out, i64::from(self.values));
        put(&mut out, i64::from(self.runs));
        out.push(u8::from(self.settled));
        put(&mut out, self.begun.0);
        put_count(&mut out, self.replaces.len());
        for id in &self.replaces {
            out.extend_from_slice(&id.to_be_bytes());
        }
        put_count(&mut out, self.parts.len());
        for (key, part) in &self.parts {
            put_key(&mut out, *key);
            part.encode(&mut out);
        }
        form::close(out)
    }

    /// Reads a stored index; whatever the bytes are.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut input = form::open(bytes)?;
        let values = input.small("a count of values")?;
        let runs = input.small("a count of runs")?;
        let settled = input.byte()? != 0;
        let begun = Timestamp(input.number()?);
        let mut index = Self {
            values,
            runs,
            settled,
            begun,
            ..Self::default()
        };
        for _ in 0..input.count(ID_BYTES)? {
            let id = input.bytes(ID_BYTES)?;
            let id = id.try_into().expect("it has the length that was asked for");
            index.replaces.push(u64::from_be_bytes(id));
        }
        for _ in 0..input.count(PART_BYTES_MIN)? {
            let key = input.taken(take_key)?;
            index.parts.insert(key, PartIndex::decode(&mut input)?);
        }
        input.finish()?;
        Ok(index)
    }
}

impl PartIndex {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.begins.0);
        put_option(out, self.cut);
        put_option(out, self.start);
        put(out, self.end.0);
        put_option(out, self.high_watermark);
        let aborts = !self.aborted.is_empty();
        // As a rule each offset has its record, and that is not said.
        let counted = self.places.iter().any(Place::has_gaps);
        let flags = [self.gone, self.reset, aborts, counted];
        let flags = flags
            .iter()
            .rev()
            .fold(0, |bits, &flag| (bits << 1) | u8::from(flag));
        out.push(flags);
        put(out, self.appended.0);
        put_count(out, self.places.len());
        let (mut offset, mut largest, mut value) = (self.begins.0, 0, 0);
        for place in &self.places {
            put(out, place.first.0.wrapping_sub(offset));
            put(out, place.next.0.wrapping_sub(place.first.0));
            put(out, place.largest.0.wrapping_sub(largest));
            put(out, i64::from(place.value) - value);
            put(out, i64::from(place.at));
            put(out, i64::from(place.bytes));
            if counted {
                put(out, i64::from(place.records));
            }
            offset = place.next.0;
            largest = place.largest.0;
            value = i64::from(place.value);
        }
        if aborts {
            aborted::encode(&self.aborted, out);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, String> {
        let mut part = Self::new(Offset(input.number()?));
        part.cut = take_option(input)?;
        part.start = take_option(input)?;
        part.end = Offset(input.number()?);
        part.high_watermark = take_option(input)?;
        let flags = input.byte()?;
        part.gone = flags & 1 != 0;
        part.reset = flags & 2 != 0;
        let counted = flags & 8 != 0;
        part.appended = Timestamp(input.number()?);
        let (mut offset, mut largest, mut value) = (part.begins.0, 0_i64, 0_i64);
        for _ in 0..input.count(PLACE_BYTES_MIN)? {
            let first = offset.wrapping_add(input.number()?);
            let next = first.wrapping_add(input.number()?);
            largest = largest.wrapping_add(input.number()?);
            value = value.wrapping_add(input.number()?);
            let (first, next) = (Offset(first), Offset(next));
            let place = Place {
                first,
                next,
                largest: Timestamp(largest),
                value: u32::try_from(value).map_err(|_| format!("a value's number is {value}"))?,
                at: input.small("a place in a value")?,
                bytes: input.small("a place's length")?,
                records: match counted {
                    true => input.small("a place's records")?,
                    false => offsets_in(first, next),
                },
            };
            if place.next <= place.first {
                return Err("a place holds nothing".to_owned());
            }
            offset = next.0;
            part.places.push(place);
        }
        if flags & 4 != 0 {
            part.aborted = aborted::decode(input)?;
        }
        Ok(part)
    }
}

fn put_option(out: &mut Vec<u8>, offset: Option<Offset>) {
    put(out, offset.map_or(-1, |at| at.0));
}

fn take_option(input: &mut Reader<'_>) -> Result<Option<Offset>, String> {
    let offset = input.number()?;
    Ok((offset >= 0).then_some(Offset(offset)))
}

#[cfg(test)]
mod tests {
    use wstream_record::{PartitionId, ProducerId, TopicId};

    use super::*;
    use crate::testing::Random;

    fn index(random: &mut Random) -> SegmentIndex {
        let number = |random: &mut Random| i64::try_from(random.below(1 << 40)).unwrap();
        let mut index = SegmentIndex {
            values: 77,
            runs: 80,
            settled: true,
            begun: Timestamp(number(random)),
            replaces: vec![1, u64::MAX],
            ..SegmentIndex::default()
        };
        for p in 0..random.below(20) {
            let key = PartitionKey {
                topic: TopicId([u8::try_from(p).unwrap(); 16]),
                partition: PartitionId(i32::try_from(p).unwrap()),
            };
            let mut part = PartIndex::new(Offset(number(random)));
            part.cut = (random.below(2) == 0).then_some(Offset(0));
            part.appended = Timestamp(number(random));
            let mut at = part.begins;
            for _ in 0..random.below(30) {
                let first = at.plus(i64::try_from(random.below(3)).unwrap());
                let offsets = i64::try_from(1 + random.below(1 << 30)).unwrap();
                at = first.plus(offsets);
                let gaps = if p % 2 == 0 { 0 } else { random.below(2) };
                let records = offsets - i64::try_from(gaps).unwrap();
                let place = Place {
                    first,
                    next: at,
                    largest: Timestamp(number(random) - 5),
                    value: u32::try_from(random.below(1 << 30)).unwrap(),
                    at: u32::try_from(random.below(1 << 17)).unwrap(),
                    bytes: u32::try_from(random.below(1 << 30)).unwrap(),
                    records: u32::try_from(records).unwrap(),
                };
                part.places.push(place);
                part.end = at;
                if random.below(3) == 0 {
                    part.aborted.push(Aborted {
                        producer: ProducerId(number(random)),
                        first,
                        last: at,
                        stable: at.plus(1),
                    });
                }
            }
            index.parts.insert(key, part);
        }
        index
    }

    #[test]
    fn an_index_survives_its_encoding_and_damage_is_noticed() {
        for seed in 0..50 {
            let mut random = Random::new(seed + 1);
            let index = index(&mut random);
            let bytes = index.encode();
            assert_eq!(SegmentIndex::decode(&bytes), Ok(index), "seed {seed}");
            for _ in 0..50 {
                let mut other = bytes.clone();
                let at = random.below(other.len());
                other[at] ^= 1 << random.below(8);
                assert!(SegmentIndex::decode(&other).is_err(), "seed {seed} at {at}");
                assert!(SegmentIndex::decode(&bytes[..at]).is_err());
            }
        }
    }
}
