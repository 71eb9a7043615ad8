//! Group commit: where an append is acknowledged.
//!
//! One thread at a time runs `commit_queued` for a partition. While it flushes, later submits
//! queue; the next run takes them all, up to a bound, and flushes once for all of them.
//! The reply in `Core::acknowledge` is the acknowledgement: the store has returned from its
//! flush by then, and readers see the records.
//! After a failed write the store is asked what it holds before anything else is written, and
//! the log end is what it says.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wstream_record::{Offset, RecordBatch};

use super::producers::{Producers, Verdict};
use super::{Appended, Core};
use crate::errors::{AppendError, DeleteError, RewriteError, StoreError};
use crate::store::Recovered;
use crate::summary::Summary;

/// Bytes that one flush takes along, unless one batch is larger.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Batches that wait to be written. Their permits bound their bytes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Submission>,
    /// Whether a writer will come, or is at work.
    scheduled: bool,
    closed: bool,
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Submission {
    batch: RecordBatch,
    reply: Reply,
}

#[derive(Debug)]
struct Reply {
    to: oneshot::Sender<Result<Appended, AppendError>>,
    room: OwnedSemaphorePermit,
}

/// Whoever holds it may write.
#[derive(Debug, Default)]
pub(super) struct Committer {
    /// A write failed, and the store has not said yet what it holds.
    unsure: bool,
}

/// A group that has its offsets.
#[derive(Debug, Default)]
struct Group {
    batches: Vec<RecordBatch>,
    replies: Vec<(Reply, Result<Appended, AppendError>)>,
}

impl Submission {
    pub(super) fn new(
        batch: RecordBatch,
        to: oneshot::Sender<Result<Appended, AppendError>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let reply = Reply { to, room };
        Self { batch, reply }
    }
}

impl Queue {
    fn take(&mut self) -> Vec<Submission> {
        let mut bytes = 0;
        let mut count = 0;
        for submission in &self.waiting {
            bytes += submission.batch.bytes().len();
            if bytes > GROUP_BYTES_MAX && count > 0 {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }
}

impl Reply {
    fn send(self, said: Result<Appended, AppendError>) {
        drop(self.room);
        // A caller that dropped its ticket does not want to know.
        drop(self.to.send(said));
    }
}

impl Core {
    pub(super) fn enqueue(self: &Arc<Self>, submission: Submission) -> Result<(), AppendError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(AppendError::Closed);
        }
        queue.waiting.push_back(submission);
        let schedule = !queue.scheduled;
        queue.scheduled = true;
        drop(queue);
        if schedule {
            self.shared.writers.schedule(Arc::clone(self));
        }
        Ok(())
    }

    /// Commits one group; says whether more has been queued meanwhile. Blocks.
    pub(crate) fn commit_queued(&self) -> bool {
        let mut committer = self.commit.lock();
        let group = self.queue.lock().take();
        if !group.is_empty() {
            // A panic of the store costs this group's replies, which say `Closed` when dropped,
            // and the next group begins with a look at what the store holds.
            let done = catch_unwind(AssertUnwindSafe(|| {
                self.commit_group(&mut committer, group);
            }));
            if done.is_err() {
                committer.unsure = true;
                tracing::error!(partition = %self.name, "the log's store panicked while writing");
            }
        }
        drop(committer);
        let mut queue = self.queue.lock();
        queue.scheduled = !queue.waiting.is_empty();
        queue.scheduled
    }

    fn commit_group(&self, committer: &mut Committer, submissions: Vec<Submission>) {
        if let Err(error) = self.make_sure(committer) {
            let error = AppendError::from(error);
            for submission in submissions {
                submission.reply.send(Err(error.clone()));
            }
            return;
        }
        let (before, end) = {
            let state = self.state.lock();
            (Arc::clone(&state.summary), state.log_end)
        };
        let group = Group::judge(submissions, &before, end);
        let written = self.write(committer, &group.batches, before);
        Self::acknowledge(group.replies, end, written);
    }

    /// Writes and flushes batches that follow the log's end, and publishes them to readers.
    fn write(
        &self,
        committer: &mut Committer,
        batches: &[RecordBatch],
        before: Arc<Summary>,
    ) -> Result<(), AppendError> {
        if batches.is_empty() {
            return Ok(());
        }
        let written = self.store.append(batches, &before);
        // The last other holder of the summary, so that `publish` changes it in place.
        drop(before);
        match written {
            Ok(()) => {
                self.publish(batches);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "append failed");
                committer.unsure = !matches!(error, StoreError::DiskFull { .. });
                if let Err(error) = self.make_sure(committer) {
                    tracing::error!(partition = %self.name, %error, "the log does not reopen");
                }
                Err(error.into())
            }
        }
    }

    /// Replies to a group. This is the acknowledgement: what it says `Ok` to was flushed.
    fn acknowledge(
        replies: Vec<(Reply, Result<Appended, AppendError>)>,
        end_before: Offset,
        written: Result<(), AppendError>,
    ) {
        for (reply, judged) in replies {
            let said = judged.and_then(|appended| match &written {
                // A duplicate of what was stored earlier does not depend on this write.
                Err(error) if appended.next_offset > end_before => Err(error.clone()),
                _ => Ok(appended),
            });
            reply.send(said);
        }
    }

    fn publish(&self, batches: &[RecordBatch]) {
        // Before the high watermark moves: a reader below it must find them.
        self.tail.extend(batches);
        let mut state = self.state.lock();
        let summary = Arc::make_mut(&mut state.summary);
        let mut records = 0;
        let mut bytes = 0;
        for batch in batches {
            summary.note(batch.header());
            records += u64::from(batch.header().records.unsigned_abs());
            bytes += batch.bytes().len() as u64;
        }
        state.appended_records += records;
        state.appended_bytes += bytes;
        let end = batches.last().map(|b| b.header().next_offset());
        state.log_end = end.unwrap_or(state.log_end);
        let end = state.log_end;
        drop(state);
        self.high_watermark.send_replace(end);
    }

    /// After a failed write: takes over what the store says it holds.
    fn make_sure(&self, committer: &mut Committer) -> Result<(), StoreError> {
        if !committer.unsure {
            return Ok(());
        }
        let Recovered {
            start,
            end,
            summary,
        } = self.store.recover()?;
        self.tail.clear();
        let mut state = self.state.lock();
        state.log_start = state.log_start.max(start);
        state.log_end = end;
        state.summary = Arc::new(summary);
        drop(state);
        self.high_watermark.send_replace(end);
        committer.unsure = false;
        tracing::warn!(partition = %self.name, %end, "reopened the log after a failed write");
        Ok(())
    }

    pub(super) fn delete_before(&self, offset: Offset) -> Result<Offset, DeleteError> {
        let mut committer = self.commit.lock();
        self.make_sure(&mut committer)?;
        self.raise_start(offset)
    }

    fn raise_start(&self, offset: Offset) -> Result<Offset, DeleteError> {
        let (start, end) = {
            let state = self.state.lock();
            if state.closed {
                return Err(DeleteError::Closed);
            }
            (state.log_start, state.log_end)
        };
        if offset > end {
            return Err(DeleteError::PastEnd { at: offset, end });
        }
        if offset > start {
            // Readers first, so that none is sent to what is being removed.
            self.state.lock().log_start = offset;
            self.store.set_start(offset)?;
        }
        Ok(start.max(offset))
    }

    pub(super) fn rewrite(
        &self,
        live: Vec<RecordBatch>,
        as_of: Offset,
    ) -> Result<(), RewriteError> {
        let mut committer = self.commit.lock();
        self.make_sure(&mut committer).map_err(AppendError::from)?;
        let (summary, epoch, end) = {
            let state = self.state.lock();
            let summary = Arc::clone(&state.summary);
            let epoch = summary.leader_epoch();
            (summary, epoch, state.log_end)
        };
        if end != as_of {
            return Err(RewriteError::Moved { as_of, end });
        }
        let rolled = self.store.roll(&summary);
        drop(summary);
        if let Err(error) = rolled {
            committer.unsure = true;
            return Err(AppendError::from(error).into());
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = end;
        for batch in live {
            let batch = batch.at(next, epoch);
            next = batch.header().next_offset();
            bytes += batch.bytes().len();
            group.push(batch);
            if bytes > GROUP_BYTES_MAX {
                self.write_group(&mut committer, &mut group)?;
                bytes = 0;
            }
        }
        self.write_group(&mut committer, &mut group)?;
        self.raise_start(as_of)?;
        Ok(())
    }

    fn write_group(
        &self,
        committer: &mut Committer,
        group: &mut Vec<RecordBatch>,
    ) -> Result<(), AppendError> {
        let before = Arc::clone(&self.state.lock().summary);
        self.write(committer, group, before)?;
        group.clear();
        Ok(())
    }

    pub(super) fn maintain(&self) -> Result<(), StoreError> {
        let mut committer = self.commit.lock();
        self.make_sure(&mut committer)?;
        let summary = {
            let state = self.state.lock();
            if state.closed {
                return Ok(());
            }
            Arc::clone(&state.summary)
        };
        let raised = self.store.maintain(self.shared.clock.now(), &summary)?;
        if let Some(start) = raised {
            let mut state = self.state.lock();
            state.log_start = state.log_start.max(start);
            tracing::debug!(partition = %self.name, %start, "retention raised the log start");
        }
        Ok(())
    }

    pub(super) fn shut(&self, discard: bool) {
        self.room.close();
        let mut queue = self.queue.lock();
        queue.closed = true;
        if discard {
            for submission in queue.waiting.drain(..) {
                submission.reply.send(Err(AppendError::Closed));
            }
        }
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        let committer = self.commit.lock();
        let summary = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.closed, true) {
                return Ok(());
            }
            Arc::clone(&state.summary)
        };
        self.tail.clear();
        let closed = self.store.close(&summary);
        drop(committer);
        closed
    }
}

impl Group {
    /// Decides what is new, and gives the new batches their offsets from `end` on.
    fn judge(submissions: Vec<Submission>, before: &Summary, mut end: Offset) -> Self {
        let epoch = before.leader_epoch();
        let mut beside = Producers::default();
        let mut group = Self::default();
        for Submission { batch, reply } in submissions {
            let judged = match before.producers.judge(&beside, batch.header()) {
                Err(refused) => Err(refused),
                Ok(Verdict::Duplicate { base, next }) => Ok(Appended {
                    base_offset: base,
                    next_offset: next,
                    duplicate: true,
                }),
                Ok(Verdict::New) => {
                    let batch = batch.at(end, epoch);
                    let header = *batch.header();
                    before.producers.note_beside(&mut beside, &header);
                    end = header.next_offset();
                    group.batches.push(batch);
                    Ok(Appended {
                        base_offset: header.base_offset,
                        next_offset: header.next_offset(),
                        duplicate: false,
                    })
                }
            };
            group.replies.push((reply, judged));
        }
        group
    }
}
