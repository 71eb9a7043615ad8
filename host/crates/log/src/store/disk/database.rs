//! Opens sled databases, with what it takes so that one kill or one bad file does not cost more
//! than it must.
//!
//! A kill during an open leaves `snap.*.generating`, or half a `conf` where there is no data yet,
//! which the next open would take for corruption: they are deleted first. Where an open fails, the snapshots are deleted and the log is
//! replayed from its beginning; they hold nothing that the log does not. Panics of sled are
//! errors here.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::files::{entries, failed};
use crate::errors::StoreError;

/// Bytes of pages that sled keeps in memory per database. The log's own tail cache serves
/// readers at the end; others read on and do not come back.
const CACHE_BYTES: u64 = 1 << 20;
/// Bytes of the buffer through which a database writes, and what its file grows by. sled hands each
/// full buffer to another thread, and leaves the rest of one empty that the next value does not fit
/// in: large ones cost less, but every reopening fills the last one up on disk.
pub(crate) const BUFFER_BYTES_SMALL: usize = 512 << 10;
/// For what fills many of them.
pub(crate) const BUFFER_BYTES_LARGE: usize = 2 << 20;
/// sled lets go of a file a moment after its last handle is dropped; longer than this, someone
/// else has it.
const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(2);
const UNLOCK_WAIT_STEP: Duration = Duration::from_millis(2);
/// How sled says that someone else has the database open.
const LOCKED: &str = "could not acquire lock";

/// Why a database cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system refused something; another time it may work.
    Failed(StoreError),
    /// What is there is not a database that sled reads.
    Broken(String),
}

impl Fault {
    /// As a store error, for those who do not keep databases aside.
    pub(crate) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Failed(error) => error,
            Self::Broken(reason) => failed("open database", path, &reason),
        }
    }
}

/// Opens the database in `dir`, or makes one that writes through buffers of `buffer_bytes`.
pub(crate) fn open(dir: &Path, buffer_bytes: usize) -> Result<sled::Db, Fault> {
    delete_snapshots(dir, ".generating").map_err(Fault::Failed)?;
    forget_unborn(dir).map_err(Fault::Failed)?;
    let buffer_bytes = buffer_bytes_of(dir).unwrap_or(buffer_bytes);
    match try_open(dir, buffer_bytes) {
        Err(Fault::Broken(reason)) => {
            tracing::warn!(dir = %dir.display(), reason, "database does not open, replaying it");
            delete_snapshots(dir, "").map_err(Fault::Failed)?;
            try_open(dir, buffer_bytes)
        }
        other => other,
    }
}

/// A kill while a database was made can leave its file `conf` without its checksum, which sled would
/// take for corruption. Without data there is nothing that it could be wrong about.
fn forget_unborn(dir: &Path) -> Result<(), StoreError> {
    let has_data = fs::metadata(dir.join("db")).is_ok_and(|db| db.len() > 0);
    let conf = dir.join("conf");
    if has_data || !conf.exists() {
        return Ok(());
    }
    fs::remove_file(&conf).map_err(|e| failed("remove", &conf, &e))
}

/// What the database in `dir` was made with, as its file `conf` says in its first line.
fn buffer_bytes_of(dir: &Path) -> Option<usize> {
    let conf = fs::read(dir.join("conf")).ok()?;
    let line = conf.split(|&b| b == b'\n').next()?;
    let bytes = std::str::from_utf8(line.strip_prefix(b"segment_size: ")?).ok()?;
    let bytes = bytes.parse().ok()?;
    [BUFFER_BYTES_SMALL, BUFFER_BYTES_LARGE]
        .contains(&bytes)
        .then_some(bytes)
}

fn try_open(dir: &Path, buffer_bytes: usize) -> Result<sled::Db, Fault> {
    let config = sled::Config::new()
        .path(dir)
        .segment_size(buffer_bytes)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let mut waited = Duration::ZERO;
    loop {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error)))
                if error.to_string().contains(LOCKED) && waited < UNLOCK_WAIT_MAX =>
            {
                std::thread::park_timeout(UNLOCK_WAIT_STEP);
                waited += UNLOCK_WAIT_STEP;
            }
            Ok(Err(error)) => return Err(judge(dir, &error)),
            Err(_) => return Err(Fault::Broken("sled panicked".to_owned())),
        }
    }
}

/// What the operating system refused is no fault of the files.
pub(crate) fn judge(dir: &Path, error: &sled::Error) -> Fault {
    let refused = match error {
        sled::Error::Io(io) => {
            let broken = matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            );
            !broken && (io.raw_os_error().is_some() || io.to_string().contains(LOCKED))
        }
        _ => false,
    };
    if refused {
        Fault::Failed(failed("use database", dir, error))
    } else {
        Fault::Broken(error.to_string())
    }
}

fn delete_snapshots(dir: &Path, suffix: &str) -> Result<(), StoreError> {
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(suffix) {
            fs::remove_file(&path).map_err(|e| failed("remove", &path, &e))?;
        }
    }
    Ok(())
}
