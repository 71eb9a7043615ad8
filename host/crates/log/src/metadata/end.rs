//! A small file beside the commands that says which was the last one acknowledged, so that a start
//! notices when some are missing.
//!
//! It has two slots in blocks of their own, written in turn: a write that is cut off damages one,
//! and the other is at most one command behind. When a generation begins the file is replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};

use crate::errors::StoreError;
use crate::sled::commands::{check_present, sync_dir};

const MAGIC: u64 = u64::from_be_bytes(*b"wsmdend1");
const SLOTS: u64 = 2;
/// No block of a device holds two slots.
const SLOT_BYTES: usize = 4 << 10;
const FILE_BYTES: usize = SLOT_BYTES * 2;

/// The last command acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct End {
    /// The generation that holds it; 0 if there is none yet.
    pub(super) generation: u64,
    /// The last command in that generation's snapshot.
    pub(super) begin: u64,
    /// The command's index.
    pub(super) index: u64,
    /// The checksum over it and all before it.
    pub(super) chain: u32,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Absent,
    /// Neither slot reads.
    Unreadable,
    /// It reads.
    Here(End),
}

/// The file, written by who made it.
#[derive(Debug)]
pub(super) struct EndFile {
    path: PathBuf,
    file: File,
    /// Of the last write: even ones are in the first slot.
    sequence: u64,
}

impl EndFile {
    /// Reads the newest slot that reads.
    pub(super) fn read(path: &Path) -> Result<Found, StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(StoreError::failed("read", path, &error)),
        };
        let slots = bytes.chunks(SLOT_BYTES).filter_map(decode);
        let newest = slots.max_by_key(|(sequence, _)| *sequence);
        Ok(newest.map_or(Found::Unreadable, |(_, end)| Found::Here(end)))
    }

    /// Replaces the file: after `Ok` it is there after a power cut, after an error the old one or
    /// this one is.
    pub(super) fn replace(path: &Path, end: End) -> Result<Self, StoreError> {
        let temporary = path.with_extension("tmp");
        let write = || -> io::Result<File> {
            #[cfg(test)]
            crate::sled::commands::faults::step("replace")?;
            let mut file = File::create(&temporary)?;
            let mut bytes = Vec::with_capacity(FILE_BYTES);
            for sequence in 0..SLOTS {
                bytes.extend_from_slice(&encode(sequence, end));
            }
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            #[cfg(test)]
            crate::sled::commands::faults::step("sync of the replaced")?;
            sync_dir(path.parent().unwrap_or(path))?;
            Ok(file)
        };
        let file = write().map_err(|e| StoreError::failed("replace", path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            sequence: SLOTS - 1,
        })
    }

    /// Records the last command: after `Ok` it is there after a power cut.
    pub(super) fn record(&mut self, end: End) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let place = if sequence.is_multiple_of(SLOTS) {
            0
        } else {
            SLOT_BYTES as u64
        };
        let write = || -> io::Result<()> {
            #[cfg(test)]
            crate::sled::commands::faults::step("record")?;
            self.file.write_all_at(&encode(sequence, end), place)?;
            #[cfg(test)]
            crate::sled::commands::faults::step("sync of the record")?;
            self.file.sync_data()?;
            check_present(&self.path, &self.file)
        };
        write().map_err(|e| StoreError::failed("write", &self.path, &e))?;
        self.sequence = sequence;
        Ok(())
    }
}

fn encode(sequence: u64, end: End) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let mut to = &mut slot[..];
    to.put_u64(MAGIC);
    to.put_u64(sequence);
    to.put_u64(end.generation);
    to.put_u64(end.begin);
    to.put_u64(end.index);
    to.put_u32(end.chain);
    let written = SLOT_BYTES - to.len();
    let crc = crc32c::crc32c(&slot[..written]);
    let mut to = &mut slot[written..];
    to.put_u32(crc);
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, End)> {
    let mut from = slot;
    let magic = from.try_get_u64().ok()?;
    let sequence = from.try_get_u64().ok()?;
    let end = End {
        generation: from.try_get_u64().ok()?,
        begin: from.try_get_u64().ok()?,
        index: from.try_get_u64().ok()?,
        chain: from.try_get_u32().ok()?,
    };
    let covered = slot.len() - from.len();
    let crc = from.try_get_u32().ok()?;
    let fits = magic == MAGIC && crc == crc32c::crc32c(slot.get(..covered)?);
    fits.then_some((sequence, end))
}
