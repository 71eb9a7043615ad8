//! One group of a stream, from the queue to the replies: judged in the order in which it came,
//! written, published partition by partition, answered.
//!
//! A group may be judged and written while the one before it is being flushed: it takes for granted
//! that that one succeeds, and fails with it.
//! What the writer knows of a partition while the group is on its way (where it will end, which
//! batches of its producers lie before) is in a `Part`; parts are used again for later groups, so
//! that a group allocates little. What cuts a partition's log goes alone: nothing else of that
//! partition is in its group, so that boundaries are looked up in what is flushed.

mod part;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wstream_record::{Offset, RecordBatch, Timestamp};

use self::part::{Answer, Cut, Part};
use super::Core;
use super::queue::{Item, Operation};
use super::ticket::Appended;
use crate::derived::Verdict;
use crate::errors::{AppendError, DeleteError, StoreError};
use crate::store::{Entry, LogStore, PartitionKey};

/// Parts kept for later groups.
const PARTS_KEPT_MAX: usize = 1_024;

/// A group of a stream. Whoever holds it may write.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// 0 or 1, other than that of the group before.
    side: usize,
    /// Taken from the queue, not judged yet.
    pub(super) items: VecDeque<Item>,
    /// The partitions of this group, in the order in which they came.
    cores: Vec<Arc<Core>>,
    /// One for each of `cores`, and more that are not in use.
    parts: Vec<Part>,
    entries: Vec<(PartitionKey, Entry)>,
    /// Whose the entries are, by the place in `cores`.
    owners: Vec<usize>,
    /// How many of the entries the store has taken.
    written: usize,
    taken_bytes: usize,
    /// Nothing more is to come into it.
    pub(super) ended: bool,
    /// The store counts it; partitions may not yet.
    pub(super) flushed: bool,
}

impl Writer {
    /// Two that follow each other.
    pub(super) fn pair() -> [Self; 2] {
        let second = Self {
            side: 1,
            ..Self::default()
        };
        [Self::default(), second]
    }

    /// Judges the items, behind a group that is not published yet. `true`: the group ends before the
    /// first of the items that are left.
    pub(super) fn judge(
        &mut self,
        store: &dyn LogStore,
        now: Timestamp,
        before: Option<&Self>,
    ) -> bool {
        while let Some(item) = self.items.pop_front() {
            let at = match self.place_of(&item, before) {
                Some(at) => at,
                None => {
                    self.items.push_front(item);
                    return true;
                }
            };
            let Item { held, operation } = item;
            match operation {
                Operation::Append { batch, reply } => {
                    self.taken_bytes += batch.bytes().len();
                    let said = self.append(at, batch, now);
                    self.parts[at].answers.push(Answer::Append {
                        reply,
                        said,
                        committed: None,
                        held,
                    });
                }
                Operation::Replicate { batches, reply } => {
                    let said = self.replicate(at, batches);
                    self.parts[at]
                        .answers
                        .push(Answer::Offset { reply, said, held });
                }
                Operation::Truncate { end, reply } => {
                    let said = self.truncate(at, end, store);
                    self.parts[at]
                        .answers
                        .push(Answer::Offset { reply, said, held });
                }
                Operation::Reset { start, reply } => {
                    let said = self.reset(at, start);
                    self.parts[at]
                        .answers
                        .push(Answer::Offset { reply, said, held });
                }
                Operation::Start { to, reply } => {
                    let said = self.raise_start(at, to);
                    self.parts[at]
                        .answers
                        .push(Answer::Start { reply, said, held });
                }
            }
        }
        false
    }

    /// The place of an item's partition in the group; `None` if the item must wait for the next.
    fn place_of(&mut self, item: &Item, before: Option<&Self>) -> Option<usize> {
        let core = item.held.core();
        let cuts = matches!(
            item.operation,
            Operation::Truncate { .. } | Operation::Reset { .. }
        );
        if let Some(at) = self.find(core) {
            return (!cuts && self.parts[at].cut.is_none()).then_some(at);
        }
        let before = before.and_then(|before| Some(&before.parts[before.find(core)?]));
        if before.is_some_and(|part| cuts || part.cut.is_some()) {
            return None;
        }
        let at = self.cores.len();
        if at == self.parts.len() {
            self.parts.push(Part::default());
        }
        let part = &mut self.parts[at];
        if let Some(before) = before {
            part.follow(before);
            self.take_place(at, core);
            return Some(at);
        }
        let state = core.state.lock();
        part.start = state.log_start;
        part.end = state.log_end;
        let noted = state.high_watermark_noted;
        let note = !state.commits_alone() && state.high_watermark > noted && !state.closed;
        part.high_watermark = (note && !cuts).then_some(state.high_watermark);
        drop(state);
        self.take_place(at, core);
        if let Some(high_watermark) = self.parts[at].high_watermark {
            self.push_entry(at, Entry::HighWatermark(high_watermark));
        }
        Some(at)
    }

    /// The place of a partition that is in the group.
    fn find(&self, core: &Arc<Core>) -> Option<usize> {
        let at = core.slots[self.side].load(Ordering::Relaxed);
        let is_its = self.cores.get(at).is_some_and(|c| Arc::ptr_eq(c, core));
        is_its.then_some(at)
    }

    fn take_place(&mut self, at: usize, core: &Arc<Core>) {
        core.slots[self.side].store(at, Ordering::Relaxed);
        self.cores.push(Arc::clone(core));
    }

    fn push_entry(&mut self, at: usize, entry: Entry) {
        self.entries.push((self.cores[at].key, entry));
        self.owners.push(at);
    }

    fn push_batch(&mut self, at: usize, batch: RecordBatch) {
        let header = *batch.header();
        let part = &mut self.parts[at];
        part.end = header.next_offset();
        part.headers.push(header);
        self.push_entry(at, Entry::Batch(batch));
    }

    /// A producer's batch: decides whether it is new, and gives it its offset.
    fn append(
        &mut self,
        at: usize,
        batch: RecordBatch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let (core, part) = (&self.cores[at], &mut self.parts[at]);
        let header = *batch.header();
        let mut state = core.state.lock();
        let epoch = state.check_leads()?;
        if header.is_control() {
            part.judge_marker(&state, &batch)?;
        } else if let Verdict::Duplicate { base, next } = part.judge(&state, &header)? {
            return Ok(Appended {
                base_offset: base,
                next_offset: next,
                duplicate: true,
            });
        }
        let warn = core.comes_expired(&mut state, &header, now);
        drop(state);
        if warn {
            tracing::warn!(
                partition = %core.name, timestamp = %header.max_timestamp,
                "records come in that retention removes at once: it goes by their own time"
            );
        }
        let batch = if header.max_timestamp == Timestamp::NONE {
            batch.with_append_time(now)
        } else {
            batch
        };
        let batch = batch.at(part.end, epoch);
        let said = Appended {
            base_offset: batch.header().base_offset,
            next_offset: batch.header().next_offset(),
            duplicate: false,
        };
        self.push_batch(at, batch);
        Ok(said)
    }

    /// The leader's batches: all of them or none.
    fn replicate(&mut self, at: usize, batches: Vec<RecordBatch>) -> Result<Offset, AppendError> {
        let part = &self.parts[at];
        let state = self.cores[at].state.lock();
        let current = state.check_follows()?;
        let last = part.headers.last().map(|h| h.leader_epoch);
        let mut epoch = last.or_else(|| state.derived.epochs.latest());
        drop(state);
        let mut end = part.end;
        for batch in &batches {
            let header = batch.header();
            let found = header.leader_epoch;
            if header.base_offset < end {
                return Err(AppendError::Malformed("it begins below the log end"));
            }
            if epoch.is_some_and(|epoch| found < epoch) {
                return Err(AppendError::Malformed(
                    "its leader epoch is below the last one",
                ));
            }
            if found > current {
                return Err(AppendError::FencedLeader { current, found });
            }
            end = header.next_offset();
            epoch = Some(found);
        }
        for batch in batches {
            self.taken_bytes += batch.bytes().len();
            self.push_batch(at, batch);
        }
        Ok(end)
    }

    fn truncate(
        &mut self,
        at: usize,
        end: Offset,
        store: &dyn LogStore,
    ) -> Result<Offset, AppendError> {
        self.cores[at].state.lock().check_follows()?;
        let part = &self.parts[at];
        if end >= part.end {
            return Ok(part.end);
        }
        let boundary = if end < part.start {
            end.max(Offset(0))
        } else {
            store.boundary(self.cores[at].key, end)?
        };
        if boundary < part.start {
            return Ok(self.cut(at, Cut::Anew(boundary)));
        }
        Ok(self.cut(at, Cut::To(boundary)))
    }

    fn reset(&mut self, at: usize, start: Offset) -> Result<Offset, AppendError> {
        self.cores[at].state.lock().check_follows()?;
        if start < Offset(0) {
            return Err(AppendError::Malformed(
                "a log does not begin below offset 0",
            ));
        }
        Ok(self.cut(at, Cut::Anew(start)))
    }

    fn cut(&mut self, at: usize, cut: Cut) -> Offset {
        self.parts[at].cut = Some(cut);
        let (end, entry) = match cut {
            Cut::To(end) => (end, Entry::End(end)),
            Cut::Anew(start) => (start, Entry::Reset(start)),
        };
        self.push_entry(at, entry);
        end
    }

    fn raise_start(&mut self, at: usize, to: Offset) -> Result<Offset, DeleteError> {
        let state = self.cores[at].state.lock();
        if state.closed {
            return Err(AppendError::Closed.into());
        }
        let end = state.high_watermark;
        drop(state);
        if to > end {
            return Err(DeleteError::PastEnd { at: to, end });
        }
        let part = &mut self.parts[at];
        if to > part.start {
            part.start = to;
            self.push_entry(at, Entry::Start(to));
        }
        Ok(self.parts[at].start)
    }

    /// Nothing was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.cores.is_empty() && self.items.is_empty()
    }

    pub(super) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn unwritten(&self) -> &[(PartitionKey, Entry)] {
        self.entries.get(self.written..).unwrap_or_default()
    }

    pub(super) fn mark_written(&mut self) {
        self.written = self.entries.len();
    }

    pub(super) fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    /// Publishes a group that was flushed and replies. Answers the bytes of its batches.
    pub(super) fn publish(&mut self, store: &dyn LogStore, now: Timestamp) -> u64 {
        let mut bytes = 0;
        for ((_, entry), at) in self.entries.drain(..).zip(self.owners.drain(..)) {
            if let Entry::Batch(batch) = entry {
                bytes += batch.bytes().len() as u64;
                self.parts[at].batches.push(batch);
            }
        }
        for (core, part) in self.cores.drain(..).zip(&mut self.parts) {
            let enough = part.publish(&core, now);
            if !enough {
                let rebuilt = core.derive_anew(store, now);
                part.refuse_after(rebuilt.err());
            }
            part.answer();
        }
        self.rest();
        bytes
    }

    /// Refuses a group that was not flushed.
    pub(super) fn fail(&mut self, error: &AppendError) {
        self.refuse_items(error);
        self.entries.clear();
        self.owners.clear();
        for (core, part) in self.cores.drain(..).zip(&mut self.parts) {
            part.fail(&core, error);
            part.answer();
        }
        self.rest();
    }

    /// Refuses what was taken and not looked at.
    pub(super) fn refuse_items(&mut self, error: &AppendError) {
        for item in self.items.drain(..) {
            item.operation.refuse(error.clone());
        }
    }

    /// After a panic: nobody knows what became of the group.
    pub(super) fn abandon(&mut self) {
        let what = StoreError::failed("write a group", "the log", &"it panicked");
        let error = AppendError::from(what);
        self.refuse_items(&error);
        for part in &mut self.parts {
            part.refuse(&error);
            part.answer();
        }
        self.cores.clear();
        self.parts.clear();
        self.entries.clear();
        self.owners.clear();
        self.rest();
    }

    /// Ready for the next group.
    fn rest(&mut self) {
        self.written = 0;
        self.taken_bytes = 0;
        self.ended = false;
        self.flushed = false;
        self.parts.truncate(PARTS_KEPT_MAX);
    }
}
