//! Bounds the databases that are open at one time: the one that was idle longest makes room.
//!
//! A database in use is never closed. If all are in use, one more is opened; the threads that
//! use them are bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::segment::Segment;

#[derive(Debug)]
pub(super) struct OpenSlots {
    max: usize,
    uses: AtomicU64,
    open: Mutex<Vec<Weak<Segment>>>,
}

impl OpenSlots {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            uses: AtomicU64::new(0),
            open: Mutex::default(),
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
            open.sort_by_cached_key(|other| other.upgrade().map_or(0, |s| s.last_used()));
            let idle = open
                .iter()
                .position(|other| other.upgrade().is_none_or(|s| s.close_if_idle()));
            if let Some(idle) = idle {
                open.remove(idle);
            }
        }
        open.push(this);
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        let open = self.open.lock();
        let upgraded = open.iter().filter_map(Weak::upgrade);
        upgraded.filter(|segment| segment.is_open()).count()
    }
}
