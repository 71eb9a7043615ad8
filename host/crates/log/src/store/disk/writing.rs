//! What a stream's one writer does: it stages, flushes and shows, or gives up.
//!
//! A flush may be begun and more be staged before it has come back; that is part of the next one.
//! After a failure of any of it, all that is staged is dropped, of a flush that was begun too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::{ByteSize, Offset};

use super::index::{PartIndex, Place, records_of};
use super::segment::{Segment, counts_file, encode_counts};
use super::stream::{Flushing, Staged, Stream, Writer, apply, largest};
use crate::config::Durability;
use crate::errors::StoreError;
use crate::sled::{Database, Done, Fault};
use crate::store::{Derived, Entry, PartitionKey};

impl Stream {
    /// Stages entries behind those that are staged already.
    pub(super) fn write(
        &self,
        entries: &[(PartitionKey, Entry)],
        derived: &dyn Fn() -> Derived,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        let bytes: usize = entries.iter().map(|(_, entry)| entry.byte_len()).sum();
        // What raises starts and deletes topics makes room: the space that is kept free is for it.
        let admitted = match bytes {
            0 => Ok(()),
            _ => self.node.space.admit(ByteSize(bytes as u64)),
        };
        let before = writer.flushing.as_ref().map_or(0, |f| f.staged);
        let is_first = writer.staged.len() == before;
        if let Err(full) = admitted {
            if is_first {
                return Err(full);
            }
            // What was staged before goes with it, or the next flush would show it.
            return Err(self.fail(&mut writer, Fault::Failed(full)));
        }
        if writer.staged.is_empty() && writer.flushing.is_none() {
            self.roll_if_due(&mut writer, derived)?;
        }
        if is_first {
            writer.appended = self.node.clock.now();
        }
        let active = match &writer.active {
            Some(active) => Arc::clone(active),
            None => self.begin(&mut writer, derived)?,
        };
        let staged = active.with_open(|database| self.stage(&mut writer, database, entries));
        let staged = staged.unwrap_or_else(|| Err(closed(&active)));
        staged.map_err(|fault| self.fail(&mut writer, fault))
    }

    fn stage(
        &self,
        writer: &mut Writer,
        database: &dyn Database,
        entries: &[(PartitionKey, Entry)],
    ) -> Result<(), Fault> {
        let mut into = database;
        let appended = writer.appended;
        for (key, entry) in entries {
            let end = match writer.ends.get(key) {
                Some(&end) => end,
                None => self.held(*key).map_or(Offset(0), |held| held.lock().end),
            };
            let (staged, end) = match entry {
                Entry::Batch(batch) => {
                    let header = batch.header();
                    if header.base_offset > end {
                        let to = header.base_offset;
                        writer.packer.skip(*key, to, appended, &mut into)?;
                    }
                    let packer = &mut writer.packer;
                    let went = packer.batches(*key, batch.bytes(), appended, &mut into)?;
                    writer.bytes += batch.bytes().len() as u64;
                    let place = Place {
                        first: header.base_offset,
                        next: header.next_offset(),
                        largest: largest(batch),
                        value: went.value,
                        at: went.at,
                        bytes: u32::try_from(batch.bytes().len()).unwrap_or(u32::MAX),
                        records: records_of(header),
                    };
                    (Staged::Batch(place), place.next)
                }
                other => {
                    writer.packer.control(*key, other, appended, &mut into)?;
                    (Staged::Entry(other.clone()), other.end_after(end))
                }
            };
            writer.ends.insert(*key, end);
            writer.staged.push((*key, staged));
        }
        Ok(())
    }

    /// As `LogStore::begin_flush`.
    pub(super) fn begin_flush(&self, done: &Done) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        if writer.staged.is_empty() || writer.flushing.is_some() {
            return Ok(false);
        }
        let Some(active) = writer.active.clone() else {
            return Ok(false);
        };
        self.begin_to_flush(&mut writer, &active, Some(Arc::clone(done)))?;
        // A segment rolls between two flushes.
        Ok(!self.is_due(&writer, &active))
    }

    fn begin_to_flush(
        &self,
        writer: &mut Writer,
        active: &Segment,
        done: Option<Done>,
    ) -> Result<(), StoreError> {
        let appended = writer.appended;
        let begun = active.with_open(|database| {
            writer.packer.finish(appended, &mut { database })?;
            let values = database.values();
            database.begin_flush(done)?;
            Ok(values)
        });
        match begun.unwrap_or_else(|| Err(closed(active))) {
            Ok(values) => {
                let staged = writer.staged.len();
                writer.flushing = Some(Flushing {
                    staged,
                    values,
                    appended,
                });
                Ok(())
            }
            Err(fault) => Err(self.fail(writer, fault)),
        }
    }

    /// Makes durable what is staged, or the part of it whose flush was begun, and shows it.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        if let Some(lost) = writer.lost.take() {
            return Err(lost);
        }
        let Some(active) = writer.active.clone() else {
            return Ok(());
        };
        if writer.staged.is_empty() {
            return Ok(());
        }
        if writer.flushing.is_none() {
            self.begin_to_flush(&mut writer, &active, None)?;
        }
        let durability = self.node.durability;
        let flushed = active.with_open(|database| {
            database.finish_flush()?;
            if durability == Durability::Disk {
                database.sync().map_err(|fault| self.sync_failed(fault))?;
            }
            Ok(())
        });
        let begun = writer.flushing.take();
        match flushed.unwrap_or_else(|| Err(closed(&active))) {
            Ok(()) => {
                writer.showing = true;
                if let Some(flushing) = begun {
                    self.show(&mut writer, &active, &flushing);
                }
                writer.showing = false;
                Ok(())
            }
            Err(fault) => Err(self.fail(&mut writer, fault)),
        }
    }

    /// As `LogStore::abandon`.
    pub(super) fn abandon(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let path = self.node.disk.path(&self.root);
        if writer.showing {
            let reason = "what was flushed is shown in part";
            return Err(StoreError::failed("give up a group", path, &reason));
        }
        // Also with nothing staged: a panic may have come before it was noted.
        if writer.active.is_some() {
            let error = StoreError::failed("write", path, &"it was given up");
            self.fail(&mut writer, Fault::Failed(error));
        }
        // Nobody asks for it any more.
        writer.lost = None;
        Ok(())
    }

    pub(super) fn sync_failed(&self, fault: Fault) -> Fault {
        let reason = match &fault {
            Fault::Failed(error) => error.to_string(),
            Fault::Broken(reason) => reason.clone(),
        };
        tracing::error!(
            stream = self.root,
            reason,
            "the device does not take a sync"
        );
        *self.trouble.lock() = Some(format!("a sync failed: {reason}"));
        fault
    }

    /// What was staged is what readers see from now on.
    fn show(&self, writer: &mut Writer, active: &Arc<Segment>, flushing: &Flushing) {
        let &Flushing {
            staged,
            values,
            appended,
        } = flushing;
        writer.flushed = values;
        let mut shown = 0;
        let mut gone = Vec::new();
        let mut cut = Vec::new();
        active.grow(|index| {
            index.values = values;
            for (key, staged) in writer.staged.drain(..staged) {
                let held = self.held_or_new(key);
                let mut held = held.lock();
                let part = index.parts.entry(key);
                let part = part.or_insert_with(|| PartIndex::new(held.end));
                match staged {
                    Staged::Batch(place) => {
                        index.runs = index.runs.saturating_add(1);
                        shown += u64::from(place.bytes);
                        held.push(active, &place, appended);
                        part.push(place, appended);
                    }
                    Staged::Entry(entry) => {
                        apply(&entry, part, &mut held);
                        gone.extend(part.gone.then_some(key));
                        cut.extend(matches!(entry, Entry::End(_)).then_some(key));
                        if held.starts_within() {
                            self.started.lock().insert(key);
                        }
                    }
                }
            }
        });
        active.bytes.fetch_add(shown, Ordering::Relaxed);
        active.live.fetch_add(shown, Ordering::Relaxed);
        if writer.staged.is_empty() {
            writer.ends.clear();
        }
        for key in cut {
            self.recount(key);
        }
        if !gone.is_empty() {
            let mut manifest = self.manifest.lock();
            gone.iter().for_each(|key| manifest.passed.forget(*key));
            drop(manifest);
            let mut partitions = self.partitions.write();
            for key in gone {
                partitions.remove(&key);
            }
        }
    }

    /// Drops what is staged, and gives the segment up where it was flushed last.
    fn fail(&self, writer: &mut Writer, fault: Fault) -> StoreError {
        let error = match fault {
            Fault::Failed(error) => error,
            Fault::Broken(reason) => StoreError::damaged(self.node.disk.path(&self.root), &reason),
        };
        tracing::error!(stream = self.root, %error, "a group of appends failed");
        writer.packer.clear();
        writer.staged.clear();
        writer.ends.clear();
        if writer.flushing.take().is_some() {
            // What it says does not matter: it counts no more.
            let active = writer.active.as_ref();
            active.and_then(|active| active.with_open(|database| database.finish_flush().ok()));
            writer.lost = Some(error.clone());
        }
        if let Some(active) = writer.active.take() {
            let mut manifest = self.manifest.lock();
            if let Some(listed) = manifest.find(active.id) {
                listed.values = Some(writer.flushed);
            }
            let disk = &*self.node.disk;
            let noted = disk.write(&counts_file(&active.name), &encode_counts(writer.flushed));
            if let Err(error) = manifest.write(disk, &self.root).and(noted) {
                tracing::error!(stream = self.root, %error, "could not note where a segment ends");
                let reason = format!("the list of segments is not written: {error}");
                self.trouble.lock().get_or_insert(reason);
            }
        }
        error
    }
}

fn closed(segment: &Segment) -> Fault {
    Fault::Failed(StoreError::failed(
        "write",
        &segment.name,
        &"its database was closed",
    ))
}
