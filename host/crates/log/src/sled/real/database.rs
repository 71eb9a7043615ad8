//! One sled database of numbered values.
//!
//! sled keeps a leaf as a base and up to nine changes; the tenth change rewrites it whole, into a
//! file below `blobs/` if it has become large, and with it whatever page sled has queued for
//! cleaning. A split or a merge of leaves does the same. A tree here gets one base and eight
//! changes and no more, its only leaf is too small to split and, as the first one, never merged:
//! so sled never replaces a leaf, whatever the values' sizes and whoever reads. Reads look trees up
//! among those that are known, and never make one.
//!
//! What waits for sled's threads or the device is done by a helper, within a limit. A database that
//! exceeds it is given up: it takes nothing more, and is read from its file, without sled.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::files::{files_below, sync_files, sync_up};
use super::key::{Key, prefix};
use super::limit::{Asked, Helper, Limit, Lost, Step, drop_apart};
use super::salvage::Salvaged;
use super::{opening, raw};
use crate::errors::StoreError;
use crate::sled::{
    Database, Done, Fault, HEAD_BYTES_MAX, Shape, TREE_VALUES, VALUE_BYTES_MAX, VALUES_MAX, Value,
    open,
};

/// Reason for everything that is asked of a database after it failed once.
const FAILED_BEFORE: &str = "it failed before and has to be opened again";

pub(super) struct SledDatabase {
    /// Made here, not opened.
    takes_values: bool,
    failed: AtomicBool,
    /// It did not come back from something: sled is not asked any more.
    given_up: AtomicBool,
    values: AtomicU32,
    /// Values that the last successful flush covers.
    flushed: AtomicU32,
    /// Values that were flushed (or, once it is synced, synced) before the next one is put.
    safe: AtomicU32,
    is_synced: AtomicBool,
    /// What became of the sync that came with the last flush.
    synced: Mutex<Option<sled::Result<()>>>,
    flushing: Mutex<Option<Flushing>>,
    putting: Mutex<()>,
    limit: Limit,
    helper: Helper,
    /// Only drop takes it.
    core: Option<Arc<Core>>,
    /// What a database that was given up is read from.
    raw: Mutex<Option<Arc<Salvaged>>>,
}

/// What came of a flush, and of the sync that came with it.
type FlushAnswer = sled::Result<Option<sled::Result<()>>>;

/// A flush that was begun.
struct Flushing {
    asked: Asked,
    /// How many values it covers.
    values: u32,
}

/// What the helper needs.
struct Core {
    dir: PathBuf,
    root: PathBuf,
    /// Whether what names it, and all its files, were synced.
    named: Mutex<bool>,
    /// sled's data file, open since before anything was written: it hears of every failure.
    file: File,
    trees: Trees,
    db: sled::Db,
}

/// Trees by the number of their first value.
type Trees = RwLock<BTreeMap<u32, sled::Tree>>;

impl Core {
    fn new(dir: PathBuf, root: PathBuf, db: sled::Db) -> Result<Self, Fault> {
        let file = File::open(dir.join("db"));
        let file = file.map_err(|e| Fault::Failed(StoreError::failed("open", &dir, &e)))?;
        Ok(Self {
            dir,
            root,
            named: Mutex::new(false),
            file,
            trees: RwLock::default(),
            db,
        })
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()?;
        self.sync_names()
    }

    /// Makes all its files and names durable, once.
    fn sync_names(&self) -> std::io::Result<()> {
        let mut named = self.named.lock();
        if !*named {
            sync_files(&self.dir, &files_below(&self.dir)?)?;
            sync_up(&self.dir, &self.root)?;
            *named = true;
        }
        Ok(())
    }
}

impl Drop for SledDatabase {
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        if self.given_up.load(Ordering::Acquire) {
            drop_apart(core);
            return;
        }
        let dir = core.dir.clone();
        if let Some(flushing) = self.flushing.get_mut().take() {
            // Nobody relies on it any more; the helper does one thing at a time.
            drop(self.helper.wait::<FlushAnswer>(flushing.asked));
        }
        match self.helper.run(Step::Close, move || drop(core)) {
            Ok(()) => {}
            // sled panics if the last sync fails; nobody relies on that one.
            Err(Lost::Panicked) => {
                tracing::warn!(dir = %dir.display(), "sled panicked while it closed a database");
            }
            Err(lost @ Lost::LeftBehind) => {
                self.limit.give_up(&dir);
                let reason = self.limit.reason(lost);
                tracing::error!(dir = %dir.display(), reason, "a database does not close, it is leaked");
            }
        }
    }
}

impl SledDatabase {
    /// Makes one in `dir`, which holds none.
    pub(super) fn create(
        dir: PathBuf,
        root: PathBuf,
        shape: Shape,
        limit: &Limit,
    ) -> Result<Self, Fault> {
        let of = dir.clone();
        let buffer_bytes = match shape {
            Shape::Small => opening::BUFFER_BYTES_SMALL,
            Shape::Large => opening::BUFFER_BYTES_LARGE,
        };
        let create = move || opening::create(&of, buffer_bytes);
        Self::begin(dir, root, limit, Step::Create, create)
    }

    /// Opens the one in `dir`.
    pub(super) fn open(dir: PathBuf, root: PathBuf, limit: &Limit) -> Result<Self, Fault> {
        let of = dir.clone();
        let open = move || opening::open(&of);
        let database = Self::begin(dir, root, limit, Step::Open, open)?;
        database.find_trees()?;
        let values = database.count()?;
        database.values.store(values, Ordering::Release);
        database.flushed.store(values, Ordering::Release);
        Ok(database)
    }

    fn begin(
        dir: PathBuf,
        root: PathBuf,
        limit: &Limit,
        step: Step,
        open: impl FnOnce() -> Result<sled::Db, Fault> + Send + 'static,
    ) -> Result<Self, Fault> {
        let failed = |reason: &dyn ToString| StoreError::failed(step.name(), &dir, reason);
        let helper = Helper::start(limit.clone()).map_err(|e| Fault::Failed(failed(&e)))?;
        let its = dir.clone();
        let core = helper.run(step, move || Core::new(its, root, open()?));
        let core = core.map_err(|lost| {
            if lost == Lost::LeftBehind {
                limit.give_up(&dir);
                tracing::error!(dir = %dir.display(), "a database does not open, it is given up");
            }
            Fault::Failed(failed(&limit.reason(lost)))
        })??;
        Ok(Self {
            takes_values: step == Step::Create,
            failed: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            values: AtomicU32::new(0),
            flushed: AtomicU32::new(0),
            safe: AtomicU32::new(0),
            is_synced: AtomicBool::new(false),
            synced: Mutex::new(None),
            flushing: Mutex::default(),
            putting: Mutex::new(()),
            limit: limit.clone(),
            helper,
            core: Some(Arc::new(core)),
            raw: Mutex::default(),
        })
    }

    fn core(&self) -> &Arc<Core> {
        self.core.as_ref().expect("only drop takes it")
    }

    fn dir(&self) -> &Path {
        &self.core().dir
    }

    fn find_trees(&self) -> Result<(), Fault> {
        let core = self.core();
        let mut trees = core.trees.write();
        for name in core.db.tree_names() {
            let Ok(first) = <[u8; 4]>::try_from(&*name) else {
                // sled's own.
                continue;
            };
            let first = u32::from_be_bytes(first);
            if first % TREE_VALUES == 0 && first < VALUES_MAX {
                let tree = self.reading(|| core.db.open_tree(&name))?;
                trees.insert(first, tree);
            }
        }
        Ok(())
    }

    /// One more than the highest number.
    fn count(&self) -> Result<u32, Fault> {
        for (first, tree) in self.core().trees.read().iter().rev() {
            // A kill may leave a last tree without values.
            match self.reading(|| tree.iter().next_back().transpose()) {
                Ok(Some((key, _))) => {
                    let key = Key::read(&key).filter(|key| is_in_tree(key.number, *first));
                    let foreign = || Fault::Broken("it holds a key of someone else".to_owned());
                    return Ok(key.ok_or_else(foreign)?.number + 1);
                }
                Ok(None) => {}
                Err(Fault::Broken(_)) => {
                    let found = raw::search(&self.dir().join("db"));
                    let found = found.map_err(|e| self.failed("search", &e))?;
                    return Ok(found.values().clamp(first + 1, first + TREE_VALUES));
                }
                Err(failed) => return Err(failed),
            }
        }
        Ok(0)
    }

    fn tree_of(&self, number: u32) -> Option<sled::Tree> {
        let trees = self.core().trees.read();
        trees.get(&(number / TREE_VALUES * TREE_VALUES)).cloned()
    }

    /// Reads something, which only fails as a whole.
    fn reading<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(read) => read.map_err(|e| open::judge("use database", self.dir(), &e)),
            Err(_) => Err(Fault::Broken("sled panicked while it read it".to_owned())),
        }
    }

    /// Writes something; after a failure nothing is written any more.
    fn writing<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce() -> Result<sled::Result<T>, Lost>,
    ) -> Result<T, Fault> {
        if self.failed.load(Ordering::Acquire) {
            return Err(self.failed(doing, &FAILED_BEFORE));
        }
        let reason = match write() {
            Ok(Ok(written)) => return Ok(written),
            Ok(Err(error)) => error.to_string(),
            Err(lost) => {
                if lost == Lost::LeftBehind {
                    self.give_up(doing);
                }
                self.limit.reason(lost)
            }
        };
        self.failed.store(true, Ordering::Release);
        Err(self.failed(doing, &reason))
    }

    /// Has the helper write something.
    fn limited<T: Send + 'static>(
        &self,
        step: Step,
        write: impl FnOnce(&Core) -> sled::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let core = Arc::clone(self.core());
        self.writing(step.name(), || self.helper.run(step, move || write(&core)))
    }

    fn give_up(&self, doing: &'static str) {
        let dir = self.dir();
        tracing::error!(dir = %dir.display(), doing, "a database does not come back, it is given up");
        self.given_up.store(true, Ordering::Release);
        self.limit.give_up(dir);
    }

    /// What to read from, if not from sled.
    fn raw(&self) -> Result<Option<Arc<Salvaged>>, Fault> {
        if !self.given_up.load(Ordering::Acquire) {
            return Ok(None);
        }
        let mut raw = self.raw.lock();
        if raw.is_none() {
            let core = self.core();
            let opened = Salvaged::of(core.dir.clone(), core.root.clone());
            *raw = Some(Arc::new(opened.map_err(|e| self.failed("read", &e))?));
        }
        Ok(raw.clone())
    }

    fn failed(&self, doing: &'static str, reason: &dyn ToString) -> Fault {
        Fault::Failed(StoreError::failed(doing, self.dir(), reason))
    }

    fn refusal(&self, head: &[u8], bytes: &[u8]) -> Option<&'static str> {
        if !self.takes_values {
            return Some("it was opened, and is only read");
        }
        if head.len() > HEAD_BYTES_MAX || bytes.len() > VALUE_BYTES_MAX {
            return Some("the value is too large");
        }
        self.is_full().then_some("it is full")
    }

    /// Shows the values of a tree that are at or above `from` and below `end`.
    fn each_in(
        &self,
        tree: &sled::Tree,
        from: u32,
        end: u32,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut next = from;
        let mut values = tree.range(prefix(from).to_vec()..);
        loop {
            let read = self.reading(|| values.next().transpose());
            let (key, bytes) = match read {
                Ok(Some(value)) => value,
                Ok(None) => return Ok(ControlFlow::Continue(())),
                // All of a tree reads, or nothing of it.
                Err(Fault::Broken(_)) => {
                    return Ok((next..end).try_for_each(|number| look(Err(number))));
                }
                Err(failed) => return Err(failed),
            };
            let Some(key) = Key::read(&key).filter(|key| (next..end).contains(&key.number)) else {
                return Ok(ControlFlow::Continue(()));
            };
            next = key.number + 1;
            if look(key.value(Bytes::from_owner(bytes))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

impl Database for SledDatabase {
    fn put(&self, head: &[u8], bytes: &[u8]) -> Result<u32, Fault> {
        let _one_at_a_time = self.putting.lock();
        if let Some(reason) = self.refusal(head, bytes) {
            return Err(self.failed("put", &reason));
        }
        let number = self.values.load(Ordering::Acquire);
        let safe = self.safe.load(Ordering::Acquire);
        let key = Key::new(number, safe, head, bytes).to_bytes();
        let put = || {
            let tree = match self.tree_of(number) {
                Some(tree) => tree,
                None => {
                    let tree = self.core().db.open_tree(number.to_be_bytes())?;
                    self.core().trees.write().insert(number, tree.clone());
                    tree
                }
            };
            tree.insert(key, bytes)
        };
        let put = || catch_unwind(AssertUnwindSafe(put)).map_err(|_panic| Lost::Panicked);
        let before = self.writing("put", put)?;
        debug_assert!(before.is_none(), "each number is put once");
        self.values.store(number + 1, Ordering::Release);
        Ok(number)
    }

    fn begin_flush(&self, done: Option<Done>) -> Result<(), Fault> {
        let values = self.values.load(Ordering::Acquire);
        let syncs = self.is_synced.load(Ordering::Acquire);
        if !syncs {
            let flushed = self.flushed.load(Ordering::Acquire);
            self.safe.fetch_max(flushed, Ordering::AcqRel);
        }
        let core = Arc::clone(self.core());
        // Who syncs once does so after each flush: both at once are one handover less.
        let flush = move || -> FlushAnswer {
            core.db.flush()?;
            Ok(syncs.then(|| Ok(core.sync()?)))
        };
        let begin = || Ok(Ok(self.helper.begin(Step::Flush, flush, done)?));
        let asked = self.writing(Step::Flush.name(), begin)?;
        *self.flushing.lock() = Some(Flushing { asked, values });
        Ok(())
    }

    fn finish_flush(&self) -> Result<(), Fault> {
        let Some(Flushing { asked, values }) = self.flushing.lock().take() else {
            return Err(self.failed(Step::Flush.name(), &"no flush was begun"));
        };
        let came = self.helper.wait(asked);
        let synced = self.writing(Step::Flush.name(), || came)?;
        *self.synced.lock() = synced;
        self.flushed.fetch_max(values, Ordering::AcqRel);
        debug_assert_eq!(blobs(self.dir()), 0, "no leaf is ever rewritten");
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        self.is_synced.store(true, Ordering::Release);
        let flushed = self.flushed.load(Ordering::Acquire);
        match self.synced.lock().take() {
            Some(synced) => self.writing(Step::Sync.name(), || Ok(synced))?,
            None => self.limited(Step::Sync, |core| Ok(core.sync()?))?,
        }
        self.safe.fetch_max(flushed, Ordering::AcqRel);
        Ok(())
    }

    fn get(&self, number: u32) -> Result<Option<Value>, Fault> {
        if let Some(raw) = self.raw()? {
            return raw.get(number);
        }
        let tree = self.tree_of(number);
        let Some(tree) = tree.filter(|_| number < self.values()) else {
            return Ok(None);
        };
        let found = self.reading(|| tree.scan_prefix(prefix(number)).next().transpose())?;
        let Some((key, bytes)) = found else {
            return Ok(None);
        };
        let key = Key::read(&key).filter(|key| key.number == number);
        let value = key.and_then(|key| key.value(Bytes::from_owner(bytes)).ok());
        let broken = || Fault::Broken(format!("value {number} is not what was put"));
        value.map(Some).ok_or_else(broken)
    }

    fn each(
        &self,
        from: u32,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        if let Some(raw) = self.raw()? {
            return raw.each(from, look);
        }
        let end = self.values();
        let mut first = from / TREE_VALUES * TREE_VALUES;
        while first < end {
            let next = {
                let trees = self.core().trees.read();
                let next = trees.range(first..).next();
                next.map(|(first, tree)| (*first, tree.clone()))
            };
            let Some((found, tree)) = next else { break };
            let tree_end = end.min(found + TREE_VALUES);
            if self
                .each_in(&tree, from.max(found), tree_end, look)?
                .is_break()
            {
                break;
            }
            first = found + TREE_VALUES;
        }
        Ok(())
    }

    fn values(&self) -> u32 {
        self.values.load(Ordering::Acquire)
    }

    fn is_full(&self) -> bool {
        self.values() >= VALUES_MAX
    }
}

fn is_in_tree(number: u32, first: u32) -> bool {
    (first..first + TREE_VALUES).contains(&number)
}

/// Files below `blobs/`, where there must be none.
pub(super) fn blobs(dir: &Path) -> usize {
    files_below(&dir.join("blobs")).map_or(0, |files| files.len())
}

impl fmt::Debug for SledDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledDatabase")
            .field("dir", &self.core.as_ref().map(|core| &core.dir))
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}
