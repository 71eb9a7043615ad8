//! Keeps the commands on disk: a command that `append` answered with `Ok` is there after a power
//! cut, or the next start says that it is not.
//!
//! The directory holds generations by number, of which `metadata.end` beside the directory names the
//! current one and the last command acknowledged. A generation begins with a snapshot: at each
//! start, when the last one has grown, and after every failed write. A write that failed may be half
//! there, or in the page cache and never on the device, so what was refused is left behind with its
//! generation. The generation before the current one is kept: its snapshot and its commands lead to
//! the current one's beginning, so that a bad snapshot loses nothing.
//! Reading opens copies only. Where something does not read, nothing is changed until `restore` is
//! asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commands::Command;
use super::end::{End, EndFile};
use super::generation::{self, chained};
use super::reading::{self, generations};
use super::state::State;
use crate::errors::{MetadataError, StoreError};
use crate::sled::Fault;
use crate::sled::commands::{CommandDatabase, remove_dir, sync_dir};

/// Commands and bytes of commands after which a generation has grown enough; few in tests, which
/// would see only one otherwise.
const GENERATION_COMMANDS_MAX: u64 = if cfg!(test) { 40 } else { 1_000 };
const GENERATION_BYTES_MIN: usize = 16 << 20;

/// The stored commands.
#[derive(Debug)]
pub(super) struct DiskCommands {
    dir: PathBuf,
    /// The checksum over all commands that count.
    chain: u32,
    /// The last generation begun.
    newest: u64,
    /// `None` after a failure, until the next generation begins.
    current: Option<Current>,
    /// Why there is none.
    trouble: Option<Arc<str>>,
}

#[derive(Debug)]
struct Current {
    database: CommandDatabase,
    file: EndFile,
    end: End,
    snapshot_bytes: usize,
    commands: u64,
    bytes: usize,
}

impl DiskCommands {
    /// Opens the store in `dir` and says what its commands come to.
    pub(super) fn open(dir: PathBuf) -> Result<(Self, State), MetadataError> {
        let found = reading::read(&dir)?;
        if let Some(reason) = found.damage {
            return Err(MetadataError::Damaged {
                path: dir,
                reason,
                intact: found.state.index,
            });
        }
        let mut commands = Self::new(dir, found.chain);
        commands.prepare(found.end)?;
        commands.begin_generation(&found.state, found.end.map(|end| end.generation))?;
        Ok((commands, found.state))
    }

    fn new(dir: PathBuf, chain: u32) -> Self {
        Self {
            dir,
            chain,
            newest: 0,
            current: None,
            trouble: None,
        }
    }

    /// Why no command is taken at the moment.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.clone().filter(|_| self.current.is_none())
    }

    /// Makes what a first start needs: that nothing was acknowledged is said before there is a
    /// generation, so that generations without a word on them are damage.
    fn prepare(&mut self, end: Option<End>) -> Result<(), StoreError> {
        let make = fs::create_dir_all(&self.dir).and_then(|()| sync_dir(parent(&self.dir)));
        make.map_err(|e| StoreError::failed("make", &self.dir, &e))?;
        if end.is_none() {
            EndFile::replace(&reading::end_path(&self.dir), End::default())?;
        }
        Ok(())
    }

    /// Stores a command that leads on from `state`. After an error it does not count, unless not
    /// even a new generation can be begun and the node starts again.
    pub(super) fn append(
        &mut self,
        index: u64,
        command: &Command,
        state: &State,
    ) -> Result<(), MetadataError> {
        if self.current.is_none() {
            self.begin_generation(state, None)?;
        }
        let bytes = command.encode();
        let chain = chained(self.chain, index, &bytes);
        let current = self.current.as_mut().ok_or(MetadataError::Closed)?;
        if let Err(error) = current.append(index, chain, &bytes, &self.dir) {
            let previous = current.end.generation;
            self.current = None;
            if let Err(again) = self.begin_generation(state, Some(previous)) {
                tracing::error!(error = %again, "the metadata takes no changes until its store can be written");
            }
            return Err(error.into());
        }
        self.chain = chain;
        Ok(())
    }

    /// Begins a generation if the current one has grown.
    pub(super) fn maybe_begin_generation(&mut self, state: &State) {
        let Some(current) = &mut self.current else {
            return;
        };
        let bytes_max = GENERATION_BYTES_MIN.max(current.snapshot_bytes);
        if current.commands < GENERATION_COMMANDS_MAX && current.bytes < bytes_max {
            return;
        }
        // If it fails, it is tried again once as much has come.
        (current.commands, current.bytes) = (0, 0);
        let previous = current.end.generation;
        if let Err(error) = self.begin_generation(state, Some(previous)) {
            tracing::warn!(%error, "could not write a metadata snapshot");
        }
    }

    /// As `try_begin_generation`; what comes of it is remembered.
    fn begin_generation(&mut self, state: &State, keep: Option<u64>) -> Result<(), StoreError> {
        let begun = self.try_begin_generation(state, keep);
        self.trouble = begun.as_ref().err().map(|e| e.to_string().into());
        begun
    }

    /// Begins a generation with `state`. `keep` is the generation that led to it, if its commands
    /// do: it is kept. After an error the current generation goes on, or there is none.
    fn try_begin_generation(&mut self, state: &State, keep: Option<u64>) -> Result<(), StoreError> {
        let there = generations(&self.dir)?;
        let number = there.last().copied().unwrap_or(0).max(self.newest) + 1;
        self.newest = number;
        let dir = reading::generation_dir(&self.dir, number);
        let snapshot = state.encode();
        let created = generation::create(&dir, state.index, self.chain, &snapshot);
        let database = created
            .map_err(|fault| into_error(fault, &dir))
            .and_then(|database| {
                let synced = sync_dir(&self.dir);
                synced.map_err(|e| StoreError::failed("sync", &self.dir, &e))?;
                Ok(database)
            });
        let database = match database {
            Ok(database) => database,
            Err(error) => {
                // `metadata.end` does not name it: the next generation's beginning removes it too.
                drop(remove_dir(&dir));
                return Err(error);
            }
        };
        // From here on a start may find the old file or the new one: nothing goes to the old.
        self.current = None;
        let end = End {
            generation: number,
            begin: state.index,
            index: state.index,
            chain: self.chain,
        };
        let file = EndFile::replace(&reading::end_path(&self.dir), end)?;
        self.current = Some(Current {
            database,
            file,
            end,
            snapshot_bytes: snapshot.len(),
            commands: 0,
            bytes: 0,
        });
        let kept = keep.into_iter().chain([number]).collect();
        if let Err(error) = self.remove_but(&there, &kept) {
            tracing::warn!(%error, "could not remove an old metadata snapshot");
        }
        Ok(())
    }

    fn remove_but(&self, there: &BTreeSet<u64>, kept: &BTreeSet<u64>) -> Result<(), StoreError> {
        for &number in there.difference(kept) {
            remove_dir(&reading::generation_dir(&self.dir, number))?;
        }
        Ok(())
    }
}

impl Current {
    fn append(
        &mut self,
        index: u64,
        chain: u32,
        bytes: &[u8],
        dir: &Path,
    ) -> Result<(), StoreError> {
        let stored = generation::append(&self.database, index, chain, bytes);
        stored.map_err(|fault| into_error(fault, dir))?;
        let end = End {
            index,
            chain,
            ..self.end
        };
        self.file.record(end)?;
        self.end = end;
        self.commands += 1;
        self.bytes += bytes.len();
        Ok(())
    }
}

/// What came of damaged metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The last command that read.
    pub intact: u64,
    /// The last command that was acknowledged, if that is known.
    pub acknowledged: Option<u64>,
    /// What was found; `None`: nothing is damaged, and nothing was changed.
    pub damage: Option<String>,
    /// Where the damaged files are kept.
    pub kept_at: Option<PathBuf>,
    /// Topics there are now.
    pub topics: usize,
    /// Documents there are now.
    pub documents: usize,
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(damage) = &self.damage else {
            return write!(f, "the metadata is whole: nothing was changed");
        };
        write!(f, "the metadata was damaged: {damage}; ")?;
        let first = self.intact.saturating_add(1);
        match self.acknowledged {
            Some(last) if last < first => write!(f, "no command is lost")?,
            Some(last) => write!(f, "commands {first} to {last} are lost")?,
            None => write!(f, "commands from {first} on are lost, if there were any")?,
        }
        write!(
            f,
            "; {} topics and {} documents are there",
            self.topics, self.documents
        )?;
        match &self.kept_at {
            Some(path) => write!(f, "; the damaged files are kept in {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Goes back to what reads.
pub(super) fn restore(dir: &Path) -> Result<Restored, MetadataError> {
    let found = reading::read(dir)?;
    let mut state = found.state;
    let mut restored = Restored {
        intact: state.index,
        acknowledged: found.end.map(|end| end.index),
        damage: found.damage,
        kept_at: None,
        topics: state.topics.len(),
        documents: state
            .documents
            .values()
            .map(std::collections::BTreeMap::len)
            .sum(),
    };
    if restored.damage.is_none() {
        return Ok(restored);
    }
    let kept = keep_aside(dir).map_err(|e| StoreError::failed("keep aside", dir, &e))?;
    restored.kept_at = Some(kept);
    state.leap(restored.acknowledged);
    let mut commands = DiskCommands::new(dir.to_owned(), found.chain);
    let make = fs::create_dir_all(dir).and_then(|()| sync_dir(parent(dir)));
    make.map_err(|e| StoreError::failed("make", dir, &e))?;
    commands.begin_generation(&state, None)?;
    Ok(restored)
}

/// Gives the files a second name below `aside`, so that they stay when the first one goes: nothing
/// is read, and no room is needed.
fn keep_aside(dir: &Path) -> io::Result<PathBuf> {
    let aside = parent(dir).join("aside");
    fs::create_dir_all(&aside)?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut kept = aside.join(&*name);
    let mut number = 0_u64;
    while let Err(error) = fs::create_dir(&kept) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        number += 1;
        kept = aside.join(format!("{name}.{number}"));
    }
    let end = reading::end_path(dir);
    if end.exists() {
        let as_name = end.file_name().unwrap_or_default();
        link(&end, &kept.join(as_name))?;
    }
    for number in generations(dir).map_err(io::Error::other)? {
        let from = reading::generation_dir(dir, number);
        link_all(&from, &reading::generation_dir(&kept, number))?;
    }
    for made in [&kept, &aside, parent(dir)] {
        sync_dir(made)?;
    }
    Ok(kept)
}

/// Makes a directory with the same files in it. A generation is two directories deep.
fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_all(&entry.path(), &to)?;
        } else {
            link(&entry.path(), &to)?;
        }
    }
    sync_dir(to)
}

/// Not every file system has second names.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

fn parent(dir: &Path) -> &Path {
    dir.parent().unwrap_or(dir)
}

fn into_error(fault: Fault, path: &Path) -> StoreError {
    match fault {
        Fault::Failed(error) => error,
        Fault::Broken(reason) => StoreError::damaged(path, &reason),
    }
}
