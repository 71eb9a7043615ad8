//! One stream in memory: what was written and not flushed, and the journal since it last rolled.
//!
//! The journal holds entries without their records, as a replay shows them.

use std::collections::HashMap;

use wstream_record::{BatchHeader, Offset, RecordBatch, Timestamp};

use super::PLACE;
use crate::errors::StoreError;
use crate::store::{Derived, Entry, PartitionKey, ReplayEntry};

/// What one stream has taken since it last rolled.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Written, not flushed.
    staged: Vec<(PartitionKey, Entry)>,
    /// How much of it the flush covers that was begun.
    pub(super) flushing: Option<usize>,
    /// That was given up with what was written behind it.
    pub(super) lost: bool,
    /// Where the partitions end once that is flushed, of those that it concerns.
    staged_ends: HashMap<PartitionKey, Offset>,
    /// A flush shows what was staged; left so by a panic.
    pub(super) showing: bool,
    /// As of the last roll.
    pub(super) derived: Option<Derived>,
    /// What was flushed since the last roll.
    pub(super) journal: Vec<(PartitionKey, Noted)>,
    /// When the first of it was flushed.
    pub(super) begun: Option<Timestamp>,
    pub(super) roll: bool,
    /// Counts the rolls.
    pub(super) generation: u64,
}

/// What `Replay` is shown of an entry.
#[derive(Debug)]
pub(super) enum Noted {
    Batch(BatchHeader, Option<RecordBatch>),
    Start(Offset),
    End(Offset),
    Reset,
}

impl Stream {
    pub(super) fn stage(
        &mut self,
        key: PartitionKey,
        entry: &Entry,
        flushed_end: impl Fn() -> Offset,
    ) -> Result<(), StoreError> {
        let end = self
            .staged_ends
            .get(&key)
            .copied()
            .unwrap_or_else(flushed_end);
        let end_after = match entry {
            Entry::Batch(batch) if batch.header().base_offset < end => {
                let base = batch.header().base_offset;
                let reason = format!("a batch at offset {base} is below the end {end}");
                return Err(StoreError::failed("writing", PLACE, &reason));
            }
            Entry::Batch(batch) => batch.header().next_offset(),
            Entry::End(at) | Entry::Reset(at) => *at,
            Entry::Start(start) => end.max(*start),
            Entry::HighWatermark(_) => end,
            Entry::Gone => Offset(0),
        };
        self.staged_ends.insert(key, end_after);
        self.staged.push((key, entry.clone()));
        Ok(())
    }

    /// What was written, which is flushed now.
    pub(super) fn take_staged(&mut self) -> Vec<(PartitionKey, Entry)> {
        let count = self.flushing.take().unwrap_or(self.staged.len());
        let later = self.staged.split_off(count);
        if later.is_empty() {
            self.staged_ends.clear();
        }
        std::mem::replace(&mut self.staged, later)
    }

    /// `false`: there is nothing to flush.
    pub(super) fn begin_flush(&mut self) -> bool {
        if self.staged.is_empty() || self.flushing.is_some() {
            return false;
        }
        self.flushing = Some(self.staged.len());
        true
    }

    /// Forgets what was not flushed.
    pub(super) fn discard(&mut self) {
        self.staged.clear();
        self.staged_ends.clear();
        self.lost = self.flushing.take().is_some();
    }

    pub(super) fn rolled(&mut self, derived: Derived) {
        self.derived = Some(derived);
        self.journal.clear();
        self.begun = None;
        self.roll = false;
        self.generation += 1;
    }

    pub(super) fn note(&mut self, key: PartitionKey, entry: &Entry, at: Timestamp) {
        self.begun.get_or_insert(at);
        let noted = match entry {
            Entry::Batch(batch) => Noted::of_batch(batch),
            Entry::Start(start) => Noted::Start(*start),
            Entry::End(end) => Noted::End(*end),
            Entry::Reset(_) => Noted::Reset,
            Entry::HighWatermark(_) => return,
            Entry::Gone => {
                self.journal.retain(|(of, _)| *of != key);
                if let Some(derived) = &mut self.derived {
                    derived.retain(|(of, _)| *of != key);
                }
                return;
            }
        };
        self.journal.push((key, noted));
    }
}

impl Noted {
    pub(super) fn of_batch(batch: &RecordBatch) -> Self {
        let header = *batch.header();
        Self::Batch(header, header.is_control().then(|| batch.clone()))
    }

    pub(super) fn shown(&self) -> ReplayEntry<'_> {
        match self {
            Self::Batch(header, control) => ReplayEntry::Batch {
                header,
                control: control.as_ref(),
            },
            Self::Start(start) => ReplayEntry::Start(*start),
            Self::End(end) => ReplayEntry::End(*end),
            Self::Reset => ReplayEntry::Reset,
        }
    }
}
