//! Sled databases and small files in a directory. The seam's words hold here; beyond them:
//!
//! - A sealed database is read out of sled's file, value by value, where the seal found them: sled
//!   would read its last buffer twice to open it, a tree of eight values to read one, keep both, and
//!   change the files. Each value's checksum is checked as everywhere.
//! - sled writes over what it does not show when it opens a database. So before one is opened that
//!   never was, its data file is copied to `before`, and what its raw bytes hold is written to
//!   `found`. If sled then shows all of it, `before` is removed; if not, it stays, and values are
//!   read out of it: one that is damaged costs no other.
//! - Nothing waits for sled longer than a limit (see `limit`). A database that exceeds it is given
//!   up: it takes nothing more, `open` reads it from its file without sled, as far as it was
//!   flushed, `seal` calls it damaged, and `remove` removes it. The names stay as they are.
//! - What fails to be synced does not count, whatever a database opened after that shows: the caller
//!   puts it into another one.

mod database;
mod files;
mod key;
mod limit;
mod opening;
mod raw;
mod salvage;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use wstream_record::ByteSize;

use self::database::{SledDatabase, blobs};
#[allow(unused_imports, reason = "for the other small files of the crate")]
pub(crate) use self::files::{sync_dir, write_whole};
use self::limit::Limit;
#[cfg(test)]
pub(crate) use self::limit::{Latch, Step};
use self::raw::Found;
use self::salvage::Salvaged;
use super::{Behind, Database, Disk, Fault, FileSum, FreeSpace, Sealed, Shape, open};
use crate::errors::StoreError;

/// The file of a database that says what its raw bytes held before it was opened.
const FOUND_FILE: &str = "found";
/// The copy of its data file from before that.
const BEFORE_FILE: &str = "before";
/// Bytes that such a copy must leave free.
const COPY_LEAVES_BYTES: u64 = 16 << 20;
/// Names tried for a copy that is kept aside.
const ASIDE_COPIES_MAX: u32 = 10_000;

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct RealDisk {
    root: PathBuf,
    /// Where copies of damaged things are kept.
    aside: PathBuf,
    free_space: FreeSpace,
    limit: Limit,
    /// The directory as it was opened. Held, so that no other gets its inode.
    opened: File,
    /// One copy at a time.
    keeping: Mutex<()>,
}

impl RealDisk {
    /// Takes `root`, which is made if there is none.
    pub(crate) fn open(
        root: PathBuf,
        aside: PathBuf,
        free_space: FreeSpace,
    ) -> Result<Self, StoreError> {
        let above = root.parent().unwrap_or(&root);
        let opened = files::create_dir(&root, above).and_then(|()| File::open(&root));
        let opened = opened.map_err(|e| StoreError::failed("open", &root, &e))?;
        Ok(Self {
            root,
            aside,
            free_space,
            limit: Limit::new(limit::WAIT_MAX_DEFAULT),
            opened,
            keeping: Mutex::default(),
        })
    }

    /// The same, with another limit for what a database takes: see `limit`.
    pub(crate) fn with_wait_max(mut self, wait_max: Duration) -> Self {
        self.limit = self.limit.with_max(wait_max);
        self
    }

    /// The next such step of a database hangs until the answer is opened.
    #[cfg(test)]
    pub(crate) fn hang_next(&self, step: Step) -> Latch {
        self.limit.hangs.next(step)
    }

    fn failed(&self, doing: &'static str, name: &str) -> impl Fn(io::Error) -> StoreError + use<> {
        let path = self.path(name);
        move |error| StoreError::failed(doing, &path, &error)
    }

    /// Nothing is made where the directory was: it may be the place of a disk that is not mounted.
    fn check_present(&self) -> io::Result<()> {
        if self.is_present() {
            return Ok(());
        }
        let reason = format!("{} is not there any more", self.root.display());
        Err(io::Error::new(io::ErrorKind::NotFound, reason))
    }

    /// Opens a database, by sled or, if that does not show all there is, without it.
    fn open_at(&self, dir: &Path) -> Result<Box<dyn Database>, Fault> {
        let failed = |e| Fault::Failed(StoreError::failed("open", dir, &e));
        let before = dir.join(BEFORE_FILE);
        if self.limit.is_given_up(dir) {
            let raw = if before.exists() {
                Salvaged::open(&before, dir.to_owned(), self.root.clone())
            } else {
                Salvaged::of(dir.to_owned(), self.root.clone())
            };
            return Ok(Box::new(raw.map_err(failed)?));
        }
        let is_first = !opening::has_snapshot(dir).map_err(failed)? && dir.join("db").exists();
        if is_first && !before.exists() {
            note_first(dir).map_err(failed)?;
        }
        let opened = SledDatabase::open(dir.to_owned(), self.root.clone(), &self.limit);
        if !before.exists() {
            return Ok(Box::new(opened?));
        }
        let salvaged = Salvaged::open(&before, dir.to_owned(), self.root.clone());
        let salvaged = salvaged.map_err(failed)?;
        match opened {
            Ok(database) if salvaged.is_shown_by(&database)? => {
                files::remove_at_once(&before).map_err(failed)?;
                return Ok(Box::new(database));
            }
            Err(Fault::Failed(error)) => return Err(Fault::Failed(error)),
            Ok(_) | Err(Fault::Broken(_)) => {}
        }
        tracing::warn!(
            dir = %dir.display(), values = salvaged.values(),
            "sled does not show all that a database holds, reading its raw bytes"
        );
        Ok(Box::new(salvaged))
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str, shape: Shape) -> Result<Box<dyn Database>, Fault> {
        let dir = self.path(name);
        let taken = fs::metadata(dir.join("db")).is_ok_and(|db| db.len() > 0);
        let prepare = || {
            self.check_present()?;
            if taken {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            files::remove_at_once(&dir)
        };
        prepare().map_err(|e| Fault::Failed(self.failed("create", name)(e)))?;
        let root = self.root.clone();
        match SledDatabase::create(dir, root, shape, &self.limit) {
            Ok(database) => Ok(Box::new(database)),
            Err(fault) => {
                // What is left of it would keep the name from being used.
                if let Err(error) = self.remove(name) {
                    tracing::warn!(name, %error, "could not remove half a database");
                }
                Err(fault)
            }
        }
    }

    fn open(&self, name: &str) -> Result<Box<dyn Database>, Fault> {
        self.open_at(&self.path(name))
    }

    fn seal(&self, name: &str, values: u32) -> Result<Sealed, StoreError> {
        let dir = self.path(name);
        if self.limit.is_given_up(&dir) {
            let reason = "it did not come back and was given up";
            return Err(StoreError::damaged(&dir, &reason));
        }
        let _closed = wait_closed(&dir)?;
        debug_assert_eq!(blobs(&dir), 0, "no leaf is ever rewritten");
        let searched = raw::search_and_sum(&dir.join("db"));
        let (found, bytes, crc) = searched.map_err(self.failed("search", name))?;
        let Some(places) = found.places(values) else {
            let reason = format!("not all of its {values} values are there");
            return Err(StoreError::damaged(&dir, &reason));
        };
        let seal = || {
            let names = files::files_below(&dir)?;
            files::sync_files(&dir, &names)?;
            files::sync_up(&dir, &self.root)?;
            let sums = names.iter().map(|name| match name.as_str() {
                "db" => Ok(FileSum {
                    name: name.clone(),
                    bytes,
                    crc,
                }),
                _ => files::sum(&dir, name),
            });
            sums.collect::<io::Result<_>>()
        };
        let files = seal().map_err(self.failed("seal", name))?;
        Ok(Sealed { files, places })
    }

    fn open_sealed(&self, name: &str, places: &[u8]) -> Result<Box<dyn Database>, Fault> {
        let dir = self.path(name);
        let found = Found::from_places(places);
        let found = found.ok_or_else(|| Fault::Broken("its places do not read".to_owned()))?;
        let opened = Salvaged::sealed(dir, self.root.clone(), found);
        let opened = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::Broken("its file db is not there".to_owned()),
            _ => Fault::Failed(self.failed("open", name)(error)),
        });
        Ok(Box::new(opened?))
    }

    fn verify(&self, name: &str, seal: &[FileSum], contents: bool) -> Result<(), Fault> {
        let dir = self.path(name);
        let failed = |e| Fault::Failed(self.failed("verify", name)(e));
        let mut names = files::files_below(&dir).map_err(failed)?;
        // What a kill leaves when sled is about to write a snapshot, which nobody reads.
        names.retain(|name| !name.ends_with(".generating"));
        for sealed in seal {
            let path = dir.join(&sealed.name);
            let bytes = match fs::metadata(&path) {
                Ok(file) => file.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Fault::Broken(format!("{} is not there", sealed.name)));
                }
                Err(error) => return Err(failed(error)),
            };
            names.retain(|name| *name != sealed.name);
            if bytes != sealed.bytes {
                let reason = format!("{} has {bytes} bytes, not {}", sealed.name, sealed.bytes);
                return Err(Fault::Broken(reason));
            }
            if contents && files::sum(&dir, &sealed.name).map_err(failed)? != *sealed {
                return Err(Fault::Broken(format!("{} was changed", sealed.name)));
            }
        }
        match names.first() {
            Some(name) => Err(Fault::Broken(format!("{name} does not belong to it"))),
            None => Ok(()),
        }
    }

    fn search_raw(&self, name: &str, shown: u32) -> Result<Option<Behind>, StoreError> {
        let found = search(&self.path(name)).map_err(self.failed("search", name))?;
        Ok((found.values > shown).then_some(found))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path(file)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", file)(error)),
        }
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(file);
        let write = || {
            self.check_present()?;
            files::create_dir(path.parent().unwrap_or(&path), &self.root)?;
            write_whole(&path, bytes)
        };
        write().map_err(self.failed("write", file))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        files::remove(&path).map_err(self.failed("remove", name))?;
        self.limit.forget(&path);
        Ok(())
    }

    fn names(&self, dir: &str) -> Result<Vec<String>, StoreError> {
        files::names(&self.path(dir)).map_err(self.failed("list", dir))
    }

    fn remove_leftovers(&self, dir: &str) -> Result<(), StoreError> {
        files::remove_leftovers(&self.path(dir)).map_err(self.failed("remove leftovers", dir))
    }

    fn keep_aside(&self, name: &str, as_name: &str) -> Result<PathBuf, StoreError> {
        let _one_at_a_time = self.keeping.lock();
        let from = self.path(name);
        let keep = || {
            let above = self.aside.parent().unwrap_or(&self.aside);
            files::create_dir(&self.aside, above)?;
            let to = (1..ASIDE_COPIES_MAX)
                .map(|copy| match copy {
                    1 => self.aside.join(as_name),
                    _ => self.aside.join(format!("{as_name}.{copy}")),
                })
                .find(|to| !to.exists());
            let to = to.ok_or_else(|| io::Error::other("there are too many copies of it"))?;
            files::copy(&from, &to)?;
            Ok(to)
        };
        keep().map_err(self.failed("keep aside", name))
    }

    fn free_space(&self) -> Result<ByteSize, StoreError> {
        let free = self.free_space.of(&self.root);
        free.map_err(self.failed("ask for free space", ""))
    }

    fn is_present(&self) -> bool {
        let same = || {
            let (opened, now) = (self.opened.metadata()?, fs::metadata(&self.root)?);
            io::Result::Ok(opened.dev() == now.dev() && opened.ino() == now.ino())
        };
        same().unwrap_or(false)
    }

    fn path(&self, name: &str) -> PathBuf {
        debug_assert!(!name.starts_with('/') && !name.contains(".."), "{name}");
        if name.is_empty() {
            return self.root.clone();
        }
        self.root.join(name)
    }
}

/// What the raw bytes of a database hold, or held before it was first opened.
fn search(dir: &Path) -> io::Result<Behind> {
    let kept = match fs::read_to_string(dir.join(FOUND_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        // What it holds is not text: damaged.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(error),
    };
    let mut numbers = kept.split_whitespace().map(|n| n.parse().unwrap_or(0));
    let (values, safe) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = raw::search(&dir.join("db"))?;
    Ok(Behind {
        values: found.values().max(values),
        safe: found.safe.max(safe),
    })
}

/// Keeps what a database holds that sled is about to open for the first time.
fn note_first(dir: &Path) -> io::Result<()> {
    let found = search(dir)?;
    let text = format!("{} {}\n", found.values, found.safe);
    write_whole(&dir.join(FOUND_FILE), text.as_bytes())?;
    let before = dir.join(BEFORE_FILE);
    let db = dir.join("db");
    let wanted = fs::metadata(&db)?.len().saturating_add(COPY_LEAVES_BYTES);
    let copied = match FreeSpace::system().of(dir) {
        // It would take what a start needs.
        Ok(free) if free.0 < wanted => Err(io::Error::from(io::ErrorKind::StorageFull)),
        _ => files::copy_file(&db, &before),
    };
    match copied {
        // Without room for a copy, what sled does not show is only told.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            tracing::warn!(dir = %dir.display(), %error, "no copy of a database is kept while it opens");
            files::remove_at_once(&files::with_suffix(&before, ".tmp"))
        }
        other => other,
    }
}

/// Waits until sled has let go of a database, and keeps it from others while the answer is held.
fn wait_closed(dir: &Path) -> Result<File, StoreError> {
    let wait = || {
        let file = File::open(dir.join("db"))?;
        let mut waited = Duration::ZERO;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if waited < opening::UNLOCK_WAIT_MAX => {
                    std::thread::park_timeout(open::UNLOCK_WAIT_STEP);
                    waited += open::UNLOCK_WAIT_STEP;
                }
                Err(error) => return Err(io::Error::from(error)),
            }
        }
    };
    wait().map_err(|e| StoreError::failed("wait for the closing of", dir, &e))
}
