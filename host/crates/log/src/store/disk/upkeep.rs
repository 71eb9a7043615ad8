//! What a stream does besides appends and reads, a little at a time: stores snapshots, closes
//! segments that rolled, removes those of which nothing is wanted, settles others, and compares
//! closed ones with their seals.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::{Offset, Timestamp};

use super::index::Place;
use super::manifest::BEHIND_ALL;
use super::segment::{Segment, Trouble, encode_seal, index_file, seal_file};
use super::snapshot;
use super::stream::Stream;
use crate::errors::StoreError;
use crate::sled::{Fault, Shape};
use crate::store::{Cleanup, Derived, PartitionKey};

impl Stream {
    /// As `LogStore::tidy`.
    pub(super) fn tidy(
        &self,
        cleanup: &dyn Fn(PartitionKey) -> Cleanup,
    ) -> Result<bool, StoreError> {
        self.probe();
        self.damage.store(&*self.node.disk, &self.root)?;
        self.trim_starts()?;
        let mut more = self.store_snapshot()?;
        more |= self.close_oldest(false)?;
        more |= self.remove_dead()?;
        more |= self.settle(cleanup)?;
        more |= self.scrub()?;
        let idle = self.idle_tick.load(Ordering::Relaxed);
        let tick = self.node.slots.close_idle(idle);
        self.idle_tick.store(tick, Ordering::Relaxed);
        Ok(more)
    }

    /// Counts only what is still wanted of stretches that a log start has cut.
    fn trim_starts(&self) -> Result<(), StoreError> {
        let started = std::mem::take(&mut *self.started.lock());
        for key in started {
            let Some(held) = self.held(key) else { continue };
            let (start, span) = {
                let held = held.lock();
                let front = held.spans.front().filter(|_| held.starts_within());
                (held.start, front.cloned())
            };
            let Some(span) = span else { continue };
            let disk = &*self.node.disk;
            let places = span
                .segment
                .places(disk, key, span.first, span.next, u64::MAX);
            let places = match places {
                Ok(places) => places,
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::Damaged(_) | Trouble::Removed) => continue,
            };
            let (gone, kept): (Vec<Place>, Vec<Place>) =
                places.into_iter().partition(|p| p.next <= start);
            let bytes: u64 = gone.iter().map(|place| u64::from(place.bytes)).sum();
            let records = gone.iter().map(|place| place.records);
            let records = records.fold(0_u32, u32::saturating_add);
            let Some(first) = kept.first().map(|place| place.first) else {
                continue;
            };
            let mut held = held.lock();
            let front = held.spans.front_mut();
            let same = |s: &&mut super::held::Span| s.first == span.first && s.next == span.next;
            if let Some(front) = front.filter(same) {
                front.first = first.max(front.first);
                let largest = kept.iter().map(|place| place.largest).max();
                front.largest = largest.unwrap_or(front.largest);
                front.bytes = front.bytes.saturating_sub(bytes);
                front.records = front.records.saturating_sub(records);
                held.records = held.records.saturating_sub(u64::from(records));
                held.bytes = held.bytes.saturating_sub(bytes);
                span.segment.forget(bytes);
            }
        }
        Ok(())
    }

    /// After a failed sync: whether the device takes one again.
    fn probe(&self) {
        if self.trouble.lock().is_none() {
            return;
        }
        let disk = &*self.node.disk;
        let name = format!("{}/probe", self.root);
        // One that is left from before.
        drop(disk.remove(&name));
        let tried = disk.create(&name, Shape::Small).and_then(|database| {
            database.put(b"probe", b"probe")?;
            database.flush()?;
            database.sync()
        });
        let removed = disk.remove(&name);
        if tried.is_ok() && removed.is_ok() && self.manifest.lock().write(disk, &self.root).is_ok()
        {
            tracing::warn!(stream = self.root, "the device takes syncs again");
            self.trouble.lock().take();
        }
    }

    /// Stores the oldest snapshot that is not stored yet; says whether there was one.
    fn store_snapshot(&self) -> Result<bool, StoreError> {
        let (before, bytes) = {
            let snapshots = self.snapshots.lock();
            // Only the newest ones count.
            let Some((before, snapshot)) = snapshots.last() else {
                return Ok(false);
            };
            (*before, snapshot.encode())
        };
        self.write_snapshot(before, before, &bytes)?;
        self.snapshots.lock().retain(|(other, _)| *other > before);
        Ok(true)
    }

    fn write_snapshot(&self, file: u64, before: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let _upkeep = self.upkeep.lock();
        let disk = &*self.node.disk;
        disk.write(&snapshot::file(&self.root, file), bytes)?;
        let surplus = {
            let mut manifest = self.manifest.lock();
            let mut next = manifest.clone();
            let surplus = next.add_derived(file, before);
            next.write(disk, &self.root)?;
            *manifest = next;
            surplus
        };
        for id in surplus {
            disk.remove(&snapshot::file(&self.root, id))?;
        }
        Ok(())
    }

    /// Closes the oldest segment that rolled; with `last`, also the one that is written. Says whether
    /// there was one.
    pub(super) fn close_oldest(&self, last: bool) -> Result<bool, StoreError> {
        let (id, failed) = {
            let manifest = self.manifest.lock();
            let written = manifest.segments.last().map(|listed| listed.id);
            let mut open = manifest.segments.iter().filter(|listed| !listed.closed);
            let oldest = open.find(|listed| last || Some(listed.id) != written);
            match oldest {
                Some(listed) => (listed.id, listed.values.is_some()),
                None => return Ok(false),
            }
        };
        let Some(segment) = self.segment(id) else {
            return Ok(false);
        };
        let _closing = self.closing.lock();
        if self.is_closed(id) {
            return Ok(true);
        }
        if failed || segment.damaged().is_some() || !self.close_segment(&segment)? {
            self.salvage(&segment)?;
        }
        Ok(true)
    }

    /// Whether somebody else has closed or replaced a segment meanwhile.
    fn is_closed(&self, id: u64) -> bool {
        let manifest = self.manifest.lock();
        let listed = manifest.segments.iter().find(|listed| listed.id == id);
        listed.is_none_or(|listed| listed.closed)
    }

    pub(super) fn segment(&self, id: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        segments.iter().find(|segment| segment.id == id).cloned()
    }

    /// Closes a segment; `false` if its database cannot be relied on as it is: it does not read as a
    /// whole any more, or a sync of it failed.
    fn close_segment(&self, segment: &Segment) -> Result<bool, StoreError> {
        let _upkeep = self.upkeep.lock();
        let disk = &*self.node.disk;
        let index = segment.index(disk);
        let index = index.map_err(|trouble| self.index_error(segment, trouble))?;
        let synced = segment.with_open(|database| database.sync());
        let sealed = match synced.unwrap_or(Ok(())) {
            Ok(()) => segment.close_for_good(|| {
                let seal = disk.seal(&segment.name, index.values)?;
                disk.write(&seal_file(&segment.name), &encode_seal(&seal))?;
                Ok(seal.files)
            }),
            Err(fault) => Err(self.close_error(segment, fault)),
        };
        if let Err(error) = sealed {
            let segment = &segment.name;
            tracing::warn!(segment, %error, "a segment does not close, writing it anew");
            return Ok(false);
        }
        disk.write(&index_file(&segment.name), &index.encode())?;
        {
            let mut manifest = self.manifest.lock();
            let mut next = manifest.clone();
            if let Some(listed) = next.find(segment.id) {
                listed.closed = true;
            }
            next.write(disk, &self.root)?;
            *manifest = next;
        }
        segment.closed_with(&index);
        Ok(true)
    }

    pub(super) fn close_error(&self, segment: &Segment, fault: Fault) -> StoreError {
        match fault {
            Fault::Failed(error) => error,
            Fault::Broken(reason) => {
                StoreError::damaged(self.node.disk.path(&segment.name), &reason)
            }
        }
    }

    pub(super) fn index_error(&self, segment: &Segment, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::Damaged(reason) => {
                StoreError::damaged(self.node.disk.path(&segment.name), &reason)
            }
            Trouble::Removed => StoreError::failed("close", &segment.name, &"it was removed"),
        }
    }

    /// Removes the oldest segment if nothing of it is wanted; says so. Others shrink when they are
    /// settled: what they say of their partitions counts as long as an older one speaks of them too.
    fn remove_dead(&self) -> Result<bool, StoreError> {
        let _upkeep = self.upkeep.lock();
        let dead = {
            let manifest = self.manifest.lock();
            let old = manifest.segments[..manifest.old_history()].first();
            let segments = self.segments.read();
            let first = old.zip(segments.first()).filter(|(listed, segment)| {
                listed.closed
                    && segment.live.load(Ordering::Relaxed) == 0
                    && segment.damaged().is_none()
            });
            first.map(|(_, segment)| Arc::clone(segment))
        };
        let Some(dead) = dead.filter(|segment| self.is_past(segment)) else {
            return Ok(false);
        };
        let dead = [dead];
        self.list_instead(&dead, Vec::new())?;
        self.remove_segments(&dead)?;
        Ok(true)
    }

    /// Whether all that a segment speaks of lies below the log starts. One whose batches compaction or
    /// a truncation took still says that these offsets were there: it is joined with others instead.
    fn is_past(&self, segment: &Segment) -> bool {
        let Ok(index) = segment.index(&*self.node.disk) else {
            return false;
        };
        let past = index.parts.iter().all(|(key, part)| {
            let held = self.held(*key);
            held.is_none_or(|held| part.end <= held.lock().start)
        });
        segment.unload();
        past
    }

    /// Lists `new` segments in the place of `old` ones, which follow each other in the stream or are
    /// replaced by nothing. `upkeep` is held.
    pub(super) fn list_instead(
        &self,
        old: &[Arc<Segment>],
        new: Vec<Arc<Segment>>,
    ) -> Result<(), StoreError> {
        let ids: Vec<u64> = old.iter().map(|segment| segment.id).collect();
        let new_ids: Vec<u64> = new.iter().map(|segment| segment.id).collect();
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        let place = next.replace(&ids, &new_ids);
        next.write(&*self.node.disk, &self.root)?;
        *manifest = next;
        for (before, _) in &mut *self.snapshots.lock() {
            if let (true, Some(&id)) = (ids.contains(before), new_ids.first()) {
                *before = id;
            }
        }
        let mut segments = self.segments.write();
        segments.retain(|segment| !ids.contains(&segment.id));
        segments.splice(place..place, new);
        Ok(())
    }

    /// Compares the next closed segment with its seal, if it is time; says whether there are more.
    fn scrub(&self) -> Result<bool, StoreError> {
        let now = self.node.clock.now();
        let segment = {
            let mut at = self.scrubbing.lock();
            if at.is_none() && self.is_scrub_due(now)? {
                *at = Some(0);
            }
            let Some(place) = *at else {
                return Ok(false);
            };
            let segments = self.segments.read();
            let Some(segment) = segments.get(place) else {
                *at = None;
                return Ok(false);
            };
            *at = Some(place + 1);
            Arc::clone(segment)
        };
        self.scrub_segment(&segment)?;
        Ok(true)
    }

    /// Whether the interval has passed since the last comparison began; then another one begins.
    fn is_scrub_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let every = self.node.scrub_ms;
        let mut manifest = self.manifest.lock();
        let since = now.0.saturating_sub(manifest.scrubbed.0);
        let first = manifest.scrubbed.0 <= 0;
        if every <= 0 || !(first || since >= every) {
            return Ok(false);
        }
        let mut next = manifest.clone();
        next.scrubbed = now;
        next.write(&*self.node.disk, &self.root)?;
        *manifest = next;
        // What a fresh directory holds was written a moment ago.
        Ok(!first)
    }

    /// Compares a closed segment with its seal, byte by byte.
    pub(super) fn scrub_segment(&self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        let _upkeep = self.upkeep.lock();
        let disk = &*self.node.disk;
        let Some(seal) = segment.seal().filter(|_| !segment.is_removed()) else {
            return Ok(());
        };
        match disk.verify(&segment.name, &seal, true) {
            Ok(()) => Ok(()),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Broken(reason)) => {
                segment.close_database();
                match segment.index(disk) {
                    Ok(index) => self.examine(segment, &index, &reason),
                    Err(_) => {
                        let missing = (None, Offset(0), Offset(0));
                        self.damage.in_segment(disk, segment, missing, &reason);
                    }
                }
                Ok(())
            }
        }
    }

    /// As `LogStore::close`.
    pub(super) fn close(&self, derived: &dyn Fn() -> Derived) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        writer.active = None;
        self.damage.store(&*self.node.disk, &self.root)?;
        while self.close_oldest(true)? {}
        let file = {
            let mut manifest = self.manifest.lock();
            manifest.next += 1;
            manifest.next - 1
        };
        let snapshot = self.snapshot(derived);
        self.write_snapshot(file, BEHIND_ALL, &snapshot.encode())?;
        self.snapshots.lock().clear();
        self.closed.store(true, Ordering::Release);
        for segment in &*self.segments.read() {
            segment.close_database();
        }
        Ok(())
    }
}
