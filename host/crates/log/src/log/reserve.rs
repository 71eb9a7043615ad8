//! Room that is kept for a disk without any: a start has something to write its metadata with, and
//! what makes room (retention, deletions) can be written down.
//!
//! A file of `RESERVE_BYTES` is made while there is more than enough room. It goes when a start finds
//! less than that left, or when nearly nothing is left later, and is made again once there is room. What
//! others write meanwhile may take the room away: then a start is refused, and its error says why.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use wstream_record::ByteSize;

use crate::config::LogConfig;
use crate::sled::FreeSpace;

/// Bytes that are kept. A start on a full disk copies a generation of metadata to read it, writes the
/// next one, opens up to three segments, whose files grow by a buffer of 2 MiB each, and begins another.
const RESERVE_BYTES: ByteSize = ByteSize::mib(16);
/// Bytes left at which a running node needs it.
const NEEDED_BELOW: ByteSize = ByteSize::mib(4);
/// The file.
const FILE: &str = "reserve";

/// The room that is kept in a data directory.
#[derive(Debug)]
pub(crate) struct Reserve {
    dir: PathBuf,
    free_space: FreeSpace,
    disk_free_min: ByteSize,
    /// Held while the file is made or removed.
    changing: Mutex<()>,
}

impl Reserve {
    pub(super) fn new(config: &LogConfig) -> Self {
        Self {
            dir: config.dir.clone(),
            free_space: config.free_space.clone(),
            disk_free_min: config.disk_free_min,
            changing: Mutex::default(),
        }
    }

    /// Gives the room away if a start would not have enough. Blocks.
    pub(super) fn look_at_start(&self) {
        self.give_below(RESERVE_BYTES);
    }

    /// Gives the room away if there is nearly none left, and takes it again if there is plenty. Blocks.
    pub(super) fn look(&self) {
        self.give_below(NEEDED_BELOW);
    }

    fn give_below(&self, needed: ByteSize) {
        let _changing = self.changing.lock();
        let Ok(free) = self.free_space.of(&self.dir) else {
            return;
        };
        let path = self.dir.join(FILE);
        let there = fs::metadata(&path).is_ok_and(|file| file.len() >= RESERVE_BYTES.0);
        if free < needed && there {
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::warn!(
                        %free, reserve = %path.display(),
                        "the disk is full: the room that was kept for that is used now"
                    );
                }
                Err(error) => {
                    tracing::error!(%error, "could not use the room kept for a full disk")
                }
            }
            return;
        }
        let plenty = self.disk_free_min.0.saturating_add(2 * RESERVE_BYTES.0);
        if !there
            && free.0 >= plenty
            && let Err(error) = make(&path)
        {
            // Not every file system can: then a full disk has to be made room on by hand.
            tracing::debug!(%error, "no room is kept for a full disk");
            drop(fs::remove_file(&path));
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES.0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn room_is_kept_while_there_is_plenty_and_given_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let room = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&room);
        let config = LogConfig {
            dir: dir.path().to_owned(),
            disk_free_min: ByteSize::mib(100),
            free_space: FreeSpace::from_fn(move |_| Ok(ByteSize(left.load(Ordering::Relaxed)))),
            ..LogConfig::default()
        };
        let reserve = Reserve::new(&config);
        // Free MiB, whether at a start, whether the room is kept then.
        let rows = [
            (0, true, false),
            (131, false, false),
            (132, false, true),
            (4, false, true),
            (3, false, false),
            (131, false, false),
            (200, false, true),
            (16, true, true),
            (15, true, false),
        ];
        for (mib, start, kept) in rows {
            room.store(ByteSize::mib(mib).0, Ordering::Relaxed);
            if start {
                reserve.look_at_start();
            } else {
                reserve.look();
            }
            let file = fs::metadata(dir.path().join(FILE));
            let bytes = file.map_or(0, |file| file.len());
            assert_eq!(bytes > 0, kept, "{mib} MiB free, at a start: {start}");
            assert!(bytes == 0 || bytes == RESERVE_BYTES.0);
        }
    }
}
