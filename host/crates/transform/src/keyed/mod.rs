//! Keyed state of one step of a pipeline for one partition: the table a module reads and writes.
//!
//! What a call writes is seen by that call at once and by the table only when the call's answer
//! holds; what a failed record wrote is never seen again. `take_changes` gives what has changed
//! since, for the log that the table is rebuilt from. The table is bounded in entries and bytes,
//! and so is what one call may write.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use wstream_record::{ByteSize, Clock, Timestamp};

/// Longest key.
pub const STATE_KEY_BYTES_MAX: usize = 4096;
/// Longest value.
pub const STATE_VALUE_BYTES_MAX: usize = 1 << 20;
/// What an entry is counted as beside its key and value.
const ENTRY_BYTES: u64 = 64;
/// Most that one call may write before its answer holds.
const CALL_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one answer of `scan`; one entry always fits.
const SCAN_BYTES_MAX: usize = 1 << 20;
/// Expired entries that are told with changes however few there are.
const EXPIRED_MIN: usize = 100;
/// Who wrote is not known: the module has no cursor.
pub(crate) const WRITER_UNKNOWN: u32 = u32::MAX;

/// How large a table may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateLimits {
    /// Entries.
    pub entries: u64,
    /// Keys, values and 64 bytes for each entry.
    pub bytes: ByteSize,
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: ByteSize::mib(256),
        }
    }
}

/// An entry that was set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The key.
    pub key: Bytes,
    /// `None` if it was removed.
    pub value: Option<Bytes>,
    /// From when on it counts as removed.
    pub expires: Option<Timestamp>,
}

/// Why an entry was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PutError {
    #[error("a key has 1 to {STATE_KEY_BYTES_MAX} bytes")]
    Key,
    #[error("a value has at most {STATE_VALUE_BYTES_MAX} bytes")]
    Value,
    #[error("the state has as many entries as it may have")]
    Entries,
    #[error("the state has as many bytes as it may have")]
    Bytes,
    #[error("one call may write at most {CALL_BYTES_MAX} bytes of state")]
    Call,
}

/// The table. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct KeyedState(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    clock: Clock,
    limits: StateLimits,
    entries: BTreeMap<Bytes, Entry>,
    bytes: u64,
    changed: BTreeMap<Bytes, ()>,
    changed_bytes: u64,
    /// Keys that went because they had expired and that `take_changes` has not told yet.
    expired: BTreeSet<Bytes>,
    /// Behind this key the next look for expired entries begins.
    looked_to: Option<Bytes>,
    call: Call,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Bytes,
    expires: Option<Timestamp>,
}

/// What the running call wrote.
#[derive(Debug, Default)]
struct Call {
    /// By writer and key, so that a record that writes a key again counts once.
    writes: BTreeMap<(u32, Bytes), Option<Entry>>,
    seen: BTreeMap<Bytes, Option<Entry>>,
    written_bytes: u64,
    /// How much larger the table would be.
    entries: i64,
    bytes: i64,
}

impl Entry {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| at > now)
    }
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_BYTES
}

/// What a write under a key is counted as.
fn written_bytes(key: &[u8]) -> impl Fn(&Option<Entry>) -> u64 {
    |entry| size(key, entry.as_ref().map_or(&[], |entry| &entry.value))
}

impl KeyedState {
    /// An empty table.
    #[must_use]
    pub fn new(limits: StateLimits, clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(Table {
            clock,
            limits,
            entries: BTreeMap::new(),
            bytes: 0,
            changed: BTreeMap::new(),
            changed_bytes: 0,
            expired: BTreeSet::new(),
            looked_to: None,
            call: Call::default(),
        })))
    }

    /// Applies a change that was logged; it does not count as a new one.
    pub fn restore(&self, change: StateChange) {
        let mut table = self.0.lock();
        let entry = change.value.map(|value| Entry {
            value,
            expires: change.expires,
        });
        table.set(change.key, entry);
    }

    /// What has changed since the last time, each key once. Entries that have expired are among
    /// it by and by, as many as there are changes and a few more, so that no change becomes large
    /// for their sake.
    #[must_use]
    pub fn take_changes(&self) -> Vec<StateChange> {
        let mut table = self.0.lock();
        let mut changed = std::mem::take(&mut table.changed);
        table.changed_bytes = 0;
        let more = changed.len() + EXPIRED_MIN;
        table.look_for_expired(2 * more);
        while changed.len() < 2 * more
            && let Some(key) = table.expired.pop_first()
        {
            changed.insert(key, ());
        }
        let change = |key: Bytes| {
            let entry = table.entries.get(&key).cloned();
            StateChange {
                key,
                expires: entry.as_ref().and_then(|e| e.expires),
                value: entry.map(|e| e.value),
            }
        };
        changed.into_keys().map(change).collect()
    }

    /// Bytes of what has changed since `take_changes`; what changed several times may count so
    /// often.
    #[must_use]
    pub fn changed_bytes(&self) -> u64 {
        self.0.lock().changed_bytes
    }

    /// Entries, expired ones included until they are met, and their bytes.
    #[must_use]
    pub fn size(&self) -> (u64, ByteSize) {
        let table = self.0.lock();
        (table.entries.len() as u64, ByteSize(table.bytes))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Bytes> {
        let table = self.0.lock();
        let now = table.clock.now();
        let entry = table.find(key)?;
        entry.is_live(now).then(|| entry.value.clone())
    }

    pub(crate) fn put(
        &self,
        writer: u32,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), PutError> {
        if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
            return Err(PutError::Key);
        }
        if value.len() > STATE_VALUE_BYTES_MAX {
            return Err(PutError::Value);
        }
        let mut table = self.0.lock();
        let written = (writer, Bytes::copy_from_slice(key));
        let before = table
            .call
            .writes
            .get(&written)
            .map_or(0, written_bytes(key));
        if table.call.written_bytes - before + size(key, value) > CALL_BYTES_MAX {
            return Err(PutError::Call);
        }
        if let Err(first) = table.room_for(key, value) {
            // What has expired may have been all that is in the way.
            if !table.sweep() {
                return Err(first);
            }
            table.room_for(key, value)?;
        }
        let expires = ttl.map(|ttl| {
            let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            Timestamp(table.clock.now().0.saturating_add(millis))
        });
        let entry = Entry {
            value: Bytes::copy_from_slice(value),
            expires,
        };
        table.write(writer, written.1, Some(entry));
        Ok(())
    }

    /// False if there was none.
    pub(crate) fn delete(&self, writer: u32, key: &[u8]) -> bool {
        let mut table = self.0.lock();
        let now = table.clock.now();
        let Some(entry) = table.find(key) else {
            return false;
        };
        let was_live = entry.is_live(now);
        table.write(writer, Bytes::copy_from_slice(key), None);
        was_live
    }

    /// Entries whose key begins with `prefix` and is above `after`, in order.
    pub(crate) fn scan(&self, prefix: &[u8], after: &[u8], max: usize) -> Vec<(Bytes, Bytes)> {
        let table = self.0.lock();
        let now = table.clock.now();
        let from = if after.is_empty() || after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let range = (from, Bound::Unbounded);
        let stored = table.entries.range::<[u8], _>(range);
        let seen = table.call.seen.range::<[u8], _>(range);
        let stored = stored.map(|(key, entry)| (key, Some(entry), false));
        let seen = seen.map(|(key, entry)| (key, entry.as_ref(), true));
        let mut bytes = 0;
        let mut found = Vec::new();
        for (key, entry) in merge(stored, seen) {
            if !key.starts_with(prefix) || found.len() >= max {
                break;
            }
            let Some(entry) = entry.filter(|entry| entry.is_live(now)) else {
                continue;
            };
            bytes += key.len() + entry.value.len();
            if bytes > SCAN_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push((key.clone(), entry.value.clone()));
        }
        found
    }

    /// The first of these records that wrote in the running call; if a writer is not known, any,
    /// and false.
    pub(crate) fn first_writer(&self, records: impl Iterator<Item = u32>) -> Option<(u32, bool)> {
        let table = self.0.lock();
        let wrote = |record: u32| {
            let from = (record, Bytes::new());
            let mut writes = table.call.writes.range(from..);
            writes
                .next()
                .is_some_and(|((writer, _), _)| *writer == record)
        };
        let unknown = wrote(WRITER_UNKNOWN);
        let mut records = records;
        let found = records.find(|&record| unknown || wrote(record))?;
        Some((found, !unknown))
    }

    /// The call's answer holds: so does what its records below `end` wrote, and what is not known
    /// whose it is.
    pub(crate) fn commit(&self, end: u32) {
        let mut table = self.0.lock();
        let call = std::mem::take(&mut table.call);
        for ((writer, key), entry) in call.writes {
            if writer < end || writer == WRITER_UNKNOWN {
                table.changed_bytes += written_bytes(&key)(&entry);
                table.set(key.clone(), entry);
                table.changed.insert(key, ());
            }
        }
    }

    /// The call failed.
    pub(crate) fn discard(&self) {
        self.0.lock().call = Call::default();
    }
}

/// Two ordered sequences as one; where both have a key, the second's entry counts.
fn merge<'t>(
    stored: impl Iterator<Item = (&'t Bytes, Option<&'t Entry>, bool)>,
    seen: impl Iterator<Item = (&'t Bytes, Option<&'t Entry>, bool)>,
) -> impl Iterator<Item = (&'t Bytes, Option<&'t Entry>)> {
    let (mut stored, mut seen) = (stored.peekable(), seen.peekable());
    std::iter::from_fn(move || {
        let next = match (stored.peek(), seen.peek()) {
            (Some((a, ..)), Some((b, ..))) if a < b => stored.next(),
            (Some((a, ..)), Some((b, ..))) => {
                if a == b {
                    stored.next();
                }
                seen.next()
            }
            (Some(_), None) => stored.next(),
            (None, _) => seen.next(),
        };
        next.map(|(key, entry, _)| (key, entry))
    })
}

impl Table {
    fn find(&self, key: &[u8]) -> Option<&Entry> {
        match self.call.seen.get(key) {
            Some(seen) => seen.as_ref(),
            None => self.entries.get(key),
        }
    }

    fn room_for(&self, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        let old = self.find(key);
        let entries = self.entries.len() as i64 + self.call.entries + i64::from(old.is_none());
        if entries > i64::try_from(self.limits.entries).unwrap_or(i64::MAX) {
            return Err(PutError::Entries);
        }
        let old = old.map_or(0, |old| size(key, &old.value));
        let held = self.bytes.saturating_add_signed(self.call.bytes);
        if held.saturating_sub(old) + size(key, value) > self.limits.bytes.0 {
            return Err(PutError::Bytes);
        }
        Ok(())
    }

    fn write(&mut self, writer: u32, key: Bytes, entry: Option<Entry>) {
        let bytes = |entry: &Entry| size(&key, &entry.value).cast_signed();
        let (old_count, old_bytes) = self.find(&key).map_or((0, 0), |old| (1, bytes(old)));
        let (count, new_bytes) = entry.as_ref().map_or((0, 0), |new| (1, bytes(new)));
        let written = written_bytes(&key)(&entry);
        let call = &mut self.call;
        call.entries += count - old_count;
        call.bytes += new_bytes - old_bytes;
        call.seen.insert(key.clone(), entry.clone());
        let before = call.writes.insert((writer, key.clone()), entry);
        let before = before.as_ref().map_or(0, written_bytes(&key));
        call.written_bytes = (call.written_bytes + written).saturating_sub(before);
    }

    fn set(&mut self, key: Bytes, entry: Option<Entry>) {
        let added = entry.as_ref().map_or(0, |new| size(&key, &new.value));
        let old = match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(&key),
        };
        let removed = old.map_or(0, |old| size(&key, &old.value));
        self.bytes = (self.bytes + added).saturating_sub(removed);
    }

    /// Drops what has expired and the running call has not seen; whether there was any.
    fn sweep(&mut self) -> bool {
        let now = self.clock.now();
        let (seen, bytes, expired) = (&self.call.seen, &mut self.bytes, &mut self.expired);
        let before = self.entries.len();
        self.entries.retain(|key, entry| {
            let keep = entry.is_live(now) || seen.contains_key(key);
            if !keep {
                *bytes = bytes.saturating_sub(size(key, &entry.value));
                expired.insert(key.clone());
            }
            keep
        });
        self.entries.len() < before
    }

    /// The same for the next `count` entries, round and round.
    fn look_for_expired(&mut self, count: usize) {
        let now = self.clock.now();
        let from = self
            .looked_to
            .take()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut looked = 0;
        let mut expired = Vec::new();
        for (key, entry) in self.entries.range((from, Bound::Unbounded)).take(count) {
            looked += 1;
            last = Some(key);
            if !entry.is_live(now) && !self.call.seen.contains_key(key) {
                expired.push(key.clone());
            }
        }
        self.looked_to = last.filter(|_| looked == count).cloned();
        for key in expired {
            self.set(key.clone(), None);
            self.expired.insert(key);
        }
    }
}
