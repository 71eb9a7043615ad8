//! Reads a segment from its values: checks them, takes up what they say, and shows it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use wstream_record::{Offset, Timestamp};

use super::held::Held;
use super::index::{PartIndex, Place, SegmentIndex, records_of};
use super::layout::{Said, Unpacked, Unpacker, each_batch};
use super::segment::Segment;
use super::stream::{Stream, apply, largest};
use crate::errors::StoreError;
use crate::sled::{Database, Fault, Value};
use crate::store::{Entry, PartitionKey, Replay, ReplayEntry, aborted};

/// A segment that is read from its values.
pub(super) struct Replayed<'a> {
    pub(super) stream: &'a Stream,
    pub(super) segment: &'a Arc<Segment>,
    pub(super) replay: &'a mut dyn Replay,
    pub(super) index: SegmentIndex,
    /// What its stored index says, if it is settled.
    pub(super) settled: SegmentIndex,
    /// Where partitions go on that have a gap.
    pub(super) skips: HashMap<PartitionKey, Offset>,
    pub(super) broken: Vec<u32>,
}

impl Replayed<'_> {
    /// Reads the values below `limit`; answers how many there are.
    pub(super) fn run(
        &mut self,
        database: &dyn Database,
        limit: Option<u32>,
    ) -> Result<u32, StoreError> {
        let limit = limit.unwrap_or(u32::MAX);
        let mut unpacker = Unpacker::default();
        let mut expected = 0_u32;
        let mut look = |value: Result<Value, u32>| {
            let number = value.as_ref().map_or_else(|&n| n, |value| value.number);
            if number >= limit {
                return ControlFlow::Break(());
            }
            self.broken.extend(expected..number);
            expected = number + 1;
            match value.map(|v| unpacker.push(v.number, &v.head, &v.bytes)) {
                Ok(Ok(Some(unpacked))) => self.take(unpacked),
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => self.broken.push(number),
            }
            ControlFlow::Continue(())
        };
        let read = database.each(0, &mut look);
        let path = self.stream.node.disk.path(&self.segment.name);
        match read {
            Ok(()) => Ok(database.values().min(limit)),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Broken(reason)) => Err(StoreError::damaged(path, &reason)),
        }
    }

    /// A settled segment's index says what happened before its batches...
    pub(super) fn before(&mut self) {
        let parts = self.settled.parts.iter();
        let parts: Vec<_> = parts
            .map(|(key, part)| (*key, part.without_places()))
            .collect();
        for (key, part) in &parts {
            let held = self.stream.held_or_new(*key);
            let end = held.lock().end;
            if end < part.begins && !part.reset {
                self.stream.hole(*key, end, part.begins);
                held.lock().end = part.begins;
            }
            if part.reset {
                self.entry(*key, &Entry::Reset(part.begins));
            } else if let Some(cut) = part.cut {
                self.entry(*key, &Entry::End(cut));
            }
        }
    }

    /// ... and what behind them.
    pub(super) fn after(&mut self) {
        let parts = self.settled.parts.iter();
        let parts: Vec<_> = parts
            .map(|(key, part)| (*key, part.without_places()))
            .collect();
        for (key, part) in &parts {
            if part.gone {
                self.entry(*key, &Entry::Gone);
                continue;
            }
            let held = self.stream.held_or_new(*key);
            {
                let mut held = held.lock();
                held.end = held.end.max(part.end);
                let own = part_of(&mut self.index, *key, &held);
                own.end = held.end;
            }
            if let Some(start) = part.start {
                self.entry(*key, &Entry::Start(start));
            }
            if let Some(at) = part.high_watermark {
                self.entry(*key, &Entry::HighWatermark(at));
            }
        }
    }

    /// A closed segment's index says what was aborted, whatever of it still reads.
    pub(super) fn take_aborted(&self, stored: &SegmentIndex) {
        for (key, part) in &stored.parts {
            if let Some(held) = self.stream.held(*key) {
                held.lock().take_aborted(self.segment, &part.aborted);
            }
        }
    }

    /// What some of the segment's values said does not read: its stored index knows where the
    /// partitions begin and end.
    pub(super) fn take_ends(&mut self, stored: &SegmentIndex) {
        for (key, part) in &stored.parts {
            if part.gone {
                self.entry(*key, &Entry::Gone);
                continue;
            }
            let held = self.stream.held_or_new(*key);
            {
                let mut held = held.lock();
                if held.end < part.end {
                    self.stream.hole(*key, held.end, part.end);
                    held.end = part.end;
                }
                part_of(&mut self.index, *key, &held).end = held.end;
            }
            if let Some(start) = part.start {
                self.entry(*key, &Entry::Start(start));
            }
        }
    }

    fn take(&mut self, unpacked: Unpacked) {
        for (key, said) in unpacked.entries {
            match said {
                Said::Batches { bytes, at, values } => {
                    let to = (unpacked.value, at, values);
                    let skip = self.skips.remove(&key);
                    self.batches(key, &bytes, to, unpacked.appended, skip);
                }
                Said::Skip(to) => {
                    self.skips.insert(key, to);
                }
                Said::Start(at) => self.entry(key, &Entry::Start(at)),
                Said::End(at) => self.entry(key, &Entry::End(at)),
                Said::Reset(at) => self.entry(key, &Entry::Reset(at)),
                Said::HighWatermark(at) => self.entry(key, &Entry::HighWatermark(at)),
                Said::Gone => self.entry(key, &Entry::Gone),
            }
        }
    }

    fn batches(
        &mut self,
        key: PartitionKey,
        bytes: &Bytes,
        (value, at, _values): (u32, u32, u32),
        appended: Timestamp,
        skip: Option<Offset>,
    ) {
        let settled = self.settled.parts.get(&key);
        let appended = settled.map_or(appended, |part| part.appended);
        let held = self.stream.held_or_new(key);
        let mut held = held.lock();
        self.index.runs = self.index.runs.saturating_add(1);
        let part = part_of(&mut self.index, key, &held);
        let replay = &mut *self.replay;
        let (stream, segment) = (self.stream, self.segment);
        let walked = each_batch(bytes, |batch, inside| {
            let header = batch.header();
            let meant = skip == Some(header.base_offset);
            if header.base_offset < held.end {
                return true;
            }
            if header.base_offset > held.end && !meant {
                stream.hole(key, held.end, header.base_offset);
            }
            let inside = u32::try_from(inside).unwrap_or(u32::MAX);
            let place = Place {
                first: header.base_offset,
                next: header.next_offset(),
                largest: largest(&batch),
                value,
                at: at.saturating_add(inside),
                bytes: u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX),
                records: records_of(header),
            };
            held.push(segment, &place, appended);
            part.push(place, appended);
            let entry = ReplayEntry::Batch {
                header,
                control: header.is_control().then_some(&batch),
            };
            if let Some(range) = replay.entry(key, entry) {
                aborted::insert(&mut part.aborted, range);
                held.take_aborted(segment, &[range]);
            }
            segment
                .live
                .fetch_add(u64::from(place.bytes), Ordering::Relaxed);
            true
        });
        if walked.is_err() {
            self.broken.push(value);
        }
    }

    fn entry(&mut self, key: PartitionKey, entry: &Entry) {
        let held = self.stream.held_or_new(key);
        let mut guard = held.lock();
        let part = part_of(&mut self.index, key, &guard);
        apply(entry, part, &mut guard);
        drop(guard);
        match entry {
            Entry::End(at) => self.stream.is_cut(key, *at),
            Entry::Reset(_) | Entry::Gone => self.stream.is_cut(key, Offset(i64::MIN)),
            Entry::Batch(_) | Entry::Start(_) | Entry::HighWatermark(_) => {}
        }
        match entry {
            Entry::Start(at) => self.replay.entry(key, ReplayEntry::Start(*at)),
            Entry::End(at) => self.replay.entry(key, ReplayEntry::End(*at)),
            Entry::Reset(_) => self.replay.entry(key, ReplayEntry::Reset),
            Entry::Gone => {
                self.stream.drop_partition(key);
                self.replay.entry(key, ReplayEntry::Reset)
            }
            Entry::Batch(_) | Entry::HighWatermark(_) => None,
        };
    }
}

fn part_of<'a>(index: &'a mut SegmentIndex, key: PartitionKey, held: &Held) -> &'a mut PartIndex {
    let part = index.parts.entry(key);
    part.or_insert_with(|| PartIndex::new(held.end))
}
