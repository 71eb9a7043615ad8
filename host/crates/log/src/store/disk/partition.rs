//! One partition on disk: a list of segments, the newest of which takes appends.
//!
//! `partition.json` is written before segments go. `segment.json` is written in the background
//! when the next segment has begun: a start reads those segments that a kill left without.
//! A segment that does not open is kept aside, at the start or when it is first read.

use std::borrow::Cow;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use wstream_record::{ByteSize, Offset, RecordBatch, Timestamp, TopicPartition};

use super::database::{BUFFER_BYTES_LARGE, BUFFER_BYTES_SMALL, Fault};
use super::extent::Extent;
use super::files::{
    entries, failed, finish_removals, read_json, remove_dir, segment_base, segment_dir, sync_dir,
    write_json, write_whole,
};
use super::segment::Segment;
use super::{Node, sync_new_segment};
use crate::config::Durability;
use crate::errors::StoreError;
use crate::store::{Before, PartitionStore, Recovered, is_expired};
use crate::summary::{Found, Summary};
use crate::topic::TopicConfig;

/// Trees of one segment: registering one rewrites the list of all.
const TREES_MAX: usize = 1_500;
/// Bytes that begin another tree, at the least.
const TREE_BYTES_MIN: usize = 64 << 10;
/// Bytes of a segment that is opened again to be appended to. A larger one rolls instead: opening
/// it takes longer than beginning another.
pub(super) const REOPEN_BYTES_MAX: u64 = 4 << 20;
const PARTITION_FILE: &str = "partition.json";
const SEGMENT_FILE: &str = "segment.json";

#[derive(Debug)]
pub(super) struct DiskPartition {
    node: Arc<Node>,
    name: TopicPartition,
    dir: PathBuf,
    config: Mutex<TopicConfig>,
    /// Oldest first.
    segments: RwLock<Vec<Arc<Segment>>>,
    newest: Mutex<Newest>,
    /// The segment that holds what was not flushed yet.
    writing: Mutex<Option<Arc<Segment>>>,
    limits: Mutex<Limits>,
}

/// What `partition.json` holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Limits {
    /// The log start, if above the first segment.
    start: Offset,
    /// The log end, if above the last segment.
    end: Offset,
}

/// The newest segment's state.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    /// It takes no more appends.
    rolled: bool,
    /// Its `segment.json` is on disk and must go before the next append.
    sealed: bool,
    /// It was made since the log was opened, and its names are not durable yet.
    unsynced: bool,
}

impl Newest {
    /// A segment that was closed before the newest one was kept aside.
    const DONE: Self = Self {
        rolled: true,
        sealed: true,
        unsynced: false,
    };
}

/// What `segment.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed<'a> {
    extent: Extent,
    rolled: bool,
    summary: Cow<'a, Summary>,
}

impl DiskPartition {
    pub(super) fn new(node: Arc<Node>, name: TopicPartition, config: TopicConfig) -> Self {
        let dir = node.partition_dir(&name);
        Self {
            node,
            name,
            dir,
            config: Mutex::new(config),
            segments: RwLock::default(),
            newest: Mutex::default(),
            writing: Mutex::default(),
            limits: Mutex::default(),
        }
    }

    /// Loads one segment, adding its batches to `summary`. `None` if it was kept aside.
    fn load(
        &self,
        base: Offset,
        next_base: Option<Offset>,
        summary: &mut Summary,
    ) -> Result<Option<Arc<Segment>>, StoreError> {
        let dir = segment_dir(&self.dir, base);
        let file = dir.join(SEGMENT_FILE);
        let sealed: Option<Sealed<'_>> = read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(%error, "reading the segment instead");
            None
        });
        if let Some(sealed) = sealed {
            *summary = sealed.summary.into_owned();
            if next_base.is_none() {
                *self.newest.lock() = Newest {
                    rolled: sealed.rolled,
                    sealed: true,
                    unsynced: false,
                };
            }
            return Ok(Some(Segment::new(dir, base, sealed.extent)));
        }
        let begun = begun(&dir).unwrap_or_else(|| self.node.clock.now());
        let segment = Segment::new(dir.clone(), base, Extent::empty(base, begun));
        let before = summary.clone();
        let replayed = catch_unwind(AssertUnwindSafe(|| {
            segment.replay(&self.node.slots, summary)
        }));
        let replayed = replayed.unwrap_or_else(|_| Err(Fault::Broken("sled panicked".to_owned())));
        match replayed {
            Ok(()) => {
                if next_base.is_some() {
                    self.seal(&segment, summary, true)?;
                }
                Ok(Some(segment))
            }
            Err(Fault::Failed(error)) if !matches!(error, StoreError::Corrupt { .. }) => Err(error),
            Err(fault) => {
                *summary = before;
                segment.close();
                let reason = match fault {
                    Fault::Broken(reason) => reason,
                    Fault::Failed(error) => error.to_string(),
                };
                let aside = &self.node.aside;
                let end = aside.keep(&self.name, &dir, base, next_base, reason)?;
                self.keep_end(end)?;
                Ok(None)
            }
        }
    }

    /// Remembers that offsets below `end` were given out.
    fn keep_end(&self, end: Offset) -> Result<(), StoreError> {
        let limits = *self.limits.lock();
        let end = limits.end.max(end);
        self.write_limits(Limits { end, ..limits })
    }

    fn write_limits(&self, limits: Limits) -> Result<(), StoreError> {
        let mut current = self.limits.lock();
        if *current != limits {
            fs::create_dir_all(&self.dir).map_err(|e| failed("create", &self.dir, &e))?;
            write_json(&self.dir.join(PARTITION_FILE), &limits)?;
            *current = limits;
        }
        Ok(())
    }

    fn seal(&self, segment: &Segment, summary: &Summary, rolled: bool) -> Result<(), StoreError> {
        let sealed = Sealed {
            extent: segment.extent(),
            rolled,
            summary: Cow::Borrowed(summary),
        };
        write_json(&segment.dir().join(SEGMENT_FILE), &sealed)
    }

    /// Flushes a segment that takes no more, and has it sealed in the background: appends to the
    /// next one go on.
    fn finish(&self, segment: &Segment, summary: &Summary) -> Result<(), StoreError> {
        self.flush()?;
        if self.newest.lock().rolled {
            return Ok(());
        }
        let sealed = Sealed {
            extent: segment.extent(),
            rolled: true,
            summary: Cow::Borrowed(summary),
        };
        let file = segment.dir().join(SEGMENT_FILE);
        let json = serde_json::to_vec(&sealed).map_err(|e| failed("write", &file, &e))?;
        self.node.slots.background().run(move || {
            if let Err(error) = write_whole(&file, &json) {
                tracing::warn!(
                    file = %file.display(), %error,
                    "could not seal a segment, the next start reads it instead"
                );
            }
        });
        Ok(())
    }

    /// The segment that takes the next batches, and how many bytes it has room for.
    fn writable(
        &self,
        batches: &[RecordBatch],
        before: Before<'_>,
    ) -> Result<(Arc<Segment>, u64), StoreError> {
        let bytes_max = self.config.lock().segment_bytes_effective().0;
        let base = batches.first().map(|b| b.header().base_offset);
        let base = base.unwrap_or_default();
        let newest = self.segments.read().last().cloned();
        let mut buffer_bytes = BUFFER_BYTES_SMALL;
        if let Some(segment) = newest {
            let extent = segment.written();
            let state = *self.newest.lock();
            let first = batches.first().map_or(0, |b| b.bytes().len());
            let room = bytes_max.saturating_sub(extent.bytes);
            let trees_left = TREES_MAX.saturating_sub(extent.trees);
            let room = room.min((trees_left * TREE_BYTES_MIN) as u64);
            // A segment kept aside leaves a gap before this offset, and no segment has gaps.
            let follows = extent.next == base && !state.rolled;
            let ready = extent.bytes < REOPEN_BYTES_MAX || segment.is_open();
            if follows && ready && (room >= first as u64 || extent.bytes == 0) {
                if state.sealed {
                    self.unseal(&segment)?;
                }
                return Ok((segment, room));
            }
            if follows && ready {
                // It is full: the next one is likely to be.
                buffer_bytes = BUFFER_BYTES_LARGE;
            }
            if extent.bytes > 0 {
                self.finish(&segment, &before.summary())?;
            } else {
                self.segments.write().pop();
                segment.close();
                remove_dir(segment.dir())?;
            }
        }
        let dir = segment_dir(&self.dir, base);
        fs::create_dir_all(&dir).map_err(|e| failed("create", &dir, &e))?;
        let extent = Extent::empty(base, self.node.clock.now());
        let segment = Segment::with_buffers(dir, base, extent, buffer_bytes);
        self.segments.write().push(Arc::clone(&segment));
        *self.newest.lock() = Newest {
            unsynced: true,
            ..Newest::default()
        };
        Ok((segment, bytes_max))
    }

    fn unseal(&self, segment: &Segment) -> Result<(), StoreError> {
        let file = segment.dir().join(SEGMENT_FILE);
        let removed = fs::remove_file(&file).and_then(|()| sync_dir(segment.dir()));
        removed.map_err(|e| failed("remove", &file, &e))?;
        self.newest.lock().sealed = false;
        Ok(())
    }

    /// The segments that may hold offsets from `from` on.
    fn segments_from(&self, from: Offset) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let first = segments.partition_point(|s| s.base() <= from);
        segments[first.saturating_sub(1)..].to_vec()
    }

    /// Keeps a segment aside that a reader could not open, and lets the reader go on.
    fn give_up(&self, segment: &Arc<Segment>, reason: String) -> Result<(), StoreError> {
        let mut segments = self.segments.write();
        let place = segments.iter().position(|s| Arc::ptr_eq(s, segment));
        let Some(place) = place else {
            return Ok(());
        };
        segments.remove(place);
        if place == segments.len() {
            *self.newest.lock() = Newest::DONE;
        }
        drop(segments);
        self.node.slots.background().settle();
        segment.close();
        let (dir, base, next) = (segment.dir(), segment.base(), segment.extent().next);
        let aside = &self.node.aside;
        let end = aside.keep(&self.name, dir, base, Some(next), reason)?;
        self.keep_end(end)
    }

    /// Runs `look` on each segment from `from` to below `end` until it breaks.
    fn each_segment(
        &self,
        from: Offset,
        end: Offset,
        mut look: impl FnMut(&Arc<Segment>) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), StoreError> {
        for segment in self.segments_from(from) {
            if segment.base() >= end {
                break;
            }
            let looked = look(&segment);
            self.node.slots.shed();
            match looked {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(Fault::Failed(error)) => return Err(error),
                Err(Fault::Broken(reason)) => self.give_up(&segment, reason)?,
            }
        }
        Ok(())
    }

    /// Removes the segments that end at or below `start`, which was written down before.
    fn remove_below(&self, start: Offset) -> Result<(), StoreError> {
        loop {
            let mut segments = self.segments.write();
            let Some(oldest) = segments.first().filter(|s| {
                let extent = s.extent();
                extent.next <= start && extent.bytes > 0
            }) else {
                return Ok(());
            };
            let oldest = Arc::clone(oldest);
            segments.remove(0);
            drop(segments);
            self.node.slots.background().settle();
            oldest.close();
            remove_dir(oldest.dir())?;
        }
    }
}

impl PartitionStore for DiskPartition {
    fn recover(&self) -> Result<Recovered, StoreError> {
        self.node.slots.background().settle();
        *self.writing.lock() = None;
        for segment in std::mem::take(&mut *self.segments.write()) {
            segment.close();
        }
        finish_removals(&self.dir)?;
        let limits = read_json(&self.dir.join(PARTITION_FILE))?;
        *self.limits.lock() = limits.unwrap_or_default();
        *self.newest.lock() = Newest::default();
        let dirs = entries(&self.dir)?;
        let bases: Vec<Offset> = dirs.iter().filter_map(|d| segment_base(d)).collect();
        let mut summary = Summary::default();
        let mut segments = Vec::new();
        for (place, &base) in bases.iter().enumerate() {
            let next_base = bases.get(place + 1).copied();
            segments.extend(self.load(base, next_base, &mut summary)?);
        }
        let last = segments.last().map(|s: &Arc<Segment>| s.base());
        if last != bases.last().copied() {
            *self.newest.lock() = Newest::DONE;
        }
        let limits = *self.limits.lock();
        let first = segments.first().map(|s| s.base());
        let end = segments.last().map_or(Offset(0), |s| s.extent().next);
        let end = end.max(limits.end).max(limits.start);
        let start = first.unwrap_or(end).max(limits.start);
        *self.segments.write() = segments;
        // A kill may have come between writing the log start down and removing what is below.
        self.remove_below(start)?;
        Ok(Recovered {
            start,
            end,
            summary,
        })
    }

    fn write(
        &self,
        batches: &[RecordBatch],
        before: Before<'_>,
        more: bool,
    ) -> Result<usize, StoreError> {
        let bytes: usize = batches.iter().map(|b| b.bytes().len()).sum();
        self.node.space.admit(ByteSize(bytes as u64))?;
        let mut done = 0;
        while done < batches.len() {
            let (earlier, rest) = batches.split_at(done);
            let before = before.and(earlier);
            let (segment, room) = self.writable(rest, before)?;
            let mut bytes = 0;
            let fits = |batch: &&RecordBatch| {
                bytes += batch.bytes().len() as u64;
                bytes <= room
            };
            let count = rest.iter().take_while(fits).count().max(1);
            *self.writing.lock() = Some(Arc::clone(&segment));
            let more = more && count == rest.len();
            let taken = segment.write(&self.node.slots, &rest[..count], before, more);
            let taken = taken.map_err(|fault| fault.into_error(segment.dir()))?;
            done += taken;
            if taken < count {
                break;
            }
        }
        Ok(done)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let Some(segment) = self.writing.lock().take() else {
            return Ok(());
        };
        let durability = self.node.durability;
        let flushed = segment.flush(durability);
        flushed.map_err(|fault| fault.into_error(segment.dir()))?;
        if durability == Durability::Disk && self.newest.lock().unsynced {
            sync_new_segment(segment.dir())?;
        }
        self.newest.lock().unsynced = false;
        self.node.slots.shed();
        Ok(())
    }

    fn read(
        &self,
        from: Offset,
        end: Offset,
        limit: ByteSize,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        self.each_segment(from, end, |segment| {
            let mut look = |batch: RecordBatch| {
                if batch.header().next_offset() <= from {
                    return Ok(ControlFlow::Continue(()));
                }
                bytes += batch.bytes().len() as u64;
                if bytes > limit.0 && !out.is_empty() {
                    return Ok(ControlFlow::Break(()));
                }
                out.push(batch);
                Ok(ControlFlow::Continue(()))
            };
            segment.look_from(&self.node.slots, from, end, &mut look)
        })?;
        Ok(out)
    }

    fn offset_for(
        &self,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, StoreError> {
        let mut found = None;
        self.each_segment(from, end, |segment| {
            if segment.extent().newest < at {
                return Ok(ControlFlow::Continue(()));
            }
            found = segment.find(&self.node.slots, from, end, at)?;
            Ok(match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        })?;
        Ok(found)
    }

    fn set_start(&self, start: Offset) -> Result<(), StoreError> {
        let limits = *self.limits.lock();
        let start = limits.start.max(start);
        self.write_limits(Limits { start, ..limits })?;
        self.remove_below(start)
    }

    fn roll(&self, summary: &Summary) -> Result<(), StoreError> {
        let newest = self.segments.read().last().cloned();
        let Some(segment) = newest.filter(|s| s.extent().bytes > 0) else {
            return Ok(());
        };
        if !self.newest.lock().rolled {
            self.seal(&segment, summary, true)?;
            let mut newest = self.newest.lock();
            newest.rolled = true;
            newest.sealed = true;
        }
        Ok(())
    }

    fn maintain(&self, now: Timestamp, summary: &Summary) -> Result<Option<Offset>, StoreError> {
        let config = self.config.lock().clone();
        let newest = self.segments.read().last().map(|s| s.extent());
        let expired = |extent: &Extent| {
            let age = config.retention_age;
            age.is_some_and(|age| is_expired(extent.newest, now, age))
        };
        if newest.is_some_and(|e| expired(&e) || is_expired(e.begun, now, config.segment_age)) {
            self.roll(summary)?;
        }
        for segment in self.segments.read().iter() {
            segment.close_if_unused(&self.node.slots);
        }
        let mut extents: Vec<Extent> = self.segments.read().iter().map(|s| s.extent()).collect();
        if !self.newest.lock().rolled {
            extents.pop();
        }
        let mut kept = self.bytes().0;
        let mut start = None;
        for extent in extents {
            kept -= extent.bytes;
            let over = config.retention_bytes.is_some_and(|keep| kept >= keep.0);
            if !over && !expired(&extent) {
                break;
            }
            start = Some(extent.next);
        }
        if let Some(start) = start {
            self.set_start(start)?;
        }
        Ok(start)
    }

    fn configure(&self, config: &TopicConfig) {
        *self.config.lock() = config.clone();
    }

    fn bytes(&self) -> ByteSize {
        let segments = self.segments.read();
        ByteSize(segments.iter().map(|s| s.extent().bytes).sum())
    }

    fn close(&self, summary: &Summary) -> Result<(), StoreError> {
        self.node.slots.background().settle();
        let segments = std::mem::take(&mut *self.segments.write());
        for segment in &segments {
            segment.close();
        }
        match segments.last() {
            Some(newest) if newest.dir().exists() && !self.newest.lock().sealed => {
                self.seal(newest, summary, false)
            }
            _ => Ok(()),
        }
    }
}

/// When a segment was begun, by its database's first file.
fn begun(segment: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(segment.join("conf")).ok()?.modified().ok()?;
    let millis = modified.duration_since(UNIX_EPOCH).ok()?.as_millis();
    i64::try_from(millis).ok().map(Timestamp)
}
