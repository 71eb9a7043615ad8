//! The keyed state off wasm: a table of this thread that answers as the host's does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::host::now_ms;
use crate::state::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// As many as the host allows by default.
const ENTRIES_MAX: usize = 1_000_000;
/// Likewise; an entry counts as its key, its value and 64 bytes.
const BYTES_MAX: usize = 256 << 20;
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    /// On this table's clock; for good without.
    expires_ms: Option<i64>,
}

#[derive(Debug)]
struct Table {
    entries: BTreeMap<Vec<u8>, Entry>,
    bytes: usize,
    /// How far the clock is ahead.
    passed_ms: i64,
    /// What the record in work has replaced, in order.
    replaced: Vec<(Vec<u8>, Option<Entry>)>,
}

thread_local! {
    static TABLE: RefCell<Table> = const {
        RefCell::new(Table {
            entries: BTreeMap::new(),
            bytes: 0,
            passed_ms: 0,
            replaced: Vec::new(),
        })
    };
}

/// Empties the keyed state of this thread; [`check_cases`](super::check_cases) does it before each
/// case.
pub fn clear_state() {
    TABLE.with_borrow_mut(|table| {
        table.entries.clear();
        table.replaced.clear();
        table.bytes = 0;
    });
}

/// Lets time pass for the keyed state of this thread: what was put for less is gone.
pub fn pass_time(time: Duration) {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    TABLE.with_borrow_mut(|table| table.passed_ms = table.passed_ms.saturating_add(millis));
}

/// A record is begun: what was written before holds.
pub(crate) fn begin_record() {
    TABLE.with_borrow_mut(|table| table.replaced.clear());
}

/// The record failed: what it wrote is discarded.
pub(crate) fn discard_record() {
    TABLE.with_borrow_mut(|table| {
        while let Some((key, entry)) = table.replaced.pop() {
            table.set(key, entry);
        }
    });
}

pub(crate) fn state_get(key: &[u8], buffer: &mut [u8]) -> i64 {
    TABLE.with_borrow(|table| {
        let Some(entry) = table.live(key) else {
            return -1;
        };
        if let Some(buffer) = buffer.get_mut(..entry.value.len()) {
            buffer.copy_from_slice(&entry.value);
        }
        entry.value.len() as i64
    })
}

pub(crate) fn state_put(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return -1;
    }
    if value.len() > VALUE_BYTES_MAX {
        return -2;
    }
    TABLE.with_borrow_mut(|table| {
        let old = table.entries.get(key);
        if old.is_none() && table.entries.len() >= ENTRIES_MAX {
            return -3;
        }
        let old_bytes = old.map_or(0, |old| size(key, &old.value));
        if table.bytes - old_bytes + size(key, value) > BYTES_MAX {
            return -4;
        }
        let expires_ms = (ttl_ms > 0).then(|| table.now_ms().saturating_add(ttl_ms));
        let value = value.to_vec();
        table.write(key, Some(Entry { value, expires_ms }));
        0
    })
}

pub(crate) fn state_delete(key: &[u8]) -> bool {
    TABLE.with_borrow_mut(|table| {
        let was_live = table.live(key).is_some();
        table.write(key, None);
        was_live
    })
}

pub(crate) fn state_scan(prefix: &[u8], after: &[u8], buffer: &mut [u8]) -> i64 {
    TABLE.with_borrow(|table| {
        let from = if after < prefix || after.is_empty() {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let now_ms = table.now_ms();
        let found = table.entries.range::<[u8], _>((from, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix));
        let mut rest = buffer;
        let mut written = 0;
        for (key, entry) in found.filter(|(_, entry)| entry.is_live(now_ms)) {
            let needed = 8 + key.len() + entry.value.len();
            let Some((place, behind)) = rest.split_at_mut_checked(needed) else {
                return if written > 0 {
                    written
                } else {
                    -(needed as i64)
                };
            };
            let len = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
            let parts = [&len(key), key.as_slice(), &len(&entry.value), &entry.value];
            place.copy_from_slice(&parts.concat());
            written += needed as i64;
            rest = behind;
        }
        written
    })
}

fn size(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Entry {
    fn is_live(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|at| at > now_ms)
    }
}

impl Table {
    fn now_ms(&self) -> i64 {
        now_ms().saturating_add(self.passed_ms)
    }

    fn live(&self, key: &[u8]) -> Option<&Entry> {
        let entry = self.entries.get(key)?;
        entry.is_live(self.now_ms()).then_some(entry)
    }

    fn write(&mut self, key: &[u8], entry: Option<Entry>) {
        let old = self.set(key.to_vec(), entry);
        self.replaced.push((key.to_vec(), old));
    }

    fn set(&mut self, key: Vec<u8>, entry: Option<Entry>) -> Option<Entry> {
        let len = key.len();
        let added = entry.as_ref().map_or(0, |new| size(&key, &new.value));
        let old = match entry {
            Some(entry) => self.entries.insert(key, entry),
            None => self.entries.remove(&key),
        };
        let removed = old
            .as_ref()
            .map_or(0, |old| len + old.value.len() + ENTRY_BYTES);
        self.bytes = self.bytes + added - removed;
        old
    }
}
