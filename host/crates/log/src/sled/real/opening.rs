//! Opens sled databases, with what it takes so that one kill or one bad file does not cost more
//! than it must.
//!
//! A kill while sled opens leaves `snap.*.generating`, or half a `conf` where there is no data yet,
//! which the next open would take for corruption: they are deleted first. A `conf` that does not
//! read beside data is made anew, with the buffer size that the data shows. Where an open fails,
//! the snapshots are deleted and the log is replayed from its beginning; they hold nothing that the
//! log does not.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::files::entries;
use crate::errors::StoreError;
use crate::sled::{Fault, open};

/// Bytes of the buffer through which a database writes, and what its file grows by. sled hands each
/// full buffer to another thread, and leaves the rest of one empty that the next value does not fit
/// in: large ones cost less, but the first reopening fills the last one up on disk.
pub(super) const BUFFER_BYTES_SMALL: usize = 512 << 10;
/// For what fills many of them.
pub(super) const BUFFER_BYTES_LARGE: usize = 2 << 20;
/// sled lets go of a file a moment after its last handle is dropped; longer than this, someone
/// else has it.
pub(super) const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of the header that each buffer has in the file.
const BUFFER_HEADER_BYTES: usize = 20;

/// Makes the database in `dir`, which holds none.
pub(super) fn create(dir: &Path, buffer_bytes: usize) -> Result<sled::Db, Fault> {
    try_open(dir, buffer_bytes)
}

/// Opens the database in `dir`.
pub(super) fn open(dir: &Path) -> Result<sled::Db, Fault> {
    let failed = |e: io::Error| Fault::Failed(StoreError::failed("open database", dir, &e));
    let bytes = match fs::metadata(dir.join("db")) {
        Ok(db) => db.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::Broken("its file db is not there".to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    delete_snapshots(dir, ".generating").map_err(failed)?;
    let buffer_bytes = check_conf(dir, bytes).map_err(failed)?;
    match try_open(dir, buffer_bytes) {
        Err(Fault::Broken(reason)) => {
            tracing::warn!(dir = %dir.display(), reason, "database does not open, replaying it");
            delete_snapshots(dir, "").map_err(failed)?;
            try_open(dir, buffer_bytes)
        }
        other => other,
    }
}

/// Whether sled has written a snapshot: it does when it opens a database that holds something.
pub(super) fn has_snapshot(dir: &Path) -> io::Result<bool> {
    let found = entries(dir)?;
    Ok(found.iter().any(|path| is_snapshot(path, "")))
}

/// The size of the database's buffers. Deletes a `conf` that does not say it.
fn check_conf(dir: &Path, db_bytes: u64) -> io::Result<usize> {
    let conf = dir.join("conf");
    let read = match fs::read(&conf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    if let Some(read) = &read
        && let Some(bytes) = buffer_bytes_of(read)
    {
        return Ok(bytes);
    }
    if read.is_some() {
        fs::remove_file(&conf)?;
    }
    if db_bytes > 0 {
        tracing::warn!(dir = %dir.display(), "the database's file conf does not read, made anew");
    }
    buffer_bytes_by_data(&dir.join("db"))
}

/// What a `conf` says, if its checksum fits.
fn buffer_bytes_of(conf: &[u8]) -> Option<usize> {
    let (text, crc) = conf.split_last_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32(text) {
        return None;
    }
    let line = text.split(|&b| b == b'\n').next()?;
    let bytes = std::str::from_utf8(line.strip_prefix(b"segment_size: ")?).ok()?;
    let bytes = bytes.parse().ok()?;
    [BUFFER_BYTES_SMALL, BUFFER_BYTES_LARGE]
        .contains(&bytes)
        .then_some(bytes)
}

/// Small buffers, unless there is no header where the second small one would begin. As long as
/// there is only one, it does not matter.
fn buffer_bytes_by_data(db: &Path) -> io::Result<usize> {
    let file = File::open(db)?;
    let second = BUFFER_BYTES_SMALL as u64;
    if file.metadata()?.len() <= second {
        return Ok(BUFFER_BYTES_SMALL);
    }
    let mut header = [0; BUFFER_HEADER_BYTES];
    let whole = match file.read_exact_at(&mut header, second) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    let (crc, rest) = header.split_at(4);
    let is_header = whole && crc == (crc32(rest) ^ u32::MAX).to_le_bytes();
    Ok(if is_header {
        BUFFER_BYTES_SMALL
    } else {
        BUFFER_BYTES_LARGE
    })
}

/// The checksum that sled uses, of the few bytes looked at here.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    !crc
}

fn try_open(dir: &Path, buffer_bytes: usize) -> Result<sled::Db, Fault> {
    open::open(dir, buffer_bytes, UNLOCK_WAIT_MAX)
}

fn delete_snapshots(dir: &Path, suffix: &str) -> io::Result<()> {
    entries(dir)?
        .iter()
        .filter(|path| is_snapshot(path, suffix))
        .try_for_each(fs::remove_file)
}

fn is_snapshot(path: &Path, suffix: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("snap.") && name.ends_with(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conf_that_was_changed_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in [BUFFER_BYTES_SMALL, BUFFER_BYTES_LARGE] {
            drop(create(dir.path(), bytes).unwrap());
            let conf = fs::read(dir.path().join("conf")).unwrap();
            assert_eq!(buffer_bytes_of(&conf), Some(bytes));
            for at in 0..conf.len() {
                let mut changed = conf.clone();
                changed[at] ^= 1;
                assert_eq!(buffer_bytes_of(&changed), None, "{at}");
                assert_eq!(buffer_bytes_of(&conf[..at]), None, "{at}");
            }
            fs::remove_dir_all(dir.path()).unwrap();
        }
    }
}
