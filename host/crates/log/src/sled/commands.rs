//! A small database for the commands of the metadata: entries of any size by number. It
//! knows nothing of what they mean.
//!
//! An entry is cut into chunks of 4 KiB, so that no leaf comes near the size at which sled would
//! write a file of its own for it: a leaf has at most 26 values before it is split. What was made is
//! only appended to until it is dropped; to read, only the file `db` is copied and the copy opened,
//! for sled changes what it opens. All else in sled's directory follows from `db`, so that damage to
//! it does no harm.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Fault, open};
use crate::errors::StoreError;

/// Bytes of a value.
const CHUNK_BYTES: usize = 4 << 10;
/// Bytes of the buffer through which a database writes, and what its file grows by.
const BUFFER_BYTES: usize = 512 << 10;
/// The file that holds the data.
const DATA_FILE: &str = "db";
/// sled lets go of a file a moment after its last handle is dropped.
const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// A database of entries.
#[derive(Debug)]
pub(crate) struct CommandDatabase {
    dir: PathBuf,
    db: sled::Db,
    file: File,
}

impl CommandDatabase {
    /// Makes an empty database in `dir`, which must not be there.
    pub(crate) fn create(dir: &Path) -> Result<Self, Fault> {
        #[cfg(test)]
        faults::step("create").map_err(|e| refused("make", dir, &e))?;
        fs::create_dir(dir).map_err(|e| refused("make", dir, &e))?;
        Self::open(dir)
    }

    fn open(dir: &Path) -> Result<Self, Fault> {
        let db = open::open(dir, BUFFER_BYTES, UNLOCK_WAIT_MAX)?;
        let data = dir.join(DATA_FILE);
        let file = File::open(&data).map_err(|e| refused("open", &data, &e))?;
        Ok(Self {
            dir: dir.to_owned(),
            db,
            file,
        })
    }

    /// Stores an entry. It counts after `sync`.
    pub(crate) fn append(&self, number: u64, bytes: &[u8]) -> Result<(), Fault> {
        #[cfg(test)]
        faults::step("append").map_err(|e| refused("write", &self.dir, &e))?;
        self.guarded("write", || {
            for (chunk, part) in (0..).zip(bytes.chunks(CHUNK_BYTES)) {
                self.db.insert(key(number, chunk), part)?;
            }
            Ok(())
        })
    }

    /// After `Ok` everything stored survives a power cut, but for the name of the directory itself.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        self.guarded("flush", || self.db.flush())?;
        #[cfg(test)]
        faults::step("sync").map_err(|e| refused("sync", &self.dir, &e))?;
        let synced = self.file.sync_data();
        let present = synced.and_then(|()| check_present(&self.dir.join(DATA_FILE), &self.file));
        present.map_err(|e| refused("sync", &self.dir, &e))
    }

    /// The same for a new database, whose files have names to be kept.
    pub(crate) fn sync_new(&self) -> Result<(), Fault> {
        self.sync()?;
        let all = self.file.sync_all().and_then(|()| sync_dir(&self.dir));
        all.map_err(|e| refused("sync", &self.dir, &e))
    }

    /// Shows the entries of a database in the order of their numbers until `look` breaks; a hole in
    /// an entry's chunks is an `Err`. `dir` is not changed: it is read from a copy in `copy`, which
    /// is removed again.
    pub(crate) fn read(
        dir: &Path,
        copy: &Path,
        look: &mut dyn FnMut(u64, Result<Bytes, String>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        remove_dir(copy).map_err(Fault::Failed)?;
        let read = copy_data(dir, copy).and_then(|()| Self::open(copy)?.each(look));
        // What cannot be removed now is removed by the next reading.
        drop(remove_dir(copy));
        read
    }

    fn each(
        &self,
        look: &mut dyn FnMut(u64, Result<Bytes, String>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        self.guarded("read", || {
            let mut entry: Option<Assembly> = None;
            for pair in &*self.db {
                let (name, part) = pair?;
                let (number, chunk) = numbers(&name);
                let assembly = match entry.take() {
                    Some(mut before) if before.number == number => {
                        before.push(chunk, &part);
                        before
                    }
                    before => {
                        if before.is_some_and(|b| b.show(look).is_break()) {
                            return Ok(());
                        }
                        let mut next = Assembly::new(number);
                        next.push(chunk, &part);
                        next
                    }
                };
                entry = Some(assembly);
            }
            // Nothing is left that could be broken off.
            let _last = entry.map(|last| last.show(look));
            Ok(())
        })
    }

    /// A panic of sled is an error here.
    fn guarded<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, sled::Error>,
    ) -> Result<T, Fault> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(open::judge(doing, &self.dir, &error)),
            Err(_) => Err(Fault::Broken(format!("sled panicked: could not {doing}"))),
        }
    }
}

/// An entry whose chunks are being read.
struct Assembly {
    number: u64,
    next: u32,
    bytes: BytesMut,
    hole: Option<u32>,
}

impl Assembly {
    fn new(number: u64) -> Self {
        Self {
            number,
            next: 0,
            bytes: BytesMut::new(),
            hole: None,
        }
    }

    fn push(&mut self, chunk: u32, part: &[u8]) {
        if chunk != self.next && self.hole.is_none() {
            self.hole = Some(self.next);
        }
        self.next = chunk.saturating_add(1);
        self.bytes.extend_from_slice(part);
    }

    fn show(
        self,
        look: &mut dyn FnMut(u64, Result<Bytes, String>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let bytes = match self.hole {
            None => Ok(self.bytes.freeze()),
            Some(chunk) => Err(format!("part {chunk} of it is missing")),
        };
        look(self.number, bytes)
    }
}

fn key(number: u64, chunk: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let (first, last) = key.split_at_mut(8);
    first.copy_from_slice(&number.to_be_bytes());
    last.copy_from_slice(&chunk.to_be_bytes());
    key
}

/// Of a key that is none of ours, numbers at which nothing is expected.
fn numbers(key: &[u8]) -> (u64, u32) {
    let parts = key.split_first_chunk::<8>();
    let parts = parts.and_then(|(number, chunk)| Some((number, chunk.try_into().ok()?)));
    parts.map_or((u64::MAX, u32::MAX), |(number, chunk)| {
        (u64::from_be_bytes(*number), u32::from_be_bytes(chunk))
    })
}

fn refused(doing: &'static str, path: &Path, reason: &dyn ToString) -> Fault {
    Fault::Failed(StoreError::failed(doing, path, reason))
}

fn copy_data(dir: &Path, copy: &Path) -> Result<(), Fault> {
    let from = dir.join(DATA_FILE);
    match fs::metadata(&from) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::Broken(format!("{} is not there", from.display())));
        }
        Err(error) => return Err(refused("read", &from, &error)),
    }
    fs::create_dir_all(copy).map_err(|e| refused("make", copy, &e))?;
    match fs::copy(&from, copy.join(DATA_FILE)) {
        Ok(_) => Ok(()),
        // The device does not give back what it took.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
            Err(Fault::Broken(format!("{}: {error}", from.display())))
        }
        Err(error) => Err(refused("copy", &from, &error)),
    }
}

/// Refuses a file that is no longer the one under its name: what is written to it is written to
/// nowhere.
pub(crate) fn check_present(path: &Path, file: &File) -> io::Result<()> {
    let (named, opened) = (fs::metadata(path)?, file.metadata()?);
    if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) {
        return Ok(());
    }
    Err(io::Error::other("the file was replaced by another one"))
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes a directory with all it holds; none there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::failed("remove", dir, &error))
        }
        _ => Ok(()),
    }
}

/// Steps that fail, on this thread.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Steps that still succeed, and steps after them that fail.
        static PLAN: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
    }

    /// After `good` steps `bad` ones fail, then all succeed again.
    pub(crate) fn plan(good: usize, bad: usize) {
        PLAN.set((good, bad));
    }

    /// Nothing fails any more; says how many steps of the plan were left.
    pub(crate) fn end() -> usize {
        PLAN.replace((usize::MAX, 0)).0
    }

    /// Takes a step.
    pub(crate) fn step(name: &str) -> io::Result<()> {
        let (good, bad) = PLAN.get();
        if good > 0 {
            PLAN.set((good - 1, bad));
            return Ok(());
        }
        if bad == 0 {
            return Ok(());
        }
        PLAN.set((0, bad - 1));
        Err(io::Error::other(format!("{name} was made to fail")))
    }
}
