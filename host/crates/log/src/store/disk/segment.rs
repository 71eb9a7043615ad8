//! One segment: a database of values and the index of what they hold.
//!
//! The newest one is written; its database stays open and its index is in memory. A closed one is
//! opened when somebody reads it, and closed again when others need the room (`slots`). A segment
//! that is removed says so and is never opened again: what a directory holds is the manifest's to
//! say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use wstream_record::{Offset, Timestamp};

use super::form;
use super::index::{PartIndex, Place, SegmentIndex};
use super::layout::{Unpacker, chunks_of};
use crate::errors::StoreError;
use crate::numbers::put;
use crate::sled::{Database, Disk, Fault, FileSum, Sealed};
use crate::store::{Aborted, PartitionKey, aborted};

/// Why a segment does not give what is asked of it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was removed or replaced: look again where the data is now.
    Removed,
    /// What is stored does not read.
    Damaged(String),
    /// The system refused something.
    Failed(StoreError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(error) => Self::Failed(error),
            Fault::Broken(reason) => Self::Damaged(reason),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// One segment of a stream.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    /// Its directory.
    pub(super) name: String,
    pub(super) begun: Timestamp,
    /// `None` while it is closed. Whoever reads holds it, not the lock: one who does not come back
    /// keeps nobody else waiting.
    pub(super) database: RwLock<Option<Arc<dyn Database>>>,
    index: RwLock<Index>,
    /// Bytes of batches in it, and of those still wanted.
    pub(super) bytes: AtomicU64,
    pub(super) live: AtomicU64,
    /// Entries of batches per hundred values: how mixed it is.
    pub(super) mixed: AtomicU32,
    pub(super) settled: AtomicBool,
    removed: AtomicBool,
    /// Its database is read by its seal.
    pub(super) sealed: AtomicBool,
    /// Whether it cannot be rewritten, for damage in it.
    stuck: AtomicBool,
    damaged: Mutex<Option<String>>,
    pub(super) used: AtomicU64,
    /// Bytes of values read since it was opened, which it keeps in memory.
    pub(super) held: AtomicU64,
    seal: Mutex<Option<Vec<FileSum>>>,
}

/// Where the index is.
enum Index {
    /// It grows.
    Live(SegmentIndex),
    /// It was read.
    Loaded(Arc<SegmentIndex>),
    /// Beside the segment.
    Stored,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live(_) => "Live",
            Self::Loaded(_) => "Loaded",
            Self::Stored => "Stored",
        })
    }
}

impl Segment {
    /// A segment that is written, or was when the process ended.
    pub(super) fn live(
        root: &str,
        id: u64,
        begun: Timestamp,
        database: Option<Box<dyn Database>>,
    ) -> Self {
        let index = SegmentIndex {
            begun,
            ..SegmentIndex::default()
        };
        Self::new(root, id, begun, database, Index::Live(index))
    }

    /// A closed segment; the caller gives its index, which is not kept.
    pub(super) fn closed(root: &str, id: u64, index: &SegmentIndex) -> Self {
        let segment = Self::new(root, id, index.begun, None, Index::Stored);
        segment.sealed.store(true, Ordering::Release);
        segment.settled.store(index.settled, Ordering::Relaxed);
        segment.count(index);
        segment
    }

    fn new(
        root: &str,
        id: u64,
        begun: Timestamp,
        database: Option<Box<dyn Database>>,
        index: Index,
    ) -> Self {
        Self {
            id,
            name: segment_name(root, id),
            begun,
            database: RwLock::new(database.map(Arc::from)),
            index: RwLock::new(index),
            bytes: AtomicU64::new(0),
            live: AtomicU64::new(0),
            mixed: AtomicU32::new(100),
            settled: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            damaged: Mutex::new(None),
            used: AtomicU64::new(0),
            held: AtomicU64::new(0),
            seal: Mutex::new(None),
        }
    }

    fn count(&self, index: &SegmentIndex) {
        let bytes = index.bytes();
        self.bytes.store(bytes, Ordering::Relaxed);
        let mixed = u64::from(index.runs) * 100 / u64::from(index.values.max(1));
        let mixed = u32::try_from(mixed).unwrap_or(u32::MAX);
        self.mixed.store(mixed, Ordering::Relaxed);
    }

    /// Takes note that bytes are no longer wanted.
    pub(super) fn forget(&self, bytes: u64) {
        let less = |live: u64| Some(live.saturating_sub(bytes));
        // The closure always answers.
        self.live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .ok();
    }

    /// Changes the index while it grows.
    pub(super) fn grow<T>(&self, change: impl FnOnce(&mut SegmentIndex) -> T) -> Option<T> {
        match &mut *self.index.write() {
            Index::Live(index) => Some(change(index)),
            Index::Loaded(_) | Index::Stored => None,
        }
    }

    /// Whether it still grows, or was not closed yet.
    pub(super) fn is_live(&self) -> bool {
        matches!(*self.index.read(), Index::Live(_))
    }

    /// Has no more readers from now on.
    pub(super) fn remove(&self) {
        self.removed.store(true, Ordering::Release);
        *self.database.write() = None;
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// It is not rewritten any more.
    pub(super) fn set_stuck(&self) {
        self.stuck.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Says once and for all that nothing of it reads.
    pub(super) fn give_up(&self, reason: String) {
        self.damaged.lock().get_or_insert(reason);
    }

    pub(super) fn damaged(&self) -> Option<String> {
        self.damaged.lock().clone()
    }

    pub(super) fn set_seal(&self, seal: Vec<FileSum>) {
        *self.seal.lock() = Some(seal);
    }

    pub(super) fn seal(&self) -> Option<Vec<FileSum>> {
        self.seal.lock().clone()
    }

    /// Gives it a database that was opened already.
    pub(super) fn put_database(&self, database: Box<dyn Database>) {
        *self.database.write() = Some(database.into());
    }

    /// Runs with the database that is written.
    pub(super) fn with_open<T>(&self, run: impl FnOnce(&dyn Database) -> T) -> Option<T> {
        let database = self.database.read().clone();
        database.as_deref().map(run)
    }

    /// Lets go of the database for good, and has it sealed while nobody can open it.
    pub(super) fn close_for_good(
        &self,
        seal: impl FnOnce() -> Result<Vec<FileSum>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut database = self.database.write();
        *database = None;
        let sums = seal()?;
        *self.seal.lock() = Some(sums);
        self.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Lets go of the database, which closes when the last of those who read it does too. Says
    /// whether it was open.
    pub(super) fn close_database(&self) -> bool {
        let database = self.database.write().take();
        self.held.store(0, Ordering::Relaxed);
        database.is_some()
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().is_some()
    }

    /// Forgets the index that was read.
    pub(super) fn unload(&self) {
        let mut index = self.index.write();
        if matches!(*index, Index::Loaded(_)) {
            *index = Index::Stored;
        }
    }

    /// The index is complete and stored: it is read when it is needed.
    pub(super) fn closed_with(&self, index: &SegmentIndex) {
        self.sealed.store(true, Ordering::Release);
        self.count(index);
        *self.index.write() = Index::Stored;
    }

    /// A copy of the index, to be stored.
    pub(super) fn index(&self, disk: &dyn Disk) -> Result<Arc<SegmentIndex>, Trouble> {
        match &*self.index.read() {
            Index::Live(index) => return Ok(Arc::new(index.clone())),
            Index::Loaded(index) => return Ok(Arc::clone(index)),
            Index::Stored => {}
        }
        let index = Arc::new(load(disk, &self.name)?);
        *self.index.write() = Index::Loaded(Arc::clone(&index));
        Ok(index)
    }

    /// Where the batches of a partition are from `from` on: whole places, until they come to
    /// `bytes_max` or begin at or above `end`.
    pub(super) fn places(
        &self,
        disk: &dyn Disk,
        key: PartitionKey,
        from: Offset,
        end: Offset,
        bytes_max: u64,
    ) -> Result<Vec<Place>, Trouble> {
        let pick = |part: Option<&PartIndex>| {
            let Some(part) = part else { return Vec::new() };
            let mut bytes = 0;
            let places = part.places[part.find(from)..].iter();
            let places = places.take_while(|place| {
                let take = place.first < end && bytes <= bytes_max;
                bytes += u64::from(place.bytes);
                take
            });
            places.copied().collect()
        };
        if self.is_removed() {
            return Err(Trouble::Removed);
        }
        if let Index::Live(index) = &*self.index.read() {
            return Ok(pick(index.parts.get(&key)));
        }
        Ok(pick(self.index(disk)?.parts.get(&key)))
    }
}

/// What was aborted by markers in a segment.
impl Segment {
    /// Adds a range while the index grows; says whether it does.
    pub(super) fn note_aborted(&self, key: PartitionKey, range: Aborted) -> bool {
        let noted = self.grow(|index| {
            let part = index.parts.get_mut(&key);
            part.map(|part| aborted::insert(&mut part.aborted, range))
        });
        noted.flatten().is_some()
    }

    /// Runs with all that was noted or stored.
    pub(super) fn with_aborted<T>(
        &self,
        disk: &dyn Disk,
        key: PartitionKey,
        run: impl FnOnce(&[Aborted]) -> T,
    ) -> Result<T, Trouble> {
        if self.is_removed() {
            return Err(Trouble::Removed);
        }
        let of = |index: &SegmentIndex| {
            let part = index.parts.get(&key);
            run(part.map_or(&[][..], |part| &part.aborted))
        };
        if let Index::Live(index) = &*self.index.read() {
            return Ok(of(index));
        }
        Ok(of(&*self.index(disk)?))
    }

    /// Whether its stored index is in memory.
    pub(super) fn is_loaded(&self) -> bool {
        matches!(*self.index.read(), Index::Loaded(_))
    }
}

pub(super) fn read_place(database: &dyn Database, place: &Place) -> Result<Bytes, Trouble> {
    let absent = |n: u32| Trouble::Damaged(format!("value {n} is not there"));
    let value = database.get(place.value)?;
    let value = value.ok_or_else(|| absent(place.value))?;
    let length = usize::try_from(place.bytes).unwrap_or(usize::MAX);
    let at = usize::try_from(place.at).unwrap_or(usize::MAX);
    let chunks = chunks_of(&value.head).unwrap_or(1);
    if chunks > 1 {
        let mut unpacker = Unpacker::default();
        let mut bytes = Vec::with_capacity(length);
        for number in (place.value..).take(usize::from(chunks)) {
            let value = database.get(number)?.ok_or_else(|| absent(number))?;
            unpacker
                .push(number, &value.head, &value.bytes)
                .map_err(|reason| Trouble::Damaged(reason.to_owned()))?;
            bytes.extend_from_slice(&value.bytes);
        }
        return Ok(Bytes::from(bytes));
    }
    let end = at.saturating_add(length);
    if end > value.bytes.len() {
        return Err(Trouble::Damaged(format!(
            "value {} is shorter than its index says",
            place.value
        )));
    }
    Ok(value.bytes.slice(at..end))
}

/// The directory of a segment.
pub(super) fn segment_name(root: &str, id: u64) -> String {
    format!("{root}/{id:010}")
}

/// The number of the segment whose directory or file this is.
pub(super) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.split_once('.').map_or(name, |(digits, _)| digits);
    let is_number = digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

fn load(disk: &dyn Disk, name: &str) -> Result<SegmentIndex, Trouble> {
    let file = index_file(name);
    let bytes = disk.read(&file)?;
    let bytes = bytes.ok_or_else(|| Trouble::Damaged("its index is not there".to_owned()))?;
    SegmentIndex::decode(&bytes)
        .map_err(|reason| Trouble::Damaged(format!("its index does not read: {reason}")))
}

/// Reads a segment's stored index.
pub(super) fn stored_index(disk: &dyn Disk, name: &str) -> Result<SegmentIndex, Trouble> {
    load(disk, name)
}

pub(super) fn index_file(name: &str) -> String {
    format!("{name}.index")
}

pub(super) fn seal_file(name: &str) -> String {
    format!("{name}.seal")
}

/// Where it is said how many values of a segment count that failed: the manifest says so too, and may
/// be lost.
pub(super) fn counts_file(name: &str) -> String {
    format!("{name}.counts")
}

/// All that a segment has: its database and the files beside it.
pub(super) fn names_of(name: &str) -> [String; 4] {
    [
        name.to_owned(),
        index_file(name),
        seal_file(name),
        counts_file(name),
    ]
}

pub(super) fn encode_counts(values: u32) -> Vec<u8> {
    let mut out = form::begin();
    put(&mut out, i64::from(values));
    form::close(out)
}

/// How many values of a segment count, if it failed.
pub(super) fn stored_counts(disk: &dyn Disk, name: &str) -> Option<u32> {
    let bytes = disk.read(&counts_file(name)).ok()??;
    form::open(&bytes).ok()?.small("a count").ok()
}

/// A seal as the bytes of a file: a checksum, the length of the list of files, that list as JSON, and
/// where the values are.
pub(super) fn encode_seal(seal: &Sealed) -> Vec<u8> {
    let files: BTreeMap<&str, (u64, u32)> = seal
        .files
        .iter()
        .map(|file| (file.name.as_str(), (file.bytes, file.crc)))
        .collect();
    let files = serde_json::to_vec(&files).expect("names and numbers always serialize");
    let length = u32::try_from(files.len()).expect("a database has few files");
    let mut out = vec![0; 4];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&files);
    out.extend_from_slice(&seal.places);
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_be_bytes());
    out
}

/// What `encode_seal` wrote; `None` for anything else.
pub(super) fn decode_seal(bytes: &[u8]) -> Option<Sealed> {
    let (crc, rest) = bytes.split_first_chunk::<4>()?;
    if crc32c::crc32c(rest) != u32::from_be_bytes(*crc) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (files, places) = rest.split_at_checked(length)?;
    let files: BTreeMap<String, (u64, u32)> = serde_json::from_slice(files).ok()?;
    let files = files.into_iter();
    let files = files.map(|(name, (bytes, crc))| FileSum { name, bytes, crc });
    Some(Sealed {
        files: files.collect(),
        places: places.to_vec(),
    })
}

/// Opens a segment's database: a closed one by its seal, if that reads.
pub(super) fn open(disk: &dyn Disk, name: &str, closed: bool) -> Result<Box<dyn Database>, Fault> {
    if closed {
        let seal = disk.read(&seal_file(name)).map_err(Fault::Failed)?;
        if let Some(seal) = seal.as_deref().and_then(decode_seal) {
            return disk.open_sealed(name, &seal.places);
        }
    }
    disk.open(name)
}
