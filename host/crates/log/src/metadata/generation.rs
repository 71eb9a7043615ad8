//! One generation of the stored commands: a snapshot of the state at its beginning and the commands
//! since, each in a database of its own. So damage to one leaves the other, and the snapshot, which
//! may be large, is not held in memory by a database that stays open.
//!
//! Every entry is framed with its length, its number, a checksum of its own, and the chain: a
//! checksum over all commands up to it, from the very first. So an entry that was changed, left out,
//! moved or put in shows.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes};

use crate::errors::StoreError;
use crate::sled::Fault;
use crate::sled::commands::{CommandDatabase, sync_dir};

const MAGIC: u32 = u32::from_be_bytes(*b"wsm1");
const HEAD_BYTES: usize = 24;
/// The databases of a generation.
const SNAPSHOT: &str = "snapshot";
const COMMANDS: &str = "commands";
/// Where the snapshot is stored; its frame says which command it is as of.
const SNAPSHOT_AT: u64 = 0;

/// An entry out of its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Framed {
    /// The command's index; of a snapshot, the last command's that it holds.
    pub(super) index: u64,
    /// The checksum over all commands up to this one.
    pub(super) chain: u32,
    pub(super) bytes: Bytes,
}

/// What a generation holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The snapshot, or why it does not read.
    pub(super) snapshot: Result<Framed, String>,
    /// The commands up to the first that does not read.
    pub(super) commands: Vec<Framed>,
    /// That one, and whether anything is behind it.
    pub(super) broken: Option<Broken>,
}

/// Where the commands do not read any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Why.
    pub(super) reason: String,
    /// Whether it can be no more than a write that was cut off: the last entry of all.
    pub(super) is_last: bool,
}

/// The chain with one more command.
pub(super) fn chained(chain: u32, index: u64, bytes: &[u8]) -> u32 {
    let chain = crc32c::crc32c_append(chain, &index.to_be_bytes());
    crc32c::crc32c_append(chain, bytes)
}

/// Makes a generation that begins with a snapshot as of command `index`; answers the database for
/// its commands. After `Ok` it survives a power cut, but for the name of its directory.
pub(super) fn create(
    dir: &Path,
    index: u64,
    chain: u32,
    snapshot: &[u8],
) -> Result<CommandDatabase, Fault> {
    let refused = |e| Fault::Failed(StoreError::failed("make", dir, &e));
    fs::create_dir(dir).map_err(refused)?;
    let database = CommandDatabase::create(&dir.join(SNAPSHOT))?;
    database.append(SNAPSHOT_AT, &frame(index, chain, snapshot))?;
    database.sync_new()?;
    drop(database);
    let commands = CommandDatabase::create(&dir.join(COMMANDS))?;
    commands.sync_new()?;
    sync_dir(dir).map_err(refused)?;
    Ok(commands)
}

/// Stores a command whose chain is `chain`. After `Ok` it survives a power cut.
pub(super) fn append(
    database: &CommandDatabase,
    index: u64,
    chain: u32,
    bytes: &[u8],
) -> Result<(), Fault> {
    database.append(index, &frame(index, chain, bytes))?;
    database.sync()
}

/// Reads a generation without changing it, from a copy.
pub(super) fn read(dir: &Path, copy: &Path) -> Result<Contents, StoreError> {
    let mut contents = Contents {
        snapshot: Err("it is not there".to_owned()),
        commands: Vec::new(),
        broken: None,
    };
    let read = CommandDatabase::read(&dir.join(SNAPSHOT), copy, &mut |_, bytes| {
        contents.snapshot = bytes.and_then(|b| unframe(&b));
        ControlFlow::Continue(())
    });
    if let Some(reason) = broken(read)? {
        contents.snapshot = Err(reason);
    }
    let read = CommandDatabase::read(&dir.join(COMMANDS), copy, &mut |number, bytes| {
        contents.take(number, bytes)
    });
    if let Some(reason) = broken(read)? {
        let is_last = false;
        contents.broken.get_or_insert(Broken { reason, is_last });
    }
    Ok(contents)
}

/// What is wrong with the files, if it is they.
fn broken(read: Result<(), Fault>) -> Result<Option<String>, StoreError> {
    match read {
        Ok(()) => Ok(None),
        Err(Fault::Broken(reason)) => Ok(Some(reason)),
        Err(Fault::Failed(error)) => Err(error),
    }
}

impl Contents {
    fn take(&mut self, number: u64, bytes: Result<Bytes, String>) -> ControlFlow<()> {
        if let Some(broken) = &mut self.broken {
            broken.is_last = false;
            return ControlFlow::Break(());
        }
        let framed = bytes.and_then(|b| unframe(&b));
        match framed {
            Ok(framed) if framed.index == number => self.commands.push(framed),
            Ok(framed) => {
                let reason = format!("command {number} is stored as {}", framed.index);
                let is_last = true;
                self.broken = Some(Broken { reason, is_last });
            }
            Err(reason) => {
                let reason = format!("command {number} does not read: {reason}");
                let is_last = true;
                self.broken = Some(Broken { reason, is_last });
            }
        }
        ControlFlow::Continue(())
    }
}

fn frame(index: u64, chain: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes.len());
    out.put_u32(MAGIC);
    out.put_u32(u32::try_from(bytes.len()).expect("an entry is far below 4 GiB"));
    out.put_u64(index);
    out.put_u32(chain);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out), bytes);
    out.put_u32(crc);
    out.extend_from_slice(bytes);
    out
}

fn unframe(stored: &Bytes) -> Result<Framed, String> {
    let mut rest = stored.clone();
    let head = stored.get(..HEAD_BYTES - size_of::<u32>());
    let head = head.ok_or_else(|| format!("it has {} bytes", stored.len()))?;
    let short = |e: bytes::TryGetError| e.to_string();
    let magic = rest.try_get_u32().map_err(short)?;
    let length = rest.try_get_u32().map_err(short)?;
    let index = rest.try_get_u64().map_err(short)?;
    let chain = rest.try_get_u32().map_err(short)?;
    let crc = rest.try_get_u32().map_err(short)?;
    if magic != MAGIC || usize::try_from(length) != Ok(rest.len()) {
        return Err(format!("it has {} bytes of {length}", rest.len()));
    }
    if crc32c::crc32c_append(crc32c::crc32c(head), &rest) != crc {
        return Err("its checksum does not fit".to_owned());
    }
    let bytes = rest;
    Ok(Framed {
        index,
        chain,
        bytes,
    })
}
