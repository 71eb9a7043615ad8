//! Bounds the databases that are open at one time, and the memory they hold: the one that was idle
//! longest makes room.
//!
//! sled has a bound for its pages, but looks at it only when 64 accesses have met in the same of
//! 256 parts; the pages of a log are written once and never come to that. So an open database holds
//! all values that went through it, and closing it is the only way to free them.
//! A database in use is never closed. If all are in use, one more is opened; the threads that
//! use them are bounded. Closing waits for the device, so it is done in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wstream_record::ByteSize;

use super::background::Background;
use super::partition::REOPEN_BYTES_MAX;
use super::segment::Segment;

#[derive(Debug)]
pub(super) struct OpenSlots {
    max: usize,
    bytes_max: u64,
    uses: AtomicU64,
    /// Bytes that went through all open databases.
    held: Arc<AtomicU64>,
    open: Mutex<Vec<Weak<Segment>>>,
    background: Background,
}

/// Bytes that went through one open database.
#[derive(Debug)]
pub(super) struct Held {
    bytes: AtomicU64,
    all: Arc<AtomicU64>,
}

impl Held {
    /// Accounts for bytes that were read, of a database that has `bytes_max` in all.
    pub(super) fn add_read(&self, bytes: u64, bytes_max: u64) {
        let known = self.bytes.load(Ordering::Relaxed);
        let new = bytes.min(bytes_max.saturating_sub(known));
        self.bytes.fetch_add(new, Ordering::Relaxed);
        self.all.fetch_add(new, Ordering::Relaxed);
    }

    /// Accounts for bytes that were written.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Closes the account: the database is about to go.
    pub(super) fn release(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

impl OpenSlots {
    pub(super) fn new(max: usize, bytes_max: ByteSize) -> Self {
        Self {
            max: max.max(1),
            bytes_max: bytes_max.0,
            uses: AtomicU64::new(0),
            held: Arc::default(),
            open: Mutex::default(),
            background: Background::default(),
        }
    }

    /// Where databases are closed.
    pub(super) fn background(&self) -> &Background {
        &self.background
    }

    /// The account of a database that is about to open.
    pub(super) fn account(&self) -> Held {
        Held {
            bytes: AtomicU64::new(0),
            all: Arc::clone(&self.held),
        }
    }

    /// A number above all earlier ones: when something was used.
    pub(super) fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes room for `segment`, which is about to open.
    pub(super) fn admit(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        let this = Arc::downgrade(segment);
        open.retain(|other| other.strong_count() > 0 && !other.ptr_eq(&this));
        if open.len() >= self.max {
            self.close_idlest(&mut open);
        }
        open.push(this);
    }

    /// Closes databases until the bound on their memory holds. Called by who uses none.
    pub(super) fn shed(&self) {
        if self.held.load(Ordering::Relaxed) <= self.bytes_max {
            return;
        }
        let mut open = self.open.lock();
        // Many active partitions get what makes a segment that rolls rather than opens again.
        while self.held.load(Ordering::Relaxed)
            > self.bytes_max.max(open.len() as u64 * REOPEN_BYTES_MAX)
        {
            if !self.close_idlest(&mut open) {
                return;
            }
        }
    }

    fn close_idlest(&self, open: &mut Vec<Weak<Segment>>) -> bool {
        open.sort_by_cached_key(|other| other.upgrade().map_or(0, |s| s.last_used()));
        let idle = open
            .iter()
            .position(|other| other.upgrade().is_none_or(|s| s.close_if_idle(self)));
        if let Some(idle) = idle {
            open.remove(idle);
        }
        idle.is_some()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> ByteSize {
        ByteSize(self.held.load(Ordering::Relaxed))
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        let open = self.open.lock();
        let upgraded = open.iter().filter_map(Weak::upgrade);
        upgraded.filter(|segment| segment.is_open()).count()
    }
}
