//! One stream: the segment that is written, the segments before it, and the partitions in it.
//!
//! `write` stages, `flush` makes durable and shows. After a failure of either, what was staged is
//! dropped, the segment is given up at the last value that was flushed, the manifest says so, and
//! the next write begins another segment: what the failed one may hold besides never counts.
//!
//! Order of locks: `writer`, `closing`, `upkeep`, `manifest`, `segments`, a segment's, `partitions`, a
//! partition's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use wstream_record::{ByteSize, Clock, Offset, RecordBatch, Timestamp};

use super::damage::Damage;
use super::held::Held;
use super::index::{PartIndex, Place, records_of};
use super::layout::{self, Packer};
use super::manifest::Manifest;
use super::segment::{Segment, counts_file, encode_counts, segment_name};
use super::slots::Slots;
use super::snapshot::Snapshot;
use super::space::SpaceGuard;
use crate::config::Durability;
use crate::errors::StoreError;
use crate::sled::{Database, Disk, Done, Fault, Shape, TREE_VALUES, TREES_MAX};
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
    packer: Packer,
    staged: Vec<(PartitionKey, Staged)>,
    /// Ends of partitions with what is staged.
    ends: HashMap<PartitionKey, Offset>,
    /// Values that were flushed.
    flushed: u32,
    /// Bytes of batches in the segment.
    bytes: u64,
    appended: Timestamp,
    /// The flush that was begun.
    flushing: Option<Flushing>,
    /// What became of a flush that was begun, if it was given up with what was written behind it.
    lost: Option<StoreError>,
    /// It shows what was flushed; left so by a panic.
    showing: bool,
}

/// A flush that was begun.
#[derive(Debug)]
struct Flushing {
    /// How much of what is staged it covers, and how many values.
    staged: usize,
    values: u32,
    appended: Timestamp,
}

/// What a flush shows.
#[derive(Debug)]
enum Staged {
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

    /// Stages entries behind those that are staged already.
    pub(super) fn write(
        &self,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        let bytes: usize = entries.iter().map(|(_, entry)| entry.byte_len()).sum();
        // What raises starts and deletes topics makes room: the space that is kept free is for it.
        let admitted = match bytes {
            0 => Ok(()),
            _ => self.node.space.admit(ByteSize(bytes as u64)),
        };
        let before = writer.flushing.as_ref().map_or(0, |f| f.staged);
        let is_first = writer.staged.len() == before;
        if let Err(full) = admitted {
            if is_first {
                return Err(full);
            }
            // What was staged before goes with it, or the next flush would show it.
            return Err(self.fail(&mut writer, Fault::Failed(full)));
        }
        if writer.staged.is_empty() && writer.flushing.is_none() {
            self.roll_if_due(&mut writer, derived)?;
        }
        if is_first {
            writer.appended = self.node.clock.now();
        }
        let active = match &writer.active {
            Some(active) => Arc::clone(active),
            None => self.begin(&mut writer, derived)?,
        };
        let staged = active.with_open(|database| self.stage(&mut writer, database, entries));
        let staged = staged.unwrap_or_else(|| Err(closed(&active)));
        staged.map_err(|fault| self.fail(&mut writer, fault))
    }

    fn stage(
        &self,
        writer: &mut Writer,
        database: &dyn Database,
        entries: &[(PartitionKey, Entry)],
    ) -> Result<(), Fault> {
        let mut into = database;
        let appended = writer.appended;
        for (key, entry) in entries {
            let end = match writer.ends.get(key) {
                Some(&end) => end,
                None => self.held(*key).map_or(Offset(0), |held| held.lock().end),
            };
            let (staged, end) = match entry {
                Entry::Batch(batch) => {
                    let header = batch.header();
                    if header.base_offset > end {
                        let to = header.base_offset;
                        writer.packer.skip(*key, to, appended, &mut into)?;
                    }
                    let packer = &mut writer.packer;
                    let went = packer.batches(*key, batch.bytes(), appended, &mut into)?;
                    writer.bytes += batch.bytes().len() as u64;
                    let place = Place {
                        first: header.base_offset,
                        next: header.next_offset(),
                        largest: largest(batch),
                        value: went.value,
                        at: went.at,
                        bytes: u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX),
                        records: records_of(header),
                    };
                    (Staged::Batch(place), place.next)
                }
                other => {
                    writer.packer.control(*key, other, appended, &mut into)?;
                    (Staged::Entry(other.clone()), other.end_after(end))
                }
            };
            writer.ends.insert(*key, end);
            writer.staged.push((*key, staged));
        }
        Ok(())
    }

    /// As `LogStore::begin_flush`.
    pub(super) fn begin_flush(&self, done: &Done) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        if writer.staged.is_empty() || writer.flushing.is_some() {
            return Ok(false);
        }
        let Some(active) = writer.active.clone() else {
            return Ok(false);
        };
        self.begin_to_flush(&mut writer, &active, Some(Arc::clone(done)))?;
        // A segment rolls between two flushes.
        Ok(!self.is_due(&writer, &active))
    }

    fn begin_to_flush(
        &self,
        writer: &mut Writer,
        active: &Segment,
        done: Option<Done>,
    ) -> Result<(), StoreError> {
        let appended = writer.appended;
        let begun = active.with_open(|database| {
            writer.packer.finish(appended, &mut { database })?;
            let values = database.values();
            database.begin_flush(done)?;
            Ok(values)
        });
        match begun.unwrap_or_else(|| Err(closed(active))) {
            Ok(values) => {
                let staged = writer.staged.len();
                writer.flushing = Some(Flushing {
                    staged,
                    values,
                    appended,
                });
                Ok(())
            }
            Err(fault) => Err(self.fail(writer, fault)),
        }
    }

    /// Makes durable what is staged, or the part of it whose flush was begun, and shows it.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        if let Some(lost) = writer.lost.take() {
            return Err(lost);
        }
        let Some(active) = writer.active.clone() else {
            return Ok(());
        };
        if writer.staged.is_empty() {
            return Ok(());
        }
        if writer.flushing.is_none() {
            self.begin_to_flush(&mut writer, &active, None)?;
        }
        let durability = self.node.durability;
        let flushed = active.with_open(|database| {
            database.finish_flush()?;
            if durability == Durability::Disk {
                database.sync().map_err(|fault| self.sync_failed(fault))?;
            }
            Ok(())
        });
        let begun = writer.flushing.take();
        match flushed.unwrap_or_else(|| Err(closed(&active))) {
            Ok(()) => {
                writer.showing = true;
                if let Some(flushing) = begun {
                    self.show(&mut writer, &active, &flushing);
                }
                writer.showing = false;
                Ok(())
            }
            Err(fault) => Err(self.fail(&mut writer, fault)),
        }
    }

    /// As `LogStore::abandon`.
    pub(super) fn abandon(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let path = self.node.disk.path(&self.root);
        if writer.showing {
            let reason = "what was flushed is shown in part";
            return Err(StoreError::failed("give up a group", path, &reason));
        }
        // Also with nothing staged: a panic may have come before it was noted.
        if writer.active.is_some() {
            let error = StoreError::failed("write", path, &"it was given up");
            self.fail(&mut writer, Fault::Failed(error));
        }
        // Nobody asks for it any more.
        writer.lost = None;
        Ok(())
    }

    fn sync_failed(&self, fault: Fault) -> Fault {
        let reason = match &fault {
            Fault::Failed(error) => error.to_string(),
            Fault::Broken(reason) => reason.clone(),
        };
        tracing::error!(
            stream = self.root,
            reason,
            "the device does not take a sync"
        );
        *self.trouble.lock() = Some(format!("a sync failed: {reason}"));
        fault
    }

    /// What was staged is what readers see from now on.
    fn show(&self, writer: &mut Writer, active: &Arc<Segment>, flushing: &Flushing) {
        let &Flushing {
            staged,
            values,
            appended,
        } = flushing;
        writer.flushed = values;
        let mut shown = 0;
        let mut gone = Vec::new();
        let mut cut = Vec::new();
        active.grow(|index| {
            index.values = values;
            for (key, staged) in writer.staged.drain(..staged) {
                let held = self.held_or_new(key);
                let mut held = held.lock();
                let part = index.parts.entry(key);
                let part = part.or_insert_with(|| PartIndex::new(held.end));
                match staged {
                    Staged::Batch(place) => {
                        index.runs = index.runs.saturating_add(1);
                        shown += u64::from(place.bytes);
                        held.push(active, &place, appended);
                        part.push(place, appended);
                    }
                    Staged::Entry(entry) => {
                        apply(&entry, part, &mut held);
                        gone.extend(part.gone.then_some(key));
                        cut.extend(matches!(entry, Entry::End(_)).then_some(key));
                        if held.starts_within() {
                            self.started.lock().insert(key);
                        }
                    }
                }
            }
        });
        active.bytes.fetch_add(shown, Ordering::Relaxed);
        active.live.fetch_add(shown, Ordering::Relaxed);
        if writer.staged.is_empty() {
            writer.ends.clear();
        }
        for key in cut {
            self.recount(key);
        }
        if !gone.is_empty() {
            let mut manifest = self.manifest.lock();
            gone.iter().for_each(|key| manifest.passed.forget(*key));
            drop(manifest);
            let mut partitions = self.partitions.write();
            for key in gone {
                partitions.remove(&key);
            }
        }
    }

    /// Drops what is staged, and gives the segment up where it was flushed last.
    fn fail(&self, writer: &mut Writer, fault: Fault) -> StoreError {
        let error = match fault {
            Fault::Failed(error) => error,
            Fault::Broken(reason) => StoreError::damaged(self.node.disk.path(&self.root), &reason),
        };
        tracing::error!(stream = self.root, %error, "a group of appends failed");
        writer.packer.clear();
        writer.staged.clear();
        writer.ends.clear();
        if writer.flushing.take().is_some() {
            // What it says does not matter: it counts no more.
            let active = writer.active.as_ref();
            active.and_then(|active| active.with_open(|database| database.finish_flush().ok()));
            writer.lost = Some(error.clone());
        }
        if let Some(active) = writer.active.take() {
            let mut manifest = self.manifest.lock();
            if let Some(listed) = manifest.find(active.id) {
                listed.values = Some(writer.flushed);
            }
            let disk = &*self.node.disk;
            let noted = disk.write(&counts_file(&active.name), &encode_counts(writer.flushed));
            if let Err(error) = manifest.write(disk, &self.root).and(noted) {
                tracing::error!(stream = self.root, %error, "could not note where a segment ends");
                let reason = format!("the list of segments is not written: {error}");
                self.trouble.lock().get_or_insert(reason);
            }
        }
        error
    }

    fn roll_if_due(
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
    fn is_due(&self, writer: &Writer, active: &Segment) -> bool {
        let age = self.node.clock.now().0.saturating_sub(active.begun.0);
        let roll_age = self.roll_age.load(Ordering::Relaxed);
        let begun = writer.flushing.as_ref().map(|f| f.values);
        writer.bytes >= self.node.segment_bytes
            || begun.unwrap_or(writer.flushed) >= VALUES_MAX
            || (roll_age > 0 && age >= roll_age && writer.bytes > 0)
    }

    /// Begins another segment. The one before is closed in the background.
    fn begin(
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

fn closed(segment: &Segment) -> Fault {
    Fault::Failed(StoreError::failed(
        "write",
        &segment.name,
        &"its database was closed",
    ))
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
