//! The only place that names sled: databases of numbered values, and small files that are replaced
//! whole. It knows no partition and no segment.
//!
//! `Disk` is the seam below the store: `real` keeps sled databases in a directory, `sim` (tests)
//! keeps the same in memory with what a kill and a power cut leave of it, and with faults by seed.
//! Both pass `conformance`.
//!
//! A database takes values under the numbers 0, 1, 2, ... and never a second one under the same
//! number. Eight values, of any size, go into a tree of their own, so that sled never consolidates
//! or splits a leaf, and no file below `blobs/` ever exists. A key is `MAGIC | number u32 | safe u32
//! | crc32c u32 | head`, where the checksum covers the rest and the value: each value is checked
//! whenever it is read. `safe` is how many values were known to be flushed, or synced where there
//! are syncs, when it was put. An opened database is only read: appends go to new ones.

pub(crate) mod commands;
#[cfg(test)]
pub(crate) mod conformance;
mod free_space;
mod open;
pub(crate) mod real;
#[cfg(test)]
pub(crate) mod sim;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wstream_record::ByteSize;

pub use self::free_space::FreeSpace;
use crate::errors::StoreError;

/// Largest value. sled makes a file of its own for larger ones (131,052 bytes less key and frame).
pub(crate) const VALUE_BYTES_MAX: usize = 120 << 10;
/// Largest head.
pub(crate) const HEAD_BYTES_MAX: usize = 64;
/// Values of a tree: sled rewrites a leaf at its tenth delta.
pub(crate) const TREE_VALUES: u32 = 8;
/// Trees of a database: registering one rewrites the list of all.
pub(crate) const TREES_MAX: u32 = 1_500;
/// Values of a database.
pub(crate) const VALUES_MAX: u32 = TREES_MAX * TREE_VALUES;

/// Why a database cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system refused something (files, rights, space); another time it may work.
    Failed(StoreError),
    /// What is there is not what was stored.
    Broken(String),
}

/// What a database is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not much: buffers of 512 KiB.
    Small,
    /// To be filled: buffers of 2 MiB.
    Large,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) number: u32,
    pub(crate) head: Bytes,
    pub(crate) bytes: Bytes,
}

/// Values that the files of a database hold behind what it shows.
///
/// A kill may leave values that were never flushed behind some that are missing: those between
/// `safe` and `values` may never have been acknowledged. What is missing below `safe` was: it is
/// lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// One more than the highest number of a value that was stored, as far as that can be told.
    pub(crate) values: u32,
    /// How many values one that is whole says were flushed, or synced, before it was put. May be
    /// lower than what is shown.
    pub(crate) safe: u32,
}

/// What one file of a closed database must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSum {
    /// Relative to the database's directory.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
}

/// What a closed database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) files: Vec<FileSum>,
    /// Where its values are in them; only `Disk::open_sealed` knows the form.
    pub(crate) places: Vec<u8>,
}

/// What is called when something has come back.
pub(crate) type Done = Arc<dyn Fn() + Send + Sync>;

/// A directory with databases and small files in it. All names are relative to it, with `/`.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Makes an empty database.
    fn create(&self, name: &str, shape: Shape) -> Result<Box<dyn Database>, Fault>;

    /// Opens a database to read it: after a kill, or one that was closed. After a kill it shows the
    /// values up to the first that is missing, but all below `safe` that are there.
    fn open(&self, name: &str) -> Result<Box<dyn Database>, Fault>;

    /// Makes a closed database, which holds so many values, one that nobody writes to any more: all
    /// its files are on the device when this returns. `Damaged` if not all values are there.
    fn seal(&self, name: &str, values: u32) -> Result<Sealed, StoreError>;

    /// Opens a sealed database to read it, by the `places` of its seal. Nothing of it changes, and it
    /// holds nothing in memory. What is not where the places say reads as damaged.
    fn open_sealed(&self, name: &str, places: &[u8]) -> Result<Box<dyn Database>, Fault>;

    /// Compares a closed database with its seal without opening it; `Err(Broken)` says which file
    /// differs and how. With `contents` it reads them whole, else it compares lengths only.
    fn verify(&self, name: &str, seal: &[FileSum], contents: bool) -> Result<(), Fault>;

    /// Searches the raw bytes of a database, open or not, for values at or above `shown` (how many
    /// it shows): those count whose checksum fits key and value whole, and the ones right behind them
    /// that are all there and damaged. sled writes over what it does not show when it opens a
    /// database; what was there before is remembered with it.
    fn search_raw(&self, name: &str, shown: u32) -> Result<Option<Behind>, StoreError>;

    /// A file as a whole; `None` if there is none.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces a file as a whole: after `Ok` a power cut finds the new one, after an error or a
    /// cut in between the old or the new one.
    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes a file, or a directory with all it holds; a kill in between leaves nothing that
    /// looks whole. After `Ok` it stays removed. None there is fine.
    fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Names in a directory, sorted; none if it is not there. What `remove` was cut off at, and
    /// `write`'s temporaries, are not shown (and are removed by the next `remove_leftovers`).
    fn names(&self, dir: &str) -> Result<Vec<String>, StoreError>;

    /// Finishes what kills cut off in a directory.
    fn remove_leftovers(&self, dir: &str) -> Result<(), StoreError>;

    /// Copies a directory to `aside/AS` of the data directory (with a number behind it if there is
    /// one already) and says where that is. Nothing of the original is changed.
    fn keep_aside(&self, name: &str, as_name: &str) -> Result<PathBuf, StoreError>;

    /// Bytes left.
    fn free_space(&self) -> Result<ByteSize, StoreError>;

    /// Whether the directory is still the one that was opened (not removed, not replaced).
    fn is_present(&self) -> bool;

    /// Where a name is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// One database. Values are put by one thread at a time and read by any. After a `put`, `flush` or
/// `sync` that failed, all three refuse until it is opened again. One that does not come back from
/// something in time is given up: that is a failure, and it is only read from then on. Dropping one
/// closes it, and waits no longer than that either.
pub(crate) trait Database: fmt::Debug + Send + Sync {
    /// Stores a value under the next number and answers it. Not durable before `flush`.
    fn put(&self, head: &[u8], bytes: &[u8]) -> Result<u32, Fault>;

    /// Begins a flush of what was put so far, which `finish_flush` must follow. What is put in
    /// between may or may not be part of it. `done` is called, on any thread, once it has come back.
    fn begin_flush(&self, done: Option<Done>) -> Result<(), Fault>;

    /// Waits for the flush that was begun. After `Ok`, what was put before that survives a killed
    /// process.
    fn finish_flush(&self) -> Result<(), Fault>;

    /// Both: after `Ok`, what was put survives a killed process.
    fn flush(&self) -> Result<(), Fault> {
        self.begin_flush(None)?;
        self.finish_flush()
    }

    /// After `flush` and this, what was put survives a power cut, with all names that a start needs.
    fn sync(&self) -> Result<(), Fault>;

    /// The value under a number; `None` if there is none. One that is not what was put is `Broken`.
    fn get(&self, number: u32) -> Result<Option<Value>, Fault>;

    /// Shows the values from `from` on in order, until `look` breaks. Numbers that are not there
    /// are passed over; a value that is not what was put is shown as `Err(number)`.
    fn each(
        &self,
        from: u32,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<(), Fault>;

    /// Values put since it was made, or found when it was opened: one more than the highest number.
    fn values(&self) -> u32;

    /// Whether it takes no more (trees).
    fn is_full(&self) -> bool;
}
