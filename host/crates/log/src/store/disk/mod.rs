//! Keeps logs on disk: streams of segments, each a sled database of small trees that all partitions
//! of the stream share.
//!
//! ```text
//! DATA/log/streams                       how many streams there are, for good
//! DATA/log/STREAM/manifest               the segments, in the order of the stream
//! DATA/log/STREAM/NUMBER/                a segment: a sled database
//! DATA/log/STREAM/NUMBER.index           what a closed segment holds
//! DATA/log/STREAM/NUMBER.seal            lengths and checksums of its files
//! DATA/log/STREAM/derived.NUMBER         marks and what is derived, before that segment
//! DATA/aside/                            copies of what was damaged
//! ```
//!
//! An acknowledged batch is in a value that was flushed (and synced, with `disk`). A segment is never
//! written to once it was opened again, and a partition costs nothing but the entries it has.

mod aborted;
mod damage;
mod form;
mod held;
mod index;
mod layout;
mod lost;
mod manifest;
mod reader;
mod recover;
mod replay;
mod salvage;
mod segment;
mod settle;
mod slots;
mod snapshot;
mod sorted;
mod space;
mod stream;
#[cfg(test)]
mod tests;
mod upkeep;
mod writing;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::{ByteSize, Clock, Offset, RecordBatch, Timestamp};

use self::slots::Slots;
use self::space::SpaceGuard;
use self::stream::{Node, Stream};
use super::{
    Aborted, Cleanup, Derived, Entry, Extent, Found, Hole, LogStore, PartitionKey, Recovered,
    Replay, Stored,
};
use crate::config::Durability;
use crate::errors::StoreError;
use crate::sled::{Disk, Done};

/// Most streams.
const STREAMS_MAX: usize = 64;
/// How many streams there are, and which have begun.
const STREAMS_FILE: &str = "streams";
/// Freed memory that may stay with the process, in each of the allocator's arenas.
const BUFFERS_KEPT_BYTES: usize = 16 << 20;

/// What a disk store is told.
#[derive(Debug, Clone)]
pub(crate) struct DiskOptions {
    pub(crate) durability: Durability,
    pub(crate) disk_free_min: ByteSize,
    pub(crate) streams: usize,
    /// Bytes at which a segment rolls.
    pub(crate) segment_bytes: ByteSize,
    /// How often closed segments are read whole and compared with their seals; zero for never.
    pub(crate) scrub_interval: std::time::Duration,
    /// Of a hundred bytes of a compacted partition, how many must have come since the last time for
    /// another one to be worth it.
    pub(crate) dirty_percent: u64,
}

/// All streams of a node, on disk.
#[derive(Debug)]
pub(crate) struct DiskStore {
    node: Arc<Node>,
    streams: Vec<Stream>,
}

impl DiskStore {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &DiskOptions, clock: Clock) -> Self {
        raise_file_limit();
        keep_freed_buffers();
        let space = SpaceGuard::new(Arc::clone(&disk), options.disk_free_min, clock.clone());
        let node = Arc::new(Node {
            disk,
            durability: options.durability,
            clock,
            slots: Slots::default(),
            space,
            segment_bytes: options.segment_bytes.0,
            dirty_percent: options.dirty_percent,
            scrub_ms: i64::try_from(options.scrub_interval.as_millis()).unwrap_or(i64::MAX),
        });
        let streams =
            (0..options.streams.clamp(1, STREAMS_MAX)).map(|n| Stream::new(Arc::clone(&node), n));
        Self {
            streams: streams.collect(),
            node,
        }
    }

    /// A partition's stream follows from how many there are: that never changes. And a stream that
    /// has begun and is not there is not begun again: its disk may not be mounted.
    fn check_streams(&self) -> Result<(), StoreError> {
        let disk = &*self.node.disk;
        let now = self.streams.len();
        let stored = disk.read(STREAMS_FILE)?.unwrap_or_default();
        let (made_with, begun) = match read_streams(&stored) {
            Some(stored) => stored,
            // It is new, or its file is damaged: the directories tell.
            None => {
                let names = disk.names("")?;
                let numbers = names.iter().filter_map(|name| name.parse::<usize>().ok());
                (numbers.max().map_or(now, |last| last + 1), 0)
            }
        };
        if made_with != now {
            let reason = format!(
                "it was made with {made_with} streams and is opened with {now}: set `streams` back"
            );
            return Err(StoreError::failed("open", disk.path(STREAMS_FILE), &reason));
        }
        for (number, stream) in self.streams.iter().enumerate() {
            let was_there = begun & (1 << number) != 0;
            stream.begun.store(was_there, Ordering::Relaxed);
            if was_there && disk.names(&stream.root)?.is_empty() {
                let reason = format!(
                    "the stream was there and is empty: is its disk mounted? To go on without its \
                     records, remove {}",
                    disk.path(STREAMS_FILE).display()
                );
                return Err(StoreError::failed("open", disk.path(&stream.root), &reason));
            }
        }
        Ok(())
    }

    /// Takes note of which streams have begun.
    fn note_streams(&self) -> Result<(), StoreError> {
        let disk = &*self.node.disk;
        let begun = self.streams.iter().enumerate();
        let begun = begun.filter(|(_, stream)| stream.begun.load(Ordering::Relaxed));
        let begun = begun.fold(0, |bits, (number, _)| bits | (1 << number));
        let text = write_streams(self.streams.len(), begun);
        if disk.read(STREAMS_FILE)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        disk.write(STREAMS_FILE, text.as_bytes())
    }

    fn of(&self, key: PartitionKey) -> &Stream {
        &self.streams[self.stream_of(key)]
    }
}

impl LogStore for DiskStore {
    fn recover(&self, replay: &mut dyn Replay) -> Result<Vec<Recovered>, StoreError> {
        self.check_streams()?;
        let mut recovered = Vec::new();
        for stream in &self.streams {
            recovered.append(&mut stream.recover(replay)?);
        }
        self.note_streams()?;
        Ok(recovered)
    }

    fn begin_behind(&self, keys: &[PartitionKey]) -> Result<Vec<Recovered>, StoreError> {
        let mut behind = Vec::new();
        for (number, stream) in self.streams.iter().enumerate() {
            let own = keys
                .iter()
                .copied()
                .filter(|key| self.stream_of(*key) == number);
            let own: Vec<PartitionKey> = own.collect();
            behind.append(&mut stream.begin_behind(&own)?);
        }
        Ok(behind)
    }

    fn streams(&self) -> usize {
        self.streams.len()
    }

    fn stream_of(&self, key: PartitionKey) -> usize {
        let topic = u32::from_be_bytes([
            key.topic.0[12],
            key.topic.0[13],
            key.topic.0[14],
            key.topic.0[15],
        ]);
        let number = topic.wrapping_add(key.partition.0.cast_unsigned());
        usize::try_from(number).unwrap_or(0) % self.streams.len()
    }

    fn write(
        &self,
        stream: usize,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        let stream = &self.streams[stream];
        if !stream.begun.swap(true, Ordering::Relaxed)
            && let Err(error) = self.note_streams()
        {
            stream.begun.store(false, Ordering::Relaxed);
            return Err(error);
        }
        stream.write(entries, derived)
    }

    fn begin_flush(&self, stream: usize, done: &Done) -> Result<bool, StoreError> {
        self.streams[stream].begin_flush(done)
    }

    fn flush(&self, stream: usize) -> Result<(), StoreError> {
        self.streams[stream].flush()
    }

    fn abandon(&self, stream: usize) -> Result<(), StoreError> {
        self.streams[stream].abandon()
    }

    fn read(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Stored, StoreError> {
        self.of(key).read(key, from, end, limit)
    }

    fn offset_for(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        self.of(key).offset_for(key, from, end, at)
    }

    fn look(
        &self,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        look: &mut dyn FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.of(key).look(key, from, end, look)
    }

    fn note_aborted(&self, key: PartitionKey, range: Aborted) {
        self.of(key).note_aborted(key, range);
    }

    fn has_aborted(&self, key: PartitionKey, from: Offset) -> bool {
        let held = self.of(key).held(key);
        held.is_some_and(|held| held.lock().aborted_from(from).is_some())
    }

    fn aborted(
        &self,
        key: PartitionKey,
        from: Offset,
        next: Offset,
    ) -> Result<Vec<Aborted>, StoreError> {
        self.of(key).aborted(key, from, next)
    }

    fn boundary(&self, key: PartitionKey, at: Offset) -> Result<Offset, StoreError> {
        self.of(key).boundary(key, at)
    }

    fn extents(&self, key: PartitionKey) -> Vec<Extent> {
        let held = self.of(key).held(key);
        held.map_or_else(Vec::new, |held| held.lock().extents())
    }

    fn bytes(&self, key: PartitionKey) -> ByteSize {
        let held = self.of(key).held(key);
        ByteSize(held.map_or(0, |held| held.lock().bytes))
    }

    fn records(&self, key: PartitionKey, end: Offset) -> u64 {
        let held = self.of(key).held(key);
        held.map_or(0, |held| held.lock().records_below(end))
    }

    fn tidy(&self, cleanup: &dyn Fn(PartitionKey) -> Cleanup) -> Result<bool, StoreError> {
        let mut more = false;
        for stream in &self.streams {
            more |= stream.tidy(cleanup)?;
        }
        Ok(more)
    }

    fn roll_if_older(&self, stream: usize, age_ms: i64) {
        self.streams[stream]
            .roll_age
            .store(age_ms, Ordering::Relaxed);
    }

    fn holes(&self) -> Vec<Hole> {
        let holes = self.streams.iter().map(|stream| stream.damage.holes());
        holes.flatten().collect()
    }

    fn trouble(&self) -> Option<String> {
        if !self.node.disk.is_present() {
            let path = self.node.disk.path("");
            return Some(format!("{} is not there any more", path.display()));
        }
        let mut troubles = self.streams.iter().map(|s| s.trouble.lock().clone());
        troubles.find_map(|trouble| trouble)
    }

    fn full(&self) -> Option<String> {
        self.node.space.full()
    }

    fn close(&self, derived: &dyn Fn() -> Derived) -> Result<(), StoreError> {
        for stream in &self.streams {
            stream.close(derived)?;
        }
        Ok(())
    }
}

/// The number of streams, those that have begun as bits, and a checksum.
fn write_streams(count: usize, begun: u64) -> String {
    let text = format!("{count} {begun:x}");
    let crc = crc32c::crc32c(text.as_bytes());
    format!("{text} {crc:08x}\n")
}

/// What `write_streams` wrote; `None` for anything else.
fn read_streams(bytes: &[u8]) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split(' ');
    let count = words.next()?.parse().ok()?;
    let begun = u64::from_str_radix(words.next()?, 16).ok()?;
    (write_streams(count, begun) == text).then_some((count, begun))
}

/// Lets the allocator keep freed buffers for the next write, which would else have to be given
/// back to the system and faulted in again for every byte appended. glibc raises the size from
/// which it does so to twice that of the largest block it has mapped and seen freed; other
/// allocators have no such rule, and this costs them nothing.
fn keep_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(
        BUFFERS_KEPT_BYTES / 2,
    )));
}

/// Lets the process open as many files as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "could not raise the limit of open files");
        }
    }
}
