//! Group commit: where an append is acknowledged.
//!
//! One thread at a time runs `commit_queued` for a partition. It writes all that is queued and
//! what comes in meanwhile, up to a bound, and flushes once for all of them. While it flushes,
//! later submits queue for the next run.
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
use crate::store::{Before, Recovered};
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

/// What is flushed together.
#[derive(Debug)]
struct Group {
    /// Derived from all that was stored before.
    before: Arc<Summary>,
    /// The producers of this group's batches.
    beside: Producers,
    /// The offset of the next record.
    end: Offset,
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// How many of the batches the store has taken.
    written: usize,
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
    /// Takes what fits in `bytes_max`; the first one in any case if nothing was taken before.
    fn take(&mut self, bytes_max: usize) -> Vec<Submission> {
        let mut bytes = 0;
        let mut count = 0;
        for submission in &self.waiting {
            bytes += submission.batch.bytes().len();
            let alone = bytes_max == GROUP_BYTES_MAX && count == 0;
            if bytes > bytes_max && !alone {
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
        let group = self.queue.lock().take(GROUP_BYTES_MAX);
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
        let mut group = Group::new(before, end);
        let written = self.write(&mut group, submissions);
        let replies = std::mem::take(&mut group.replies);
        let (end, error) = self.finish(committer, group, written);
        Self::acknowledge(replies, end, error.as_ref());
    }

    /// Writes `submissions`, and what is queued meanwhile.
    fn write(&self, group: &mut Group, submissions: Vec<Submission>) -> Result<(), StoreError> {
        let mut next = submissions;
        loop {
            let last = next.is_empty();
            group.judge(next);
            self.write_judged(group, !last)?;
            let room = GROUP_BYTES_MAX.saturating_sub(group.bytes);
            next = self.queue.lock().take(room);
            if last && next.is_empty() {
                return Ok(());
            }
        }
    }

    fn write_judged(&self, group: &mut Group, more: bool) -> Result<(), StoreError> {
        let (written, rest) = group.batches.split_at(group.written);
        if !rest.is_empty() {
            let before = Before::new(&group.before, written);
            group.written += self.store.write(rest, before, more)?;
        }
        Ok(())
    }

    /// Flushes what was written and publishes it to readers. Answers the end of what is flushed,
    /// and what to say of the rest.
    fn finish(
        &self,
        committer: &mut Committer,
        mut group: Group,
        written: Result<(), StoreError>,
    ) -> (Offset, Option<AppendError>) {
        let mut failed = written.err();
        // What was written before the disk was full counts. After another error, the store says.
        if group.written > 0 && matches!(failed, None | Some(StoreError::DiskFull { .. })) {
            match self.store.flush() {
                Ok(()) => {
                    group.batches.truncate(group.written);
                    // The last other holder of the summary, so that it is changed in place.
                    drop(group.before);
                    self.publish(&group.batches);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = &failed {
            tracing::warn!(partition = %self.name, %error, "append failed");
            committer.unsure = !matches!(error, StoreError::DiskFull { .. });
        }
        // What the store then says may be more, but its callers have heard of an error.
        let end = self.state.lock().log_end;
        if let Err(error) = self.make_sure(committer) {
            tracing::error!(partition = %self.name, %error, "the log does not reopen");
        }
        (end, failed.map(AppendError::from))
    }

    /// Replies to a group. This is the acknowledgement: what it says `Ok` to was flushed.
    fn acknowledge(
        replies: Vec<(Reply, Result<Appended, AppendError>)>,
        flushed: Offset,
        error: Option<&AppendError>,
    ) {
        for (reply, judged) in replies {
            let said = judged.and_then(|appended| match error {
                // A duplicate of what was stored earlier does not depend on this write.
                Some(error) if appended.next_offset > flushed => Err(error.clone()),
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
        let mut next = end;
        let mut live = live.into_iter().peekable();
        while live.peek().is_some() {
            let mut group = Group::new(Arc::clone(&self.state.lock().summary), next);
            while group.bytes < GROUP_BYTES_MAX
                && let Some(batch) = live.next()
            {
                group.push(batch.at(next, epoch));
                next = group.end;
            }
            let written = self.write_judged(&mut group, false);
            if let (_, Some(error)) = self.finish(&mut committer, group, written) {
                return Err(error.into());
            }
        }
        self.raise_start(as_of)?;
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
        let mut committer = self.commit.lock();
        if std::mem::replace(&mut self.state.lock().closed, true) {
            return Ok(());
        }
        self.tail.clear();
        // A store that does not say what it holds must not be sealed: the next start looks.
        self.make_sure(&mut committer)?;
        let summary = Arc::clone(&self.state.lock().summary);
        self.store.close(&summary)
    }
}

impl Group {
    /// An empty group behind `end`; `before` is derived from all before it.
    fn new(before: Arc<Summary>, end: Offset) -> Self {
        Self {
            before,
            beside: Producers::default(),
            end,
            batches: Vec::new(),
            bytes: 0,
            written: 0,
            replies: Vec::new(),
        }
    }

    /// Decides what is new, and gives the new batches their offsets.
    fn judge(&mut self, submissions: Vec<Submission>) {
        let epoch = self.before.leader_epoch();
        for Submission { batch, reply } in submissions {
            let known = &self.before.producers;
            let judged = match known.judge(&self.beside, batch.header()) {
                Err(refused) => Err(refused),
                Ok(Verdict::Duplicate { base, next }) => Ok(Appended {
                    base_offset: base,
                    next_offset: next,
                    duplicate: true,
                }),
                Ok(Verdict::New) => {
                    let batch = batch.at(self.end, epoch);
                    let header = *batch.header();
                    known.note_beside(&mut self.beside, &header);
                    self.push(batch);
                    Ok(Appended {
                        base_offset: header.base_offset,
                        next_offset: header.next_offset(),
                        duplicate: false,
                    })
                }
            };
            self.replies.push((reply, judged));
        }
    }

    fn push(&mut self, batch: RecordBatch) {
        self.end = batch.header().next_offset();
        self.bytes += batch.bytes().len();
        self.batches.push(batch);
    }
}
