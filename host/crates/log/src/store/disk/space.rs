//! Refuses appends before the file system is full.
//!
//! Free space is asked for before the first write, then again after some bytes or a second,
//! and on each append while it is short: so work goes on as soon as there is room.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wstream_record::{ByteSize, Clock};

use crate::errors::StoreError;
use crate::sled::Disk;

/// Bytes written between two questions.
const BYTES_BETWEEN: u64 = 4 << 20;
/// Time between two questions, for what others write.
const TIME_BETWEEN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct SpaceGuard {
    disk: Arc<dyn Disk>,
    min: ByteSize,
    clock: Clock,
    asked: Mutex<Option<Asked>>,
}

#[derive(Debug)]
struct Asked {
    at: Duration,
    written_since: u64,
}

impl SpaceGuard {
    pub(super) fn new(disk: Arc<dyn Disk>, min: ByteSize, clock: Clock) -> Self {
        Self {
            disk,
            min,
            clock,
            asked: Mutex::new(None),
        }
    }

    /// Why appends are refused, if they are for want of room.
    pub(super) fn full(&self) -> Option<String> {
        let free = self.disk.free_space().ok()?;
        let min = self.min;
        (free < min).then(|| StoreError::DiskFull { free, min }.to_string())
    }

    /// Lets `bytes` be written, or says that the disk is full.
    pub(super) fn admit(&self, bytes: ByteSize) -> Result<(), StoreError> {
        let now = self.clock.monotonic();
        let mut asked = self.asked.lock();
        if let Some(asked) = &mut *asked {
            asked.written_since += bytes.0;
            let recent = now.saturating_sub(asked.at) < TIME_BETWEEN;
            if recent && asked.written_since < BYTES_BETWEEN {
                return Ok(());
            }
        }
        *asked = None;
        match self.disk.free_space() {
            Ok(free) if free < self.min => {
                let min = self.min;
                return Err(StoreError::DiskFull { free, min });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not ask for free space"),
        }
        *asked = Some(Asked {
            at: now,
            written_since: bytes.0,
        });
        Ok(())
    }
}
