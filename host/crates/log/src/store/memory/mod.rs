//! Keeps logs in memory until the process ends: for nodes that shall keep nothing, for tests
//! everywhere, and the measure of the disk store's behaviour.
//!
//! Clones share what they hold: a test drops what it opened over one and calls `recover` of another,
//! as a restart does. `recover` finds what was flushed and nothing else.
//! What is derived is asked for where a stream on disk would roll (by age, or after a bounded number
//! of entries), and given back with the entries that came behind.
//! It has no files, so nothing is ever missing and there is nothing to settle; `tidy` compacts.
//!
//! Locks: a stream's before the partitions'. No callback is called under one.

mod held;
mod stream;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use wstream_record::{BatchError, ByteSize, Clock, Offset, RecordBatch, Timestamp};

use self::held::{Flushed, Held};
use self::stream::{Noted, Stream};
use super::find::find_in_batch;
use super::{
    Aborted, Cleanup, Derived, Done, Entry, Extent, Found, Hole, LogStore, PartitionKey, Recovered,
    Replay, ReplayEntry, Stored, aborted,
};
use crate::errors::StoreError;

/// Bytes of a stretch that retention removes as one; a larger batch is a stretch by itself.
const STRETCH_BYTES_DEFAULT: ByteSize = ByteSize::mib(1);
/// A stream rolls once so many entries came since the last time: each is kept without its records.
const JOURNAL_ENTRIES_MAX: usize = 4_096;
/// Batches that are looked at between two looks at the lock.
const LOOK_BATCHES: usize = 64;
/// Stands for a path in messages.
const PLACE: &str = "memory";

/// All streams of a node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    stretch_bytes: u64,
    streams: Vec<Mutex<Stream>>,
    partitions: RwLock<HashMap<PartitionKey, Held>>,
    faults: Faults,
    closed: AtomicBool,
}

/// What is to go wrong next. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Planned>>);

#[derive(Debug, Default)]
struct Planned {
    write: Option<StoreError>,
    flush: Option<StoreError>,
    abandon: Option<StoreError>,
    trouble: Option<String>,
}

impl MemoryStore {
    /// An empty store with so many streams, at least one.
    pub(crate) fn new(clock: Clock, streams: usize) -> Self {
        Self::with_stretches(clock, streams, STRETCH_BYTES_DEFAULT)
    }

    /// As `new`, with another bound on what retention removes as one.
    pub(crate) fn with_stretches(clock: Clock, streams: usize, stretch_bytes: ByteSize) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                stretch_bytes: stretch_bytes.0,
                streams: (0..streams.max(1)).map(|_| Mutex::default()).collect(),
                partitions: RwLock::default(),
                faults: Faults::default(),
                closed: AtomicBool::new(false),
            }),
        }
    }

    /// What makes it fail.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    fn check_open(&self, doing: &'static str) -> Result<(), StoreError> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(StoreError::failed(doing, PLACE, &"the store is closed"));
        }
        Ok(())
    }

    fn stream(&self, number: usize, doing: &'static str) -> Result<&Mutex<Stream>, StoreError> {
        self.check_open(doing)?;
        let stream = self.shared.streams.get(number);
        stream.ok_or_else(|| StoreError::failed(doing, PLACE, &format!("no stream {number}")))
    }

    fn end_of(&self, key: PartitionKey) -> Offset {
        let partitions = self.shared.partitions.read();
        partitions.get(&key).map_or(Offset(0), |held| held.end)
    }

    /// Up to `LOOK_BATCHES` batches that overlap [from, end).
    fn some_batches(&self, key: PartitionKey, from: Offset, end: Offset) -> Vec<RecordBatch> {
        let partitions = self.shared.partitions.read();
        let Some(held) = partitions.get(&key) else {
            return Vec::new();
        };
        let batches = held.batches_from(from).take(LOOK_BATCHES);
        let below = batches.take_while(|b| b.header().base_offset < end);
        below.cloned().collect()
    }

    /// Shows what overlaps [from, end), without a lock.
    fn each_batch(
        &self,
        key: PartitionKey,
        mut from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) {
        loop {
            let batches = self.some_batches(key, from, end);
            for batch in &batches {
                if look(batch).is_break() {
                    return;
                }
                from = batch.header().next_offset();
            }
            if batches.len() < LOOK_BATCHES {
                return;
            }
        }
    }

    /// Shows one stream: what was derived with what came behind it, or all that there is.
    fn replay(&self, number: usize, stream: &Stream, replay: &mut dyn Replay) {
        let derived = stream.derived.as_ref();
        if derived.is_none_or(|derived| replay.derived(derived.clone())) {
            let mut ranges: Vec<(PartitionKey, Aborted)> = Vec::new();
            for (key, noted) in &stream.journal {
                match noted {
                    Noted::End(end) => ranges.retain(|(of, r)| of != key || r.last < *end),
                    Noted::Reset => ranges.retain(|(of, _)| of != key),
                    Noted::Batch(..) | Noted::Start(_) => {}
                }
                let range = replay.entry(*key, noted.shown());
                ranges.extend(range.map(|range| (*key, range)));
            }
            for (key, range) in ranges {
                self.note_aborted(key, range);
            }
            return;
        }
        // What was aborted is known: it was noted when it was flushed.
        let partitions = self.shared.partitions.read();
        for (&key, held) in partitions.iter() {
            if self.stream_of(key) != number {
                continue;
            }
            for batch in held.batches_from(Offset(0)) {
                replay.entry(key, Noted::of_batch(batch).shown());
            }
            if held.start > Offset(0) {
                replay.entry(key, ReplayEntry::Start(held.start));
            }
        }
    }
}

impl LogStore for MemoryStore {
    fn recover(&self, replay: &mut dyn Replay) -> Result<Vec<Recovered>, StoreError> {
        self.shared.closed.store(false, Ordering::SeqCst);
        for (number, stream) in self.shared.streams.iter().enumerate() {
            let mut stream = stream.lock();
            stream.discard();
            stream.lost = false;
            self.replay(number, &stream, replay);
        }
        let partitions = self.shared.partitions.read();
        let recovered = partitions.iter().map(|(&key, held)| Recovered {
            key,
            start: held.start,
            end: held.end,
            high_watermark: held.high_watermark,
        });
        Ok(recovered.collect())
    }

    fn streams(&self) -> usize {
        self.shared.streams.len()
    }

    fn stream_of(&self, key: PartitionKey) -> usize {
        // FNV-1a over the topic; a topic's partitions lie on the streams in turn.
        let topic = key
            .topic
            .0
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let spread = (topic >> 32) + u64::from(key.partition.0.unsigned_abs());
        usize::try_from(spread % self.shared.streams.len() as u64).unwrap_or(0)
    }

    fn write(
        &self,
        stream: usize,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        let number = stream;
        let stream = self.stream(number, "writing")?;
        let rolls = {
            let stream = stream.lock();
            let rolls = stream.roll || stream.journal.len() >= JOURNAL_ENTRIES_MAX;
            rolls && stream.flushing.is_none()
        };
        if rolls {
            let mut derived = derived();
            derived.retain(|(key, _)| self.stream_of(*key) == number);
            stream.lock().rolled(derived);
        }
        let mut stream = stream.lock();
        let planned = self.shared.faults.0.lock().write.take();
        let mut written = planned.map_or(Ok(()), Err);
        for (key, entry) in entries {
            let end = || self.end_of(*key);
            written = written.and_then(|()| stream.stage(*key, entry, end));
        }
        written.inspect_err(|_| stream.discard())
    }

    fn begin_flush(&self, stream: usize, done: &Done) -> Result<bool, StoreError> {
        let begun = self.stream(stream, "flushing")?.lock().begin_flush();
        if begun {
            done();
        }
        Ok(begun)
    }

    fn flush(&self, stream: usize) -> Result<(), StoreError> {
        let mut stream = self.stream(stream, "flushing")?.lock();
        if std::mem::take(&mut stream.lost) {
            let reason = "it was given up with what was written behind it";
            return Err(StoreError::failed("flushing", PLACE, &reason));
        }
        if let Some(error) = self.shared.faults.0.lock().flush.take() {
            stream.discard();
            stream.lost = false;
            return Err(error);
        }
        let flushed = Flushed {
            at: self.shared.clock.now(),
            generation: stream.generation,
            stretch_bytes: self.shared.stretch_bytes,
        };
        let mut partitions = self.shared.partitions.write();
        stream.showing = true;
        for (key, entry) in stream.take_staged() {
            stream.note(key, &entry, flushed.at);
            if matches!(entry, Entry::Gone) {
                partitions.remove(&key);
            } else {
                partitions.entry(key).or_default().apply(entry, flushed);
            }
        }
        stream.showing = false;
        Ok(())
    }

    fn abandon(&self, stream: usize) -> Result<(), StoreError> {
        let mut stream = self.stream(stream, "giving up")?.lock();
        if stream.showing {
            let reason = "what was flushed is shown in part";
            return Err(StoreError::failed("giving up", PLACE, &reason));
        }
        if let Some(error) = self.shared.faults.0.lock().abandon.take() {
            return Err(error);
        }
        stream.discard();
        stream.lost = false;
        Ok(())
    }

    fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Stored, StoreError> {
        self.check_open("reading")?;
        let partitions = self.shared.partitions.read();
        let held = partitions.get(&key);
        let mut stored = Stored {
            parts: Vec::new(),
            next: from,
        };
        let mut bytes = 0;
        for batch in held.into_iter().flat_map(|held| held.batches_from(from)) {
            let header = batch.header();
            bytes += batch.bytes().len() as u64;
            let full = bytes > limit.0 && !stored.parts.is_empty();
            if full || header.next_offset() > end {
                // What lies before this batch is not there, now or later.
                stored.next = stored.next.max(header.base_offset.min(end));
                return Ok(stored);
            }
            stored.parts.push(batch.bytes().clone());
            stored.next = header.next_offset();
        }
        let known = held.map_or(Offset(0), |held| held.end);
        stored.next = stored.next.max(end.min(known));
        Ok(stored)
    }

    fn offset_for(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        self.check_open("reading")?;
        let mut found: Result<Option<Found>, BatchError> = Ok(None);
        self.each_batch(key, from, end, &mut |batch| {
            found = find_in_batch(batch, from, end, at);
            match found {
                Ok(None) => ControlFlow::Continue(()),
                Ok(Some(_)) | Err(_) => ControlFlow::Break(()),
            }
        });
        found.map_err(|reason| StoreError::damaged(PLACE, &reason))
    }

    fn look(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.check_open("reading")?;
        self.each_batch(key, from, end, &mut |batch| {
            if batch.header().next_offset() > end {
                return ControlFlow::Break(());
            }
            look(batch)
        });
        Ok(())
    }

    fn note_aborted(&self, key: PartitionKey, range: Aborted) {
        let mut partitions = self.shared.partitions.write();
        if let Some(held) = partitions.get_mut(&key)
            && (held.start..held.end).contains(&range.last)
        {
            aborted::insert(&mut held.aborted, range);
        }
    }

    fn has_aborted(&self, key: PartitionKey, from: Offset) -> bool {
        let partitions = self.shared.partitions.read();
        let last = partitions.get(&key).and_then(|held| held.aborted.last());
        last.is_some_and(|range| range.last >= from)
    }

    fn aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, StoreError> {
        self.check_open("reading")?;
        let mut found = Vec::new();
        if let Some(held) = self.shared.partitions.read().get(&key) {
            aborted::overlapping(&held.aborted, from, next, &mut found);
        }
        Ok(found)
    }

    fn boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, StoreError> {
        self.check_open("reading")?;
        let partitions = self.shared.partitions.read();
        let holder = partitions.get(&key).and_then(|h| h.batches_from(at).next());
        Ok(holder.map_or(at, |batch| batch.header().base_offset.min(at)))
    }

    fn extents(&self, key: PartitionKey) -> Vec<Extent> {
        let partitions = self.shared.partitions.read();
        partitions.get(&key).map_or_else(Vec::new, Held::extents)
    }

    fn bytes(&self, key: PartitionKey) -> ByteSize {
        let partitions = self.shared.partitions.read();
        ByteSize(partitions.get(&key).map_or(0, Held::bytes))
    }

    fn records(&self, key: PartitionKey, end: Offset) -> u64 {
        let partitions = self.shared.partitions.read();
        partitions
            .get(&key)
            .map_or(0, |held| held.records_below(end))
    }

    /// Compacts what is wanted and has something new; one pass over each such partition.
    fn tidy(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) -> Result<bool, StoreError> {
        self.check_open("tidying")?;
        let now = self.shared.clock.now();
        let keys: Vec<PartitionKey> = self.shared.partitions.read().keys().copied().collect();
        let mut more = false;
        for key in keys {
            let cleanup = cleanup(key);
            let mut partitions = self.shared.partitions.write();
            if let Some(held) = partitions.get_mut(&key)
                && held.wants_compaction(cleanup, now)
            {
                more |= held.compact(cleanup, now);
            }
        }
        Ok(more)
    }

    fn roll_if_older(&self, stream: usize, age_ms: i64) {
        let now = self.shared.clock.now();
        if let Some(stream) = self.shared.streams.get(stream) {
            let mut stream = stream.lock();
            let age = stream.begun.map(|begun| now.0.saturating_sub(begun.0));
            stream.roll |= age.is_some_and(|age| age > age_ms);
        }
    }

    fn holes(&self) -> Vec<Hole> {
        Vec::new()
    }

    fn trouble(&self) -> Option<String> {
        self.shared.faults.0.lock().trouble.clone()
    }

    fn close(&self, derived: &dyn Fn() -> Derived) -> Result<(), StoreError> {
        self.check_open("closing")?;
        let derived = derived();
        for (number, stream) in self.shared.streams.iter().enumerate() {
            let own = derived
                .iter()
                .filter(|(key, _)| self.stream_of(*key) == number);
            let own = own.cloned().collect();
            let mut stream = stream.lock();
            stream.discard();
            stream.rolled(own);
        }
        self.shared.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
impl Faults {
    /// The next write fails.
    pub(crate) fn fail_write(&self, error: StoreError) {
        self.0.lock().write = Some(error);
    }

    /// The next flush fails.
    pub(crate) fn fail_flush(&self, error: StoreError) {
        self.0.lock().flush = Some(error);
    }

    /// The next giving up fails.
    pub(crate) fn fail_abandon(&self, error: StoreError) {
        self.0.lock().abandon = Some(error);
    }

    /// What `trouble` says from now on.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.0.lock().trouble = trouble;
    }
}

#[cfg(test)]
mod tests;
