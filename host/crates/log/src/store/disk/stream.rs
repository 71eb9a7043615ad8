//! One stream: the segment that is written, the segments before it, and the partitions in it.
//!
//! `write` stages, `flush` makes durable and shows (`writing`). After a failure of either, what was
//! staged is dropped, the segment is given up at the last value that was flushed, the manifest says
//! so, and the next write begins another segment: what the failed one may hold besides never counts.
//!
//! Order of locks: `writer`, `closing`, `upkeep`, `manifest`, `segments`, a segment's, `partitions`, a
//! partition's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use wstream_record::{Clock, Offset, RecordBatch, Timestamp};

use super::damage::Damage;
use super::held::Held;
use super::index::{PartIndex, Place};
use super::layout::{self, Packer};
use super::manifest::Manifest;
use super::segment::{Segment, segment_name};
use super::slots::Slots;
use super::snapshot::Snapshot;
use super::space::SpaceGuard;
use crate::config::Durability;
use crate::errors::StoreError;
use crate::sled::{Database, Disk, Fault, Shape, TREE_VALUES, TREES_MAX};
use crate::store::{Derived, Entry, PartitionKey, Recovered};

/// Values of a segment: a group of the largest size still fits behind them.
const VALUES_MAX: u32 = (TREES_MAX - 200) * TREE_VALUES;
/// Rolled segments that wait to be closed: with more, the writer closes one itself.
pub(super) const UNCLOSED_MAX: usize = 2;

/// What the streams of a node share.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) durability: Durability,
    pub(super) clock: Clock,
    pub(super) slots: Slots,
    pub(super) space: SpaceGuard,
    /// Bytes at which a segment rolls.
    pub(super) segment_bytes: u64,
    /// How often closed segments are read whole and compared with their seals; 0 for never.
    pub(super) scrub_ms: i64,
    /// Of a hundred bytes of a compacted partition, how many must be new.
    pub(super) dirty_percent: u64,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) node: Arc<Node>,
    /// Its directory.
    pub(super) root: String,
    pub(super) writer: Mutex<Writer>,
    pub(super) manifest: Mutex<Manifest>,
    /// In the order of the stream.
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    pub(super) partitions: RwLock<HashMap<PartitionKey, Arc<Mutex<Held>>>>,
    pub(super) damage: Damage,
    /// Snapshots that are not stored yet, oldest first.
    pub(super) snapshots: Mutex<Vec<(u64, Snapshot)>>,
    /// Milliseconds; 0 for any.
    pub(super) roll_age: AtomicI64,
    /// Why nothing should be written, since a sync failed.
    pub(super) trouble: Mutex<Option<String>>,
    /// The place of the next segment to be compared with its seal, while that is under way.
    pub(super) scrubbing: Mutex<Option<usize>>,
    pub(super) idle_tick: AtomicU64,
    /// Offsets that no segment was found to hold, while it opens.
    pub(super) suspected: Mutex<Vec<(PartitionKey, Offset, Offset)>>,
    /// The tail of a segment was found lost: which partitions it spoke of, nobody knows.
    pub(super) lost_tail: AtomicBool,
    /// Partitions whose start lies within a stretch that is counted whole.
    pub(super) started: Mutex<HashSet<PartitionKey>>,
    /// Something was written to it, now or earlier.
    pub(super) begun: AtomicBool,
    /// Nothing is answered any more.
    pub(super) closed: AtomicBool,
    /// Held while a segment is closed.
    pub(super) closing: Mutex<()>,
    /// Held while segments are closed or replaced.
    pub(super) upkeep: Mutex<()>,
}

/// The state of the one writer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) active: Option<Arc<Segment>>,
    pub(super) packer: Packer,
    pub(super) staged: Vec<(PartitionKey, Staged)>,
    /// Ends of partitions with what is staged.
    pub(super) ends: HashMap<PartitionKey, Offset>,
    /// Values that were flushed.
    pub(super) flushed: u32,
    /// Bytes of batches in the segment.
    pub(super) bytes: u64,
    pub(super) appended: Timestamp,
    /// The flush that was begun.
    pub(super) flushing: Option<Flushing>,
    /// What became of a flush that was begun, if it was given up with what was written behind it.
    pub(super) lost: Option<StoreError>,
    /// It shows what was flushed; left so by a panic.
    pub(super) showing: bool,
}

/// A flush that was begun.
#[derive(Debug)]
pub(super) struct Flushing {
    /// How much of what is staged it covers, and how many values.
    pub(super) staged: usize,
    pub(super) values: u32,
    pub(super) appended: Timestamp,
}

/// What a flush shows.
#[derive(Debug)]
pub(super) enum Staged {
    Batch(Place),
    Entry(Entry),
}

impl Stream {
    pub(super) fn new(node: Arc<Node>, number: usize) -> Self {
        Self {
            node,
            root: number.to_string(),
            writer: Mutex::default(),
            manifest: Mutex::default(),
            segments: RwLock::default(),
            partitions: RwLock::default(),
            damage: Damage::default(),
            snapshots: Mutex::default(),
            roll_age: AtomicI64::new(0),
            trouble: Mutex::default(),
            scrubbing: Mutex::default(),
            idle_tick: AtomicU64::new(0),
            suspected: Mutex::default(),
            lost_tail: AtomicBool::new(false),
            started: Mutex::default(),
            begun: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            closing: Mutex::default(),
            upkeep: Mutex::default(),
        }
    }

    pub(super) fn held(&self, key: PartitionKey) -> Option<Arc<Mutex<Held>>> {
        self.partitions.read().get(&key).cloned()
    }

    pub(super) fn held_or_new(&self, key: PartitionKey) -> Arc<Mutex<Held>> {
        if let Some(held) = self.held(key) {
            return held;
        }
        Arc::clone(self.partitions.write().entry(key).or_default())
    }

    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            let path = self.node.disk.path(&self.root);
            return Err(StoreError::failed("use", path, &"the log is closed"));
        }
        Ok(())
    }

    pub(super) fn roll_if_due(
        &self,
        writer: &mut Writer,
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        let Some(active) = &writer.active else {
            return Ok(());
        };
        if self.is_due(writer, active) {
            self.begin(writer, derived)?;
        }
        Ok(())
    }

    /// Whether the segment is to roll.
    pub(super) fn is_due(&self, writer: &Writer, active: &Segment) -> bool {
        let age = self.node.clock.now().0.saturating_sub(active.begun.0);
        let roll_age = self.roll_age.load(Ordering::Relaxed);
        let begun = writer.flushing.as_ref().map(|f| f.values);
        writer.bytes >= self.node.segment_bytes
            || begun.unwrap_or(writer.flushed) >= VALUES_MAX
            || (roll_age > 0 && age >= roll_age && writer.bytes > 0)
    }

    /// Begins another segment. The one before is closed in the background.
    pub(super) fn begin(
        &self,
        writer: &mut Writer,
        derived: &dyn Fn() -> Derived,
    ) -> Result<Arc<Segment>, StoreError> {
        while self.unclosed() >= UNCLOSED_MAX {
            self.close_oldest(false)?;
        }
        let snapshot = self.snapshot(derived);
        let mut manifest = self.manifest.lock();
        // Never again, even if this comes to nothing.
        let id = manifest.next;
        manifest.next += 1;
        let shape = if writer.active.is_some() {
            Shape::Large
        } else {
            Shape::Small
        };
        let made = self.make_segment(id, shape, &mut manifest);
        let database = made.inspect_err(|_error| {
            // It is not listed: the next start removes it too.
            drop(self.node.disk.remove(&segment_name(&self.root, id)));
        })?;
        let now = self.node.clock.now();
        let segment = Arc::new(Segment::live(&self.root, id, now, Some(database)));
        self.segments.write().push(Arc::clone(&segment));
        drop(manifest);
        self.snapshots.lock().push((id, snapshot));
        writer.active = Some(Arc::clone(&segment));
        writer.flushed = 1;
        writer.bytes = 0;
        self.trouble.lock().take();
        Ok(segment)
    }

    /// Makes a segment's database and lists it.
    fn make_segment(
        &self,
        id: u64,
        shape: Shape,
        manifest: &mut Manifest,
    ) -> Result<Box<dyn Database>, StoreError> {
        let database = self.node.disk.create(&segment_name(&self.root, id), shape);
        let database = database.map_err(|fault| self.refuse(fault))?;
        // One that is listed and not there, or empty, was lost, not merely cut off.
        let begun = layout::begin(self.node.clock.now(), &mut &*database);
        let begun = begun.and_then(|()| database.flush());
        begun.map_err(|fault| self.refuse(fault))?;
        if self.node.durability == Durability::Disk {
            let named = database.sync().map_err(|fault| self.sync_failed(fault));
            named.map_err(|fault| self.refuse(fault))?;
        }
        let mut next = manifest.clone();
        next.push(id);
        next.write(&*self.node.disk, &self.root)?;
        *manifest = next;
        Ok(database)
    }

    fn refuse(&self, fault: Fault) -> StoreError {
        match fault {
            Fault::Failed(error) => error,
            Fault::Broken(reason) => {
                StoreError::failed("begin a segment", self.node.disk.path(&self.root), &reason)
            }
        }
    }

    /// Segments that are rolled and not closed.
    fn unclosed(&self) -> usize {
        let manifest = self.manifest.lock();
        let open = manifest.segments.iter().filter(|listed| !listed.closed);
        open.count().saturating_sub(1)
    }

    /// The state of the stream as it is now.
    pub(super) fn snapshot(&self, derived: &dyn Fn() -> Derived) -> Snapshot {
        let mut derived = derived();
        let partitions = self.partitions.read();
        derived.retain(|(key, _)| partitions.contains_key(key));
        drop(partitions);
        Snapshot {
            marks: self.marks(),
            derived,
            aborted: self.aborted_in_live(),
        }
    }

    /// The marks of all partitions.
    pub(super) fn marks(&self) -> Vec<Recovered> {
        let partitions = self.partitions.read();
        let marks = partitions.iter().map(|(key, held)| {
            let held = held.lock();
            Recovered {
                key: *key,
                start: held.start,
                end: held.end,
                high_watermark: held.high_watermark,
            }
        });
        marks.collect()
    }
}

/// What an entry that is no batch does to a partition.
pub(super) fn apply(entry: &Entry, part: &mut PartIndex, held: &mut Held) {
    match entry {
        Entry::Batch(_) => {}
        Entry::Start(at) => {
            held.raise_start(*at);
            part.start = Some(held.start);
            part.end = part.end.max(held.end);
        }
        Entry::End(at) => {
            held.truncate(*at);
            part.truncate(held.end);
        }
        Entry::Reset(at) => {
            held.reset(*at);
            part.reset(*at);
        }
        Entry::HighWatermark(at) => {
            held.high_watermark = held.high_watermark.max(*at).min(held.end);
            part.high_watermark = Some(held.high_watermark);
        }
        Entry::Gone => {
            held.reset(Offset(0));
            part.reset(Offset(0));
            part.gone = true;
        }
    }
}

/// The largest time of a batch's records; a batch without times counts as the earliest.
pub(super) fn largest(batch: &RecordBatch) -> Timestamp {
    batch.header().max_timestamp
}

impl Entry {
    /// Bytes that it takes, about.
    pub(super) fn byte_len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.bytes().len(),
            _ => 0,
        }
    }

    /// Where a partition ends that ended at `end`.
    pub(super) fn end_after(&self, end: Offset) -> Offset {
        match self {
            Self::Batch(batch) => batch.header().next_offset(),
            Self::Start(at) => end.max(*at),
            Self::End(at) | Self::Reset(at) => *at,
            Self::HighWatermark(_) => end,
            Self::Gone => Offset(0),
        }
    }
}
