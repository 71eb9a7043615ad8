//! Reads: whole batches as they are stored, from the tail in memory or from the store.
//!
//! What a reader may see ends at the mark that it names. The log start is looked at again after a
//! read: what retention took away meanwhile is answered as `Trimmed`, never as a gap. A read during
//! which records were cut off the end is done again. Gaps are legal, and `next` leads over them.
//! At the end a fetch is a lock and a compare.

use std::sync::Arc;

use bytes::Bytes;
use wstream_record::{ByteSize, LeaderEpoch, Offset, RecordBatch, Timestamp};

use super::{Core, Marks, Partition, Role, State};
use crate::derived::EpochEnd;
use crate::errors::{ReadError, StoreError};
use crate::store::{Aborted, Stored};

/// How often a read is done again because the end of the log was cut meanwhile.
const READS_MAX: usize = 10;

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upto {
    /// All that is flushed here: a follower.
    LogEnd,
    /// What is committed.
    HighWatermark,
    /// What no open transaction may still undo.
    LastStable,
}

/// What a fetch answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Whole batches, one or several to a part, in order. The first may begin below the offset
    /// asked for.
    pub parts: Vec<Bytes>,
    /// Where to go on.
    pub next: Offset,
    /// The marks at that time.
    pub marks: Marks,
    /// For `Upto::LastStable`: whose records among these do not count.
    pub aborted: Vec<Aborted>,
    /// Where the caller's log parts from this one, if it does. Then there are no parts.
    pub diverging: Option<EpochEnd>,
}

/// What a read starts from.
struct Plan {
    end: Offset,
    marks: Marks,
    cuts: u64,
    diverging: Option<EpochEnd>,
}

impl Fetched {
    /// The batches.
    ///
    /// # Errors
    /// A part does not read.
    pub fn batches(&self) -> Result<Vec<RecordBatch>, ReadError> {
        let mut out = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let mut rest = part.clone();
            loop {
                match RecordBatch::take_first_trusted(&mut rest) {
                    Ok(Some(batch)) => out.push(batch),
                    Ok(None) => break,
                    Err(source) => {
                        let last = out.last().map(|b| b.header().next_offset());
                        let at = last.unwrap_or(self.next);
                        return Err(ReadError::Corrupt { at, source });
                    }
                }
            }
        }
        Ok(out)
    }

    fn nothing(from: Offset, marks: Marks, diverging: Option<EpochEnd>) -> Self {
        Self {
            parts: Vec::new(),
            next: from,
            marks,
            aborted: Vec::new(),
            diverging,
        }
    }
}

impl Partition {
    /// Whole batches below the mark that `upto` names: the one that holds `from`, which may begin
    /// below it, or the first after it, and the following while all fit in `limit`. None at the
    /// end. `epoch` is that of the caller's last record, below `from`: if the caller's log and this
    /// one have parted, the answer says where.
    ///
    /// # Errors
    /// `from` is outside the log, the caller knows a newer leader, or the store failed.
    pub async fn fetch(
        &self,
        from: Offset,
        limit: ByteSize,
        upto: Upto,
        epoch: Option<LeaderEpoch>,
    ) -> Result<Fetched, ReadError> {
        let core = &self.0;
        for _ in 0..READS_MAX {
            let plan = core.plan(from, upto, epoch)?;
            if plan.diverging.is_some() || from >= plan.end {
                return Ok(Fetched::nothing(from, plan.marks, plan.diverging));
            }
            let read = match core.tail.read(from, plan.end, limit) {
                Some(held) => core.with_aborted(from, upto, held).await?,
                None => core.read_store(from, plan.end, limit, upto).await?,
            };
            if let Some(fetched) = core.check_read(from, &plan, read)? {
                return Ok(fetched);
            }
        }
        // The end is cut again and again: there is nothing to be read now.
        let marks = self.marks();
        Ok(Fetched::nothing(from, marks, None))
    }

    /// The first committed record whose time is `at` or later; `None` if all are earlier. Within
    /// a compressed batch its first offset is answered.
    ///
    /// # Errors
    /// The partition is closed or the store failed.
    pub async fn offset_for(
        &self,
        at: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let core = Arc::clone(&self.0);
        let (start, end) = {
            let state = core.state.lock();
            if state.closed {
                return Err(ReadError::Closed);
            }
            (state.log_start, state.high_watermark)
        };
        let pool = self.0.shared.pool.clone();
        let find = move || core.shared.store.offset_for(core.key, start, end, at);
        let found = pool.blocking(find).await.ok_or(ReadError::Closed)??;
        Ok(found.map(|found| (found.offset, found.timestamp)))
    }

    /// Compares the leader epoch that a caller knows with the one known here.
    ///
    /// # Errors
    /// They differ.
    pub fn check_epoch(&self, found: LeaderEpoch) -> Result<(), ReadError> {
        let current = self.0.state.lock().epoch;
        match found.cmp(&current) {
            std::cmp::Ordering::Less => Err(ReadError::FencedLeader { current, found }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(ReadError::UnknownLeader { current, found }),
        }
    }
}

impl Core {
    fn plan(
        &self,
        from: Offset,
        upto: Upto,
        epoch: Option<LeaderEpoch>,
    ) -> Result<Plan, ReadError> {
        let state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        let diverging = match epoch {
            Some(epoch) => state.diverging(epoch, from)?,
            None => None,
        };
        if diverging.is_none() {
            state.check_within(from)?;
        }
        Ok(Plan {
            end: state.end_for(upto),
            marks: state.marks(),
            cuts: state.cuts,
            diverging,
        })
    }

    async fn read_store(
        self: &Arc<Self>,
        from: Offset,
        end: Offset,
        limit: ByteSize,
        upto: Upto,
    ) -> Result<(Stored, Vec<Aborted>), ReadError> {
        let core = Arc::clone(self);
        let read = move || {
            let stored = core.shared.store.read(core.key, from, end, limit)?;
            let aborted = match core.wants_aborted(from, upto) {
                true => core.shared.store.aborted(core.key, from, stored.next)?,
                false => Vec::new(),
            };
            Ok::<_, StoreError>((stored, aborted))
        };
        let read = self.shared.pool.blocking(read).await;
        Ok(read.ok_or(ReadError::Closed)??)
    }

    /// What came from memory, with what of it was aborted: that may have to be read.
    async fn with_aborted(
        self: &Arc<Self>,
        from: Offset,
        upto: Upto,
        stored: Stored,
    ) -> Result<(Stored, Vec<Aborted>), ReadError> {
        if !self.wants_aborted(from, upto) {
            return Ok((stored, Vec::new()));
        }
        let (core, next) = (Arc::clone(self), stored.next);
        let read = move || core.shared.store.aborted(core.key, from, next);
        let aborted = self.shared.pool.blocking(read).await;
        Ok((stored, aborted.ok_or(ReadError::Closed)??))
    }

    /// Whether a reader is to be told of aborted transactions, and there may be any.
    fn wants_aborted(&self, from: Offset, upto: Upto) -> bool {
        upto == Upto::LastStable && self.shared.store.has_aborted(self.key, from)
    }

    /// Whether what was read may be answered; `None` if it is to be read again.
    fn check_read(
        &self,
        from: Offset,
        plan: &Plan,
        (stored, mut aborted): (Stored, Vec<Aborted>),
    ) -> Result<Option<Fetched>, ReadError> {
        let state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        if from < state.log_start {
            let start = state.log_start;
            return Err(ReadError::Trimmed { at: from, start });
        }
        if state.cuts != plan.cuts {
            return Ok(None);
        }
        let next = stored.next.max(from);
        for range in &mut aborted {
            range.first = range.first.max(state.log_start);
        }
        aborted.sort_unstable_by_key(|range| (range.first, range.last));
        Ok(Some(Fetched {
            parts: stored.parts,
            next,
            marks: state.marks(),
            aborted,
            diverging: None,
        }))
    }
}

impl State {
    /// Where what a reader may see ends.
    pub(super) fn end_for(&self, upto: Upto) -> Offset {
        match upto {
            Upto::LogEnd => self.log_end,
            Upto::HighWatermark => self.high_watermark,
            Upto::LastStable => self.last_stable(),
        }
    }

    fn check_within(&self, at: Offset) -> Result<(), ReadError> {
        let (start, end) = (self.log_start, self.log_end);
        if at < start {
            return Err(ReadError::Trimmed { at, start });
        }
        // Between the reader's end and the log end there is nothing for it yet, which is no error:
        // a new leader's high watermark may lie below what its readers know.
        if at > end {
            return Err(ReadError::PastEnd { at, end });
        }
        Ok(())
    }

    /// Where the largest epoch at or below `epoch` ends; `None` if that is not known here.
    pub(super) fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        if let Some(end) = self.derived.epochs.end_of(epoch, self.log_end) {
            return Some(end);
        }
        let latest = self.derived.epochs.latest();
        let leads = self.role == Role::Leader { epoch };
        if latest.is_some_and(|latest| latest > epoch) || epoch > self.epoch {
            return None;
        }
        // The epoch has begun and has no batch here: nobody wrote in it, or nothing reached us.
        let known = if leads { Some(epoch) } else { latest };
        known.map(|epoch| EpochEnd {
            epoch,
            end: self.log_end,
        })
    }

    /// Where a log whose last record below `from` is of `epoch` parts from this one.
    fn diverging(&self, epoch: LeaderEpoch, from: Offset) -> Result<Option<EpochEnd>, ReadError> {
        if epoch > self.epoch {
            return Err(ReadError::UnknownLeader {
                current: self.epoch,
                found: epoch,
            });
        }
        let first = self.derived.epochs.starts().first();
        // All that is known here may be newer: where it begins, the caller's records end.
        let end = self.end_of(epoch).or_else(|| {
            first.map(|first| EpochEnd {
                epoch,
                end: first.start,
            })
        });
        let Some(end) = end else { return Ok(None) };
        Ok((end.epoch < epoch || end.end < from).then_some(end))
    }
}
