//! One segment: a sled database of its own, which is opened on use and closed when others need
//! the room.
//!
//! Its values are spread over many small trees. sled rewrites a whole leaf at every tenth change
//! of it, so a tree takes no more values once it holds 8 of them and 64 KiB; each byte is then
//! written once. The trees' names are their first keys: in order they are the index by offset.
//! The tree `time` holds, for each of them, the largest timestamp before it: the index by time.
//! The tree `summary` holds what was derived from all batches up to some offset, so that a start
//! after a kill replays the last trees only.
//! A value is there for readers when the log says so, not before: they name an end.

use std::borrow::Cow;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use wstream_record::{BatchError, Offset, RecordBatch, Timestamp};

use super::database::{self, BUFFER_BYTES_SMALL, Fault};
use super::extent::{Extent, Extents};
use super::files::failed;
use super::slots::{Held, OpenSlots};
use super::values::{Assembler, Key, Layout, lay_out, sortable, take_batch};
use crate::config::Durability;
use crate::errors::StoreError;
use crate::store::{Before, find_in_batch};
use crate::summary::{Found, Summary};

/// Values and bytes at which a tree takes no more.
const TREE_VALUES: usize = 8;
const TREE_BYTES: usize = 64 << 10;
/// Trees between two summaries.
const TREES_BETWEEN_SUMMARIES: usize = 32;
/// A larger summary is left out, and the replay is longer: values must stay small in a tree that
/// is written again and again.
const SUMMARY_BYTES_MAX: usize = 8 << 10;
/// The tree of times.
const TIME_TREE: &str = "time";
/// The tree of the summary, and its only key.
const SUMMARY_TREE: &str = "summary";

#[derive(Debug)]
pub(super) struct Segment {
    dir: PathBuf,
    base: Offset,
    /// What its database is made with, if there is none yet.
    buffer_bytes: usize,
    extents: Mutex<Extents>,
    /// Shared while used, alone while opened or closed.
    database: RwLock<Option<Database>>,
    last_used: AtomicU64,
    /// `last_used` as of the last `close_if_unused`.
    seen: AtomicU64,
}

#[derive(Debug)]
struct Database {
    db: sled::Db,
    /// sled's data file, for `fdatasync`.
    file: File,
    time: sled::Tree,
    /// First keys of the trees, in order.
    trees: RwLock<Vec<Key>>,
    /// The tree that is written to.
    last: Mutex<Option<LastTree>>,
    summary: sled::Tree,
    /// How many trees the stored summary covers.
    summarized: AtomicUsize,
    /// What the database holds in memory.
    held: Held,
}

/// What the tree `summary` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Progress<'a> {
    extent: Extent,
    summary: Cow<'a, Summary>,
}

#[derive(Debug)]
struct LastTree {
    tree: sled::Tree,
    values: usize,
    bytes: usize,
}

/// What a look at the batches of a segment came to.
pub(super) type Look<'a> = &'a mut dyn FnMut(RecordBatch) -> Result<ControlFlow<()>, StoreError>;

impl Segment {
    /// A segment that exists, or a small one.
    pub(super) fn new(dir: PathBuf, base: Offset, extent: Extent) -> Arc<Self> {
        Self::with_buffers(dir, base, extent, BUFFER_BYTES_SMALL)
    }

    /// A segment, whose database is made with such buffers if there is none yet.
    pub(super) fn with_buffers(
        dir: PathBuf,
        base: Offset,
        extent: Extent,
        buffer_bytes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            dir,
            base,
            buffer_bytes,
            extents: Mutex::new(Extents::all_flushed(extent)),
            database: RwLock::new(None),
            last_used: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    /// What was flushed.
    pub(super) fn extent(&self) -> Extent {
        self.extents.lock().flushed
    }

    /// What was written, flushed or not.
    pub(super) fn written(&self) -> Extent {
        self.extents.lock().written
    }

    pub(super) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Writes batches, which follow the last one, and answers how many it took: all, unless
    /// `more` are coming. `before` tells of all earlier ones.
    pub(super) fn write(
        self: &Arc<Self>,
        slots: &OpenSlots,
        batches: &[RecordBatch],
        before: Before<'_>,
        more: bool,
    ) -> Result<usize, Fault> {
        let mut extent = self.written();
        self.with_database(slots, |database| {
            database.summarize(&extent, before, &self.dir)?;
            let layout = lay_out(batches, more);
            database.insert(&layout, &mut extent, &self.dir)?;
            let taken = layout.batches;
            batches[..taken].iter().for_each(|b| extent.note(b));
            // Before the database is let go: it must not be closed now.
            self.extents.lock().written = extent;
            Ok(taken)
        })
    }

    /// Flushes what was written: on `Ok` it survives a kill, with `Durability::Disk` a power cut.
    pub(super) fn flush(&self, durability: Durability) -> Result<(), Fault> {
        let written = self.written();
        let database = self.database.read();
        let Some(database) = &*database else {
            let reason = "it was closed before what was written was flushed";
            return Err(Fault::Failed(failed("flush", &self.dir, &reason)));
        };
        let flushed = database.db.flush();
        flushed.map_err(|e| database::judge(&self.dir, &e))?;
        if durability == Durability::Disk {
            let synced = database.file.sync_data();
            synced.map_err(|e| Fault::Failed(failed("sync", &self.dir, &e)))?;
        }
        self.extents.lock().flushed = written;
        Ok(())
    }

    /// Shows `look` the batches from the one that holds `from` on, which begin below `end`,
    /// until it breaks.
    pub(super) fn look_from(
        self: &Arc<Self>,
        slots: &OpenSlots,
        from: Offset,
        end: Offset,
        look: Look<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        self.with_database(slots, |database| {
            let start = database.key_of(from, &self.dir)?;
            database.look(start, end, &self.dir, look)
        })
    }

    /// The first record in [from, end) at `at` or later.
    pub(super) fn find(
        self: &Arc<Self>,
        slots: &OpenSlots,
        from: Offset,
        end: Offset,
        at: Timestamp,
    ) -> Result<Option<Found>, Fault> {
        let mut found = None;
        let mut look = |batch: RecordBatch| {
            if batch.header().next_offset() <= from {
                return Ok(ControlFlow::Continue(()));
            }
            found = find_in_batch(&batch, from, at)?;
            let done = found.is_some();
            Ok(if done {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        let _stopped = self.with_database(slots, |database| {
            // The last tree before which all records are older than `at`.
            let tree = database.time.range(..sortable(at)).next_back();
            let tree = tree.transpose();
            let tree = tree.map_err(|e| database::judge(&self.dir, &e))?;
            let tree = tree.and_then(|(key, _)| Key::from_bytes(key.get(8..)?));
            let start = tree.max(database.key_of(from, &self.dir)?);
            database.look(start, end, &self.dir, &mut look)
        })?;
        Ok(found)
    }

    /// Reads what came after the stored summary, or everything, adds it to `summary`, removes an
    /// incomplete last batch, and takes note of what the segment holds.
    pub(super) fn replay(
        self: &Arc<Self>,
        slots: &OpenSlots,
        summary: &mut Summary,
    ) -> Result<(), Fault> {
        let begun = self.extent().begun;
        let mut extent = Extent::empty(self.base, begun);
        self.with_database(slots, |database| {
            let progress = database.progress(&self.dir)?;
            if let Some(progress) = progress {
                extent = progress.extent;
                *summary = progress.summary.into_owned();
            }
            let start = Key::whole(extent.next);
            let mut look = |batch: RecordBatch| {
                let header = *batch.header();
                let corrupt = |source| StoreError::Corrupt {
                    at: header.base_offset,
                    source,
                };
                batch.check_crc().map_err(corrupt)?;
                if header.base_offset != extent.next {
                    return Err(corrupt(BatchError::Malformed(
                        "it does not follow the last",
                    )));
                }
                extent.note(&batch);
                summary.note(&header);
                Ok(ControlFlow::Continue(()))
            };
            let end = Offset(i64::MAX);
            let _all = database.look(Some(start), end, &self.dir, &mut look)?;
            database.remove_from(extent.next, &self.dir)?;
            extent.trees = database.trees.read().len();
            Ok(())
        })?;
        *self.extents.lock() = Extents::all_flushed(extent);
        Ok(())
    }

    /// Closes the database, waiting for those who use it.
    pub(super) fn close(&self) {
        *self.database.write() = None;
    }

    /// Closes the database if nobody has used it since the last call.
    pub(super) fn close_if_unused(&self, slots: &OpenSlots) {
        let used = self.last_used();
        if self.seen.swap(used, Ordering::Relaxed) == used && self.is_open() {
            self.close_if_idle(slots);
        }
    }

    /// Has the database closed unless someone uses it; says whether it will be.
    pub(super) fn close_if_idle(&self, slots: &OpenSlots) -> bool {
        let Some(mut database) = self.database.try_write() else {
            return false;
        };
        // What is not flushed yet must fail where it is waited for, not while closing.
        if self.extents.lock().is_dirty() {
            return false;
        }
        if let Some(database) = database.take() {
            database.held.release();
            slots.background().run(move || drop(database));
        }
        true
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().is_some()
    }

    fn with_database<T>(
        self: &Arc<Self>,
        slots: &OpenSlots,
        mut run: impl FnMut(&Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            if let Some(database) = &*self.database.read() {
                self.last_used.store(slots.tick(), Ordering::Relaxed);
                let done = run(database);
                self.last_used.store(slots.tick(), Ordering::Relaxed);
                return done;
            }
            let mut database = self.database.write();
            if database.is_none() {
                slots.admit(self);
                self.last_used.store(slots.tick(), Ordering::Relaxed);
                *database = Some(Database::open(
                    &self.dir,
                    self.buffer_bytes,
                    slots.account(),
                )?);
            }
        }
    }
}

impl Database {
    fn open(dir: &Path, buffer_bytes: usize, held: Held) -> Result<Self, Fault> {
        let db = database::open(dir, buffer_bytes)?;
        let file = File::open(dir.join("db"));
        let file = file.map_err(|e| Fault::Failed(failed("open", dir, &e)))?;
        let time = db.open_tree(TIME_TREE);
        let time = time.map_err(|e| database::judge(dir, &e))?;
        let summary = db.open_tree(SUMMARY_TREE);
        let summary = summary.map_err(|e| database::judge(dir, &e))?;
        let names = db.tree_names();
        let mut trees: Vec<Key> = names.iter().filter_map(|n| Key::from_bytes(n)).collect();
        trees.sort_unstable();
        Ok(Self {
            db,
            file,
            time,
            trees: RwLock::new(trees),
            last: Mutex::new(None),
            summary,
            summarized: AtomicUsize::new(0),
            held,
        })
    }

    /// Stores what is derived from the batches so far, if enough trees were begun since.
    fn summarize(&self, extent: &Extent, before: Before<'_>, dir: &Path) -> Result<(), Fault> {
        let summarized = self.summarized.load(Ordering::Relaxed);
        if extent.trees < summarized + TREES_BETWEEN_SUMMARIES {
            return Ok(());
        }
        self.summarized.store(extent.trees, Ordering::Relaxed);
        let progress = Progress {
            extent: *extent,
            summary: before.summary(),
        };
        let bytes = serde_json::to_vec(&progress);
        let bytes = bytes.map_err(|e| Fault::Failed(failed("summarize", dir, &e)))?;
        if bytes.len() <= SUMMARY_BYTES_MAX {
            let stored = self.summary.insert(SUMMARY_TREE, bytes);
            stored.map_err(|e| database::judge(dir, &e))?;
        }
        Ok(())
    }

    fn progress(&self, dir: &Path) -> Result<Option<Progress<'static>>, Fault> {
        let stored = self.summary.get(SUMMARY_TREE);
        let stored = stored.map_err(|e| database::judge(dir, &e))?;
        let read = |bytes: sled::IVec| serde_json::from_slice(&bytes);
        let progress = stored.map(read).transpose();
        progress.map_err(|e| Fault::Broken(format!("its summary does not read: {e}")))
    }

    fn insert(&self, layout: &Layout<'_>, extent: &mut Extent, dir: &Path) -> Result<(), Fault> {
        let fault = |e: sled::Error| database::judge(dir, &e);
        let mut last = self.last.lock();
        if last.is_none() {
            *last = self.last_tree().map_err(fault)?;
        }
        let mut scratch = Vec::new();
        for value in &layout.values {
            let bytes = value.bytes(&mut scratch);
            let key = value.key.to_bytes();
            if last.as_ref().is_none_or(LastTree::is_full) {
                let tree = self.begin_tree(value.key, extent.newest).map_err(fault)?;
                *last = Some(LastTree {
                    tree,
                    values: 0,
                    bytes: 0,
                });
            }
            let into = last.as_mut().expect("it was just put there");
            into.tree.insert(key, bytes).map_err(fault)?;
            into.values += 1;
            into.bytes += bytes.len();
            self.held.add(bytes.len());
            extent.newest = extent.newest.max(value.newest);
        }
        extent.trees = self.trees.read().len();
        Ok(())
    }

    fn begin_tree(&self, first: Key, newest_before: Timestamp) -> sled::Result<sled::Tree> {
        let tree = self.db.open_tree(first.to_bytes())?;
        let mut time = [0; 20];
        time[..8].copy_from_slice(&sortable(newest_before));
        time[8..].copy_from_slice(&first.to_bytes());
        self.time.insert(time, &[])?;
        let mut trees = self.trees.write();
        if trees.last() != Some(&first) {
            trees.push(first);
        }
        Ok(tree)
    }

    /// The tree that was written to before the database was closed.
    fn last_tree(&self) -> sled::Result<Option<LastTree>> {
        let Some(&name) = self.trees.read().last() else {
            return Ok(None);
        };
        let tree = self.db.open_tree(name.to_bytes())?;
        let (mut values, mut bytes) = (0, 0);
        for value in &tree {
            values += 1;
            bytes += value?.1.len();
        }
        Ok(Some(LastTree {
            tree,
            values,
            bytes,
        }))
    }

    /// The tree that holds `key`, or would, by its place.
    fn tree_of(&self, key: Key) -> usize {
        let trees = self.trees.read();
        trees
            .partition_point(|first| *first <= key)
            .saturating_sub(1)
    }

    fn tree_at(&self, place: usize) -> sled::Result<Option<sled::Tree>> {
        let name = self.trees.read().get(place).copied();
        name.map(|name| self.db.open_tree(name.to_bytes()))
            .transpose()
    }

    /// The first key of the value, or chunks, that hold `offset`; `None` if that is below all.
    fn key_of(&self, offset: Offset, dir: &Path) -> Result<Option<Key>, Fault> {
        let last = Key::last_of(offset);
        let place = self.tree_of(last);
        // A kill may leave a last tree without values.
        for place in (0..=place).rev() {
            let tree = self.tree_at(place);
            let tree = tree.map_err(|e| database::judge(dir, &e))?;
            let value = tree.and_then(|t| t.range(..=last.to_bytes()).next_back());
            if let Some(value) = value {
                let (key, _) = value.map_err(|e| database::judge(dir, &e))?;
                let key = Key::from_bytes(&key);
                return Ok(key.map(|key| Key { chunk: 0, ..key }));
            }
        }
        Ok(None)
    }

    /// Shows `look` all batches of the values from `start` to below `end`, until it breaks.
    fn look(
        &self,
        start: Option<Key>,
        end: Offset,
        dir: &Path,
        look: Look<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        let start = start.unwrap_or_else(|| Key::whole(Offset(0)));
        let mut assembler = Assembler::default();
        let mut place = self.tree_of(start);
        while let Some(tree) = self.tree_at(place).map_err(|e| database::judge(dir, &e))? {
            self.account_read();
            for value in tree.range(start.to_bytes()..) {
                let (key, value) = value.map_err(|e| database::judge(dir, &e))?;
                let foreign = || Fault::Broken("a key is none of the log's".to_owned());
                let key = Key::from_bytes(&key).ok_or_else(foreign)?;
                if key.offset >= end {
                    return Ok(ControlFlow::Continue(()));
                }
                let corrupt = |source| {
                    Fault::Failed(StoreError::Corrupt {
                        at: key.offset,
                        source,
                    })
                };
                let whole = assembler.push(key, Bytes::from_owner(value));
                let mut whole = whole.map_err(corrupt)?.unwrap_or_default();
                while let Some(batch) = take_batch(&mut whole).map_err(corrupt)? {
                    if batch.header().base_offset >= end {
                        return Ok(ControlFlow::Continue(()));
                    }
                    if look(batch).map_err(Fault::Failed)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            place += 1;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Accounts for a tree that is read: whichever value it is, sled reads them all.
    fn account_read(&self) {
        let bytes = self.file.metadata().map_or(0, |m| m.len());
        let trees = self.trees.read().len().max(1) as u64;
        self.held.add_read(bytes / trees, bytes);
    }

    /// Removes the chunks of a last batch that is not whole, which begin at `offset`.
    fn remove_from(&self, offset: Offset, dir: &Path) -> Result<(), Fault> {
        let fault = |e: sled::Error| database::judge(dir, &e);
        let first = Key {
            offset,
            chunk: 0,
            chunks: 0,
        };
        let mut place = self.tree_of(first);
        let mut removed = 0;
        while let Some(tree) = self.tree_at(place).map_err(fault)? {
            let keys = tree.range(first.to_bytes()..).keys();
            let keys: Vec<sled::IVec> = keys.collect::<sled::Result<_>>().map_err(fault)?;
            for key in keys {
                tree.remove(key).map_err(fault)?;
                removed += 1;
            }
            place += 1;
        }
        if removed > 0 {
            self.db.flush().map_err(fault)?;
            tracing::warn!(dir = %dir.display(), %offset, "removed an incomplete last batch");
        }
        Ok(())
    }
}

impl LastTree {
    fn is_full(&self) -> bool {
        self.values >= TREE_VALUES && self.bytes >= TREE_BYTES
    }
}
