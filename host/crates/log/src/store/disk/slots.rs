//! Opens segments to read them, and bounds how many closed ones are open, and what they hold in
//! memory.
//!
//! An open database keeps every page that was read, and its tables besides: so few are open, and
//! the one that was used longest ago makes room. So it is with an index that was read.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::index::Place;
use super::segment::{Segment, Trouble, open, read_place};
use crate::sled::{Database, Disk, Value};

/// Closed segments open at one time.
const OPEN_MAX: usize = 8;
/// Bytes of values that they hold together.
const HELD_BYTES_MAX: u64 = 48 << 20;

/// The open ones.
#[derive(Debug, Default)]
pub(super) struct Slots {
    open: Mutex<Vec<Weak<Segment>>>,
    ticks: AtomicU64,
}

impl Slots {
    /// A moment later than all before.
    pub(super) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes room for a segment that is about to be opened.
    pub(super) fn admit(&self, segment: &Arc<Segment>) {
        let close = {
            let mut open = self.open.lock();
            let mut others: Vec<Arc<Segment>> = open
                .iter()
                .filter_map(Weak::upgrade)
                .filter(|other| other.id != segment.id && !other.is_live())
                .filter(|other| other.is_open() || other.is_loaded())
                .collect();
            others.sort_by_key(|other| other.used.load(Ordering::Relaxed));
            let mut held: u64 = others.iter().map(|s| s.held.load(Ordering::Relaxed)).sum();
            let mut surplus = Vec::new();
            while others.len() + 1 > OPEN_MAX || held > HELD_BYTES_MAX {
                if others.is_empty() {
                    break;
                }
                let oldest = others.remove(0);
                held -= oldest.held.load(Ordering::Relaxed).min(held);
                surplus.push(oldest);
            }
            *open = others.iter().map(Arc::downgrade).collect();
            open.push(Arc::downgrade(segment));
            surplus
        };
        for segment in close {
            segment.close_database();
            segment.unload();
        }
    }

    /// A segment's index was read: it goes when it is not used any more.
    pub(super) fn note(&self, segment: &Arc<Segment>) {
        segment.used.store(self.tick(), Ordering::Relaxed);
        let open = self.open.lock();
        let known = |other: &Weak<Segment>| std::ptr::eq(other.as_ptr(), Arc::as_ptr(segment));
        let make_room = segment.is_loaded() && !open.iter().any(known);
        drop(open);
        if make_room {
            self.admit(segment);
        }
    }

    /// Closes what nobody has used since the tick `before`; answers now's.
    pub(super) fn close_idle(&self, before: u64) -> u64 {
        let open: Vec<Arc<Segment>> = self.open.lock().iter().filter_map(Weak::upgrade).collect();
        for segment in open {
            if segment.used.load(Ordering::Relaxed) < before && !segment.is_live() {
                segment.close_database();
                segment.unload();
            }
        }
        self.tick()
    }
}

impl Segment {
    /// The batches of a place.
    pub(super) fn batches(
        self: &Arc<Self>,
        disk: &dyn Disk,
        slots: &Slots,
        place: &Place,
    ) -> Result<Bytes, Trouble> {
        self.with_database(disk, slots, |database| {
            let bytes = read_place(database, place)?;
            self.held.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        })
    }

    /// Whether anything of it can be read; else why not.
    pub(super) fn opens(self: &Arc<Self>, disk: &dyn Disk, slots: &Slots) -> Result<(), String> {
        match self.with_database(disk, slots, |_| Ok(())) {
            Err(Trouble::Damaged(reason)) => Err(reason),
            Ok(()) | Err(Trouble::Removed | Trouble::Failed(_)) => Ok(()),
        }
    }

    /// Shows all values in order.
    pub(super) fn scan(
        self: &Arc<Self>,
        disk: &dyn Disk,
        slots: &Slots,
        look: &mut dyn FnMut(Result<Value, u32>) -> ControlFlow<()>,
    ) -> Result<(), Trouble> {
        let scanned = self.with_database(disk, slots, |database| Ok(database.each(0, look)?));
        // It holds all it read: nobody needs that.
        if !self.is_live() {
            self.close_database();
        }
        scanned
    }

    fn with_database<T>(
        self: &Arc<Self>,
        disk: &dyn Disk,
        slots: &Slots,
        run: impl FnOnce(&dyn Database) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if let Some(reason) = self.damaged() {
            return Err(Trouble::Damaged(reason));
        }
        loop {
            if self.is_removed() {
                return Err(Trouble::Removed);
            }
            let database = self.database.read().clone();
            if let Some(database) = database {
                self.used.store(slots.tick(), Ordering::Relaxed);
                return run(&*database);
            }
            slots.admit(self);
            let mut database = self.database.write();
            if database.is_none() && !self.is_removed() {
                self.used.store(slots.tick(), Ordering::Relaxed);
                let sealed = self.sealed.load(Ordering::Acquire);
                *database = Some(open(disk, &self.name, sealed)?.into());
            }
        }
    }
}
