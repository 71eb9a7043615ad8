//! A database that is read without sled, out of its raw bytes: one that was sealed, or a copy of one
//! that sled does not read as a whole, from before sled opened it. All values that are whole are
//! there; one that is damaged is told by number.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::{files_below, sync_files, sync_up};
use super::raw::{self, Found};
use crate::errors::StoreError;
use crate::sled::{Database, Done, Fault, Value};

#[derive(Debug)]
pub(super) struct Salvaged {
    dir: PathBuf,
    root: PathBuf,
    file: File,
    found: Found,
    values: u32,
}

impl Salvaged {
    /// Reads the database in `dir` from its own file, which sled may still have open. What was flushed
    /// does not change there any more.
    pub(super) fn of(dir: PathBuf, root: PathBuf) -> io::Result<Self> {
        Self::open(&dir.join("db"), dir, root)
    }

    /// Reads the file `copy` of the database in `dir`.
    pub(super) fn open(copy: &Path, dir: PathBuf, root: PathBuf) -> io::Result<Self> {
        let found = raw::search(copy)?;
        Ok(Self {
            dir,
            root,
            file: File::open(copy)?,
            values: found.kept(),
            found,
        })
    }

    /// Reads a database that was sealed, whose values are where they were found then.
    pub(super) fn sealed(dir: PathBuf, root: PathBuf, found: Found) -> io::Result<Self> {
        Ok(Self {
            file: File::open(dir.join("db"))?,
            dir,
            root,
            values: found.values(),
            found,
        })
    }

    /// Whether `database` shows all that is here.
    pub(super) fn is_shown_by(&self, database: &dyn Database) -> Result<bool, Fault> {
        let mut here = self
            .found
            .whole
            .range(..self.values)
            .map(|(number, _)| *number);
        let mut all = true;
        let mut look = |shown: Result<Value, u32>| {
            all = match shown {
                Ok(value) if value.number < self.values => here.next() == Some(value.number),
                Ok(_) => true,
                Err(_) => false,
            };
            if all {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        database.each(0, &mut look)?;
        Ok(all && here.next().is_none() && database.values() >= self.values)
    }

    fn failed(&self, doing: &'static str, reason: &dyn ToString) -> Fault {
        Fault::Failed(StoreError::failed(doing, &self.dir, reason))
    }
}

impl Database for Salvaged {
    fn put(&self, _head: &[u8], _bytes: &[u8]) -> Result<u32, Fault> {
        Err(self.failed("put", &"it was opened, and is only read"))
    }

    fn begin_flush(&self, done: Option<Done>) -> Result<(), Fault> {
        if let Some(done) = done {
            done();
        }
        Ok(())
    }

    fn finish_flush(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        let sync = || {
            sync_files(&self.dir, &files_below(&self.dir)?)?;
            sync_up(&self.dir, &self.root)
        };
        sync().map_err(|e| self.failed("sync", &e))
    }

    fn get(&self, number: u32) -> Result<Option<Value>, Fault> {
        if number >= self.values {
            return Ok(None);
        }
        let place = self.found.whole.get(&number);
        if place.is_none() && !self.found.damaged.contains(&number) {
            return Ok(None);
        }
        let value = place.map(|place| raw::read(&self.file, *place)).transpose();
        let value = value.map_err(|e| self.failed("read", &e))?.flatten();
        let broken = || Fault::Broken(format!("value {number} is not what was put"));
        value
            .filter(|value| value.number == number)
            .map(Some)
            .ok_or_else(broken)
    }

    fn each(
        &self,
        from: u32,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        for number in from..self.values {
            let shown = match self.get(number) {
                Ok(Some(value)) => look(Ok(value)),
                Ok(None) => continue,
                Err(Fault::Broken(_)) => look(Err(number)),
                Err(failed) => return Err(failed),
            };
            if shown.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn values(&self) -> u32 {
        self.values
    }

    fn is_full(&self) -> bool {
        true
    }
}
