//! Stores metadata commands in a sled database: one command, one insert, one flush.
//!
//! A command above 4 KiB is cut into chunks, so that no leaf of the database comes near the size
//! at which sled would write a file of its own for it. Now and then the commands that rebuild the
//! state are written to a tree of their own, a snapshot; the commands before it then go.
//! A kill between those steps costs nothing: the snapshot counts once `current` names it.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wstream_record::Offset;

use super::state::{Command, State};
use crate::errors::{MetadataError, StoreError};
use crate::store::disk::database::{self, BUFFER_BYTES_SMALL};
use crate::store::disk::files::{failed, sync_dir};
use crate::store::disk::values::{Assembler, Key, chunks};

/// Bytes of a value. A leaf has at most 26 values before it is split.
const CHUNK_BYTES: usize = 4 << 10;
/// Commands and bytes after which a snapshot is worth its cost.
const SNAPSHOT_COMMANDS: u64 = 1_000;
const SNAPSHOT_BYTES: usize = 16 << 20;
const COMMANDS_TREE: &str = "commands";
const CURRENT_TREE: &str = "current";
const SNAPSHOT_KEY: &str = "snapshot";
const SNAPSHOT_TREE_PREFIX: &str = "snapshot.";

/// The stored commands.
#[derive(Debug)]
pub(super) struct DiskCommands {
    dir: PathBuf,
    /// `None` after a failure, until it is opened again.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    db: sled::Db,
    file: File,
    commands: sled::Tree,
    /// The next command's number; they count from 1.
    next: u64,
    /// The last command that the snapshot covers.
    snapshot: u64,
    bytes_since: usize,
}

impl DiskCommands {
    /// Opens the store in `dir` and says what its commands come to.
    pub(super) fn open(dir: PathBuf) -> Result<(Self, State), MetadataError> {
        let mut commands = Self { dir, open: None };
        let state = commands.reopen()?;
        Ok((commands, state))
    }

    /// Opens the store again after a failure: what it holds counts.
    pub(super) fn reopen(&mut self) -> Result<State, MetadataError> {
        // The old handles first: the database is locked while they live.
        self.open = None;
        let mut state = State::default();
        self.open = Some(Open::new(&self.dir, &mut state)?);
        Ok(state)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Stores a command: on `Ok` it survives a power cut.
    pub(super) fn append(&mut self, command: &Command) -> Result<(), MetadataError> {
        let open = self.open.as_mut().ok_or(MetadataError::Closed)?;
        let appended = open.append(&command.encode());
        appended.map_err(|e| failed("write", &self.dir, &e).into())
    }

    /// Writes a snapshot if it is time to.
    pub(super) fn maybe_snapshot(&mut self, state: &State) -> Result<(), MetadataError> {
        let open = self.open.as_mut().ok_or(MetadataError::Closed)?;
        let commands = open.next - 1 - open.snapshot;
        if commands < SNAPSHOT_COMMANDS && open.bytes_since < SNAPSHOT_BYTES {
            return Ok(());
        }
        let written = open.write_snapshot(state);
        written.map_err(|e| failed("write snapshot", &self.dir, &e).into())
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }
}

/// What sled or the system said.
type Written<T> = Result<T, sled::Error>;

impl Open {
    fn new(dir: &Path, state: &mut State) -> Result<Self, MetadataError> {
        let store = |reason: &dyn ToString| StoreError::clone(&failed("open", dir, reason));
        let db = database::open(dir, BUFFER_BYTES_SMALL);
        let db = db.map_err(|fault| fault.into_error(dir))?;
        let file = File::open(dir.join("db")).map_err(|e| store(&e))?;
        let commands = db.open_tree(COMMANDS_TREE).map_err(|e| store(&e))?;
        let mut open = Self {
            db,
            file,
            commands,
            next: 1,
            snapshot: 0,
            bytes_since: 0,
        };
        let parent = dir.parent().unwrap_or(dir);
        sync_dir(dir)
            .and_then(|()| sync_dir(parent))
            .map_err(|e| store(&e))?;
        open.snapshot = open.current_snapshot().map_err(|e| store(&e))?;
        if open.snapshot > 0 {
            let tree = open.db.open_tree(snapshot_tree(open.snapshot));
            let tree = tree.map_err(|e| store(&e))?;
            replay(&tree, 0, dir, state)?;
        }
        let commands = open.commands.clone();
        let replayed = replay(&commands, open.snapshot, dir, state)?;
        open.next = replayed.last.max(open.snapshot) + 1;
        open.bytes_since = replayed.bytes;
        open.clean_up().map_err(|e| store(&e))?;
        Ok(open)
    }

    fn current_snapshot(&self) -> Written<u64> {
        let current = self.db.open_tree(CURRENT_TREE)?.get(SNAPSHOT_KEY)?;
        let number = current.and_then(|v| v[..].try_into().ok());
        Ok(number.map_or(0, u64::from_be_bytes))
    }

    fn append(&mut self, bytes: &[u8]) -> Written<()> {
        insert(&self.commands, self.next, bytes)?;
        self.flush()?;
        self.next += 1;
        self.bytes_since += bytes.len();
        Ok(())
    }

    fn flush(&self) -> Written<()> {
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }

    fn write_snapshot(&mut self, state: &State) -> Written<()> {
        let last = self.next - 1;
        let tree = self.db.open_tree(snapshot_tree(last))?;
        tree.clear()?;
        for (number, command) in (1..).zip(state.rebuild()) {
            insert(&tree, number, &command.encode())?;
        }
        self.flush()?;
        let current = self.db.open_tree(CURRENT_TREE)?;
        current.insert(SNAPSHOT_KEY, &last.to_be_bytes())?;
        self.flush()?;
        self.snapshot = last;
        self.bytes_since = 0;
        self.clean_up()
    }

    /// Removes what the current snapshot has made superfluous, and snapshots that were cut off.
    fn clean_up(&self) -> Written<()> {
        let current = snapshot_tree(self.snapshot);
        for name in self.db.tree_names() {
            if name.starts_with(SNAPSHOT_TREE_PREFIX.as_bytes()) && name != current.as_bytes() {
                self.db.drop_tree(name)?;
            }
        }
        let end = Key::whole(offset(self.snapshot + 1)).to_bytes();
        for key in self.commands.range(..&end[..8]).keys() {
            self.commands.remove(key?)?;
        }
        Ok(())
    }
}

fn snapshot_tree(last: u64) -> String {
    format!("{SNAPSHOT_TREE_PREFIX}{last}")
}

fn offset(number: u64) -> Offset {
    Offset(i64::try_from(number).unwrap_or(i64::MAX))
}

fn insert(tree: &sled::Tree, number: u64, bytes: &[u8]) -> Written<()> {
    for (key, chunk) in chunks(offset(number), bytes, CHUNK_BYTES) {
        tree.insert(key.to_bytes(), chunk)?;
    }
    Ok(())
}

#[derive(Default)]
struct Replayed {
    last: u64,
    bytes: usize,
}

/// Applies the commands after `after`. An incomplete last one was never answered and is left out;
/// its number is given out again.
fn replay(
    tree: &sled::Tree,
    after: u64,
    dir: &Path,
    state: &mut State,
) -> Result<Replayed, MetadataError> {
    let mut assembler = Assembler::default();
    let mut replayed = Replayed::default();
    let mut stale: Vec<sled::IVec> = Vec::new();
    for value in tree {
        let (name, value) = value.map_err(|e| failed("read", dir, &e))?;
        let corrupt = |index: i64, reason: String| MetadataError::Corrupt {
            index: index.unsigned_abs(),
            reason,
        };
        let key = Key::from_bytes(&name)
            .ok_or_else(|| corrupt(0, "its key is none of the metadata's".to_owned()))?;
        let number = key.offset.0.unsigned_abs();
        if number <= after {
            continue;
        }
        stale.push(name);
        replayed.bytes += value.len();
        let whole = assembler.push(key, Bytes::from_owner(value));
        let whole = whole.map_err(|e| corrupt(key.offset.0, e.to_string()))?;
        if let Some(bytes) = whole {
            let command = Command::decode(&bytes);
            state.apply(command.map_err(|e| corrupt(key.offset.0, e))?);
            replayed.last = number;
            stale.clear();
        }
    }
    for key in stale {
        tree.remove(key).map_err(|e| failed("write", dir, &e))?;
    }
    Ok(replayed)
}
