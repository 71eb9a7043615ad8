//! Reads a stream: from any thread, beside the writer and beside whoever removes or replaces
//! segments.
//!
//! A partition's spans say which segment holds an offset, the segment's index where in it. Whoever
//! finds that a segment was removed meanwhile looks again. What does not read is told, counted, and
//! passed over: a reader goes on behind it.

use std::ops::ControlFlow;

use bytes::Bytes;
use wstream_record::{BatchError, ByteSize, Offset, RecordBatch, Timestamp};

use super::held::Span;
use super::index::records_of;
use super::layout::each_batch;
use super::segment::Trouble;
use super::stream::Stream;
use crate::errors::StoreError;
use crate::store::find::find_in_batch;
use crate::store::{Found, PartitionKey, Stored};

/// How often a reader looks again for a segment that was replaced meanwhile.
pub(super) const ATTEMPTS: usize = 20;
/// Bytes read at once by those who look at all batches.
const LOOK_BYTES: ByteSize = ByteSize::mib(1);

/// A read under way.
struct Reading {
    key: PartitionKey,
    end: Offset,
    limit: u64,
    bytes: u64,
    stored: Stored,
    full: bool,
}

impl Stream {
    /// As `LogStore::read`.
    pub(super) fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Stored, StoreError> {
        self.check_open()?;
        let mut reading = Reading {
            key,
            end,
            limit: limit.0,
            bytes: 0,
            stored: Stored {
                parts: Vec::new(),
                next: from,
            },
            full: false,
        };
        let mut attempts = 0;
        loop {
            match self.read_on(&mut reading) {
                Ok(()) => return Ok(reading.stored),
                Err(_) if !reading.stored.parts.is_empty() => return Ok(reading.stored),
                Err(Trouble::Removed) if attempts < ATTEMPTS => attempts += 1,
                Err(trouble) => return Err(self.error(trouble)),
            }
        }
    }

    pub(super) fn error(&self, trouble: Trouble) -> StoreError {
        let path = self.node.disk.path(&self.root);
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::Removed => StoreError::failed("read", path, &"its segment is being replaced"),
            Trouble::Damaged(reason) => StoreError::damaged(path, &reason),
        }
    }

    /// The span that holds `from` or the first after it, and where the partition begins and ends.
    fn span(&self, key: PartitionKey, from: Offset) -> (Option<Span>, Offset, Offset) {
        let Some(held) = self.held(key) else {
            return (None, from, from);
        };
        let held = held.lock();
        let span = held.spans.get(held.find(from.max(held.start)));
        (span.cloned(), held.start, held.end)
    }

    fn read_on(&self, reading: &mut Reading) -> Result<(), Trouble> {
        while !reading.full {
            let at = reading.stored.next;
            let (span, start, held_end) = self.span(reading.key, at);
            let at = at.max(start.min(reading.end));
            reading.stored.next = at;
            let Some(span) = span.filter(|span| span.first < reading.end) else {
                let all = reading.end.min(held_end);
                reading.stored.next = at.max(all);
                return Ok(());
            };
            if at >= reading.end {
                return Ok(());
            }
            self.read_span(reading, &span, at.max(span.first))?;
        }
        Ok(())
    }

    fn read_span(&self, reading: &mut Reading, span: &Span, from: Offset) -> Result<(), Trouble> {
        let disk = &*self.node.disk;
        let stop = reading.end.min(span.next);
        let room = reading.limit.saturating_sub(reading.bytes);
        let places = span.segment.places(disk, reading.key, from, stop, room);
        let places = match places {
            Ok(places) => places,
            Err(Trouble::Damaged(reason)) => {
                self.harm(span, reading.key, (from, span.next), &reason);
                reading.stored.next = stop;
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let mut at = from;
        for place in &places {
            let behind = place.next.min(stop);
            match span.segment.batches(disk, &self.node.slots, place) {
                Ok(bytes) => match reading.take(&bytes, at, stop) {
                    Ok(()) if reading.full => return Ok(()),
                    Ok(()) => {}
                    Err(error) => {
                        let lost = (place.first, behind);
                        self.harm(span, reading.key, lost, &error.to_string());
                    }
                },
                Err(Trouble::Damaged(reason)) => {
                    self.harm(span, reading.key, (place.first, behind), &reason);
                }
                Err(other) => return Err(other),
            }
            at = behind;
            reading.stored.next = reading.stored.next.max(behind);
        }
        // Only what was picked within the limit was read: the next round goes on from there.
        if places.is_empty() || at >= span.next {
            reading.stored.next = reading.stored.next.max(stop);
        }
        Ok(())
    }

    /// Tells of offsets that do not read.
    pub(super) fn harm(
        &self,
        span: &Span,
        key: PartitionKey,
        (first, next): (Offset, Offset),
        reason: &str,
    ) {
        let missing = (Some(key), first, next);
        self.damage
            .in_segment(&*self.node.disk, &span.segment, missing, reason);
    }

    /// As `LogStore::look`.
    pub(super) fn look(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut at = from;
        while at < end {
            let stored = self.read(key, at, end, LOOK_BYTES)?;
            for part in &stored.parts {
                let mut ended = false;
                let walked = each_batch(part, |batch, _| {
                    ended = look(&batch).is_break();
                    !ended
                });
                walked.map_err(|e| StoreError::damaged(self.node.disk.path(&self.root), &e))?;
                if ended {
                    return Ok(());
                }
            }
            if stored.next <= at {
                return Ok(());
            }
            at = stored.next;
        }
        Ok(())
    }

    /// As `LogStore::offset_for`.
    pub(super) fn offset_for(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        self.check_open()?;
        let mut attempts = 0;
        loop {
            match self.find_time(key, from, end, at) {
                Ok(found) => return Ok(found),
                Err(Trouble::Removed) if attempts < ATTEMPTS => attempts += 1,
                Err(trouble) => return Err(self.error(trouble)),
            }
        }
    }

    fn find_time(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, Trouble> {
        let mut next = from;
        loop {
            let span = {
                let Some(held) = self.held(key) else {
                    return Ok(None);
                };
                let held = held.lock();
                next = next.max(held.start);
                let mut spans = held.spans.range(held.find(next)..);
                spans.find(|span| span.largest >= at).cloned()
            };
            let Some(span) = span.filter(|span| span.first < end) else {
                return Ok(None);
            };
            let stop = end.min(span.next);
            let first = next.max(span.first);
            let found = self.find_time_in(&span, key, (first, stop), (from.max(next), at))?;
            if found.is_some() {
                return Ok(found);
            }
            next = span.next;
        }
    }

    fn find_time_in(
        &self,
        span: &Span,
        key: PartitionKey,
        (first, stop): (Offset, Offset),
        (from, at): (Offset, Timestamp),
    ) -> Result<Option<Found>, Trouble> {
        let disk = &*self.node.disk;
        let places = match span.segment.places(disk, key, first, stop, u64::MAX) {
            Err(Trouble::Damaged(reason)) => {
                self.harm(span, key, (first, span.next), &reason);
                return Ok(None);
            }
            other => other?,
        };
        for place in places.iter().filter(|place| place.largest >= at) {
            let lost = (place.first, place.next.min(stop));
            let bytes = match span.segment.batches(disk, &self.node.slots, place) {
                Ok(bytes) => bytes,
                Err(Trouble::Damaged(reason)) => {
                    self.harm(span, key, lost, &reason);
                    continue;
                }
                Err(other) => return Err(other),
            };
            let mut found = Ok(None);
            let walked = each_batch(&bytes, |batch, _| {
                let header = batch.header();
                if header.base_offset >= stop {
                    return false;
                }
                if header.next_offset() > from {
                    found = find_in_batch(&batch, from, stop, at);
                }
                matches!(found, Ok(None))
            });
            match walked.and(found) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => self.harm(span, key, lost, &error.to_string()),
            }
        }
        Ok(None)
    }

    /// As `LogStore::boundary`.
    pub(super) fn boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, StoreError> {
        self.check_open()?;
        let mut attempts = 0;
        loop {
            match self.find_boundary(key, at) {
                Ok(found) => return Ok(found),
                Err(Trouble::Removed) if attempts < ATTEMPTS => attempts += 1,
                Err(trouble) => return Err(self.error(trouble)),
            }
        }
    }

    fn find_boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, Trouble> {
        let (span, ..) = self.span(key, at);
        let Some(span) = span.filter(|span| span.first < at) else {
            return Ok(at);
        };
        let disk = &*self.node.disk;
        let places = span.segment.places(disk, key, at, at.plus(1), 0)?;
        let mut boundary = at;
        for place in places.iter().filter(|place| place.first < at) {
            let bytes = span.segment.batches(disk, &self.node.slots, place)?;
            let walked = each_batch(&bytes, |batch, _| {
                let header = batch.header();
                let holds = header.base_offset < at && at < header.next_offset();
                if holds {
                    boundary = header.base_offset;
                }
                !holds
            });
            walked.map_err(|error| Trouble::Damaged(error.to_string()))?;
        }
        Ok(boundary)
    }
}

impl Stream {
    /// Counts again what is left of stretches that a truncation has cut.
    pub(super) fn recount(&self, key: PartitionKey) {
        let Some(held) = self.held(key) else { return };
        let cut: Vec<Span> = held
            .lock()
            .spans
            .iter()
            .filter(|s| s.cut)
            .cloned()
            .collect();
        for span in cut {
            match self.count(key, &span) {
                Ok((bytes, largest, records)) => {
                    let mut held = held.lock();
                    let mut spans = held.spans.iter_mut();
                    let Some(now) = spans.find(|s| s.first == span.first && s.next == span.next)
                    else {
                        continue;
                    };
                    let less = now.bytes.saturating_sub(bytes);
                    now.bytes = bytes;
                    now.largest = largest;
                    let fewer = u64::from(now.records.saturating_sub(records));
                    now.records = now.records.min(records);
                    held.records = held.records.saturating_sub(fewer);
                    held.bytes = held.bytes.saturating_sub(less);
                    span.segment.forget(less);
                }
                Err(Trouble::Damaged(reason)) => {
                    self.harm(&span, key, (span.first, span.next), &reason);
                }
                Err(_) => {}
            }
        }
    }

    /// Bytes, largest time and number of records of what a cut span still holds.
    fn count(&self, key: PartitionKey, span: &Span) -> Result<(u64, Timestamp, u32), Trouble> {
        let disk = &*self.node.disk;
        let places = span
            .segment
            .places(disk, key, span.first, span.next, u64::MAX)?;
        let (mut bytes, mut largest, mut records) = (0, Timestamp(i64::MIN), 0_u32);
        for place in &places {
            let run = span.segment.batches(disk, &self.node.slots, place)?;
            let (mut kept, mut newest, mut held) = (0_usize, Timestamp(i64::MIN), 0_u32);
            let walked = each_batch(&run, |batch, at| {
                let holds = batch.header().next_offset() <= span.next;
                if holds {
                    kept = at + batch.bytes().len();
                    newest = newest.max(batch.header().max_timestamp);
                    held = held.saturating_add(records_of(batch.header()));
                }
                holds
            });
            walked.map_err(|error| Trouble::Damaged(error.to_string()))?;
            bytes += kept as u64;
            largest = largest.max(newest);
            records = records.saturating_add(held);
            let kept = u32::try_from(kept).unwrap_or(u32::MAX);
            span.segment.grow(|index| {
                let part = index.parts.get_mut(&key);
                let places = part.into_iter().flat_map(|part| &mut part.places);
                for place in places.filter(|p| p.first == place.first) {
                    place.bytes = kept;
                    place.largest = newest;
                    place.records = held;
                }
            });
        }
        Ok((bytes, largest, records))
    }
}

impl Reading {
    /// Takes the batches of a run that hold what lies in [from, stop), within the limit.
    fn take(&mut self, run: &Bytes, from: Offset, stop: Offset) -> Result<(), BatchError> {
        let (mut begin, mut end) = (None, 0);
        each_batch(run, |batch, at| {
            let header = batch.header();
            if header.next_offset() <= from {
                return true;
            }
            if header.next_offset() > stop {
                // It is gone, or the end of the read lies within it: then it is left for another one.
                if stop >= self.end {
                    self.stored.next = self.stored.next.max(header.base_offset);
                    self.full = true;
                }
                return false;
            }
            let bytes = batch.bytes().len();
            let first = begin.is_none() && self.stored.parts.is_empty();
            if !first && self.bytes + bytes as u64 > self.limit {
                self.full = true;
                return false;
            }
            self.bytes += bytes as u64;
            begin.get_or_insert(at);
            end = at + bytes;
            self.stored.next = header.next_offset();
            true
        })?;
        if let Some(begin) = begin {
            self.stored.parts.push(run.slice(begin..end));
        }
        Ok(())
    }
}
