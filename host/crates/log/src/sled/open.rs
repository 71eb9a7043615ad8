//! Opens a database of sled, and judges what sled says went wrong: panics are errors, and what the
//! operating system refused is no fault of the files.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::Fault;
use crate::errors::StoreError;

/// Bytes of pages that sled keeps in memory per database. The log's own tail cache serves
/// readers at the end; others read on and do not come back.
const CACHE_BYTES: u64 = 1 << 20;
/// How long until a lock is tried again: sled lets go of a file a moment after its last handle is
/// dropped.
pub(super) const UNLOCK_WAIT_STEP: Duration = Duration::from_millis(2);
/// How sled says that someone else has the database open.
const LOCKED: &str = "could not acquire lock";

/// Opens what is in `dir`, or makes it, with a buffer of `buffer_bytes`; a lock of someone else is
/// waited for `unlock_wait`.
pub(super) fn open(
    dir: &Path,
    buffer_bytes: usize,
    unlock_wait: Duration,
) -> Result<sled::Db, Fault> {
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
                if error.to_string().contains(LOCKED) && waited < unlock_wait =>
            {
                std::thread::park_timeout(UNLOCK_WAIT_STEP);
                waited += UNLOCK_WAIT_STEP;
            }
            Ok(Err(error)) => return Err(judge("open database", dir, &error)),
            Err(_) => return Err(Fault::Broken("sled panicked while it opened it".to_owned())),
        }
    }
}

/// What the operating system refused is no fault of the files.
pub(super) fn judge(doing: &'static str, dir: &Path, error: &sled::Error) -> Fault {
    let by_system = match error {
        sled::Error::Io(io) => {
            let broken = matches!(
                io.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            );
            !broken && (io.raw_os_error().is_some() || io.to_string().contains(LOCKED))
        }
        _ => false,
    };
    if by_system {
        Fault::Failed(StoreError::failed(doing, dir, error))
    } else {
        Fault::Broken(error.to_string())
    }
}
