//! One partition: appends that are acknowledged when they survive, reads that never see past
//! what was acknowledged.
//!
//! An append's way: `Partition::submit` checks the batch and queues it; a thread of `writers`
//! takes all that is queued and runs `commit::Core::commit_group`, which judges duplicates,
//! assigns offsets, has the store write and flush the whole group, publishes it to readers, and
//! only then replies. Reads come from `tail` or, below it, from the store on a blocking thread.
//! With one replica the high watermark is the log end as soon as a group is flushed.

mod commit;
mod producers;
mod tail;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};
use wstream_record::{
    ByteSize, Clock, LeaderEpoch, Offset, ProducerId, RecordBatch, Sequence, Timestamp,
    TopicPartition,
};

use self::commit::{Queue, Submission};
pub(crate) use self::producers::Producers;
use self::tail::Tail;
pub(crate) use self::tail::TailBudget;
use crate::errors::{AppendError, DeleteError, ReadError, RewriteError, StoreError};
use crate::store::{PartitionStore, Recovered};
use crate::summary::{EpochStart, Found, Summary};
use crate::topic::TopicConfig;
use crate::writers::Writers;

/// What the partitions of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) writers: Writers,
    pub(crate) tails: Arc<TailBudget>,
    /// Reads that may be in the store at one time.
    pub(crate) store_reads: Semaphore,
    pub(crate) queue_bytes_max: ByteSize,
}

/// A handle on one partition; cheap to clone.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Core>);

#[derive(Debug)]
pub(crate) struct Core {
    name: TopicPartition,
    shared: Arc<Shared>,
    store: Box<dyn PartitionStore>,
    /// Bytes that may still be queued.
    room: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// Held while the store is written to. Readers never take it.
    commit: Mutex<commit::Committer>,
    /// Held for moments only.
    state: Mutex<State>,
    tail: Tail,
    high_watermark: watch::Sender<Offset>,
    max_message_bytes: AtomicU64,
}

#[derive(Debug)]
struct State {
    log_start: Offset,
    log_end: Offset,
    summary: Arc<Summary>,
    appended_records: u64,
    appended_bytes: u64,
    closed: bool,
}

/// Where a partition's log begins and ends, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest offset that may be read.
    pub log_start: Offset,
    /// The end of what is acknowledged: readers see everything below.
    pub high_watermark: Offset,
    /// The offset of the next record.
    pub log_end: Offset,
    /// The end of what no open transaction may still undo.
    pub last_stable: Offset,
    /// The epoch that new batches are stamped with.
    pub leader_epoch: LeaderEpoch,
    /// Bytes of batches held.
    pub bytes: ByteSize,
    /// Records appended since the node started.
    pub appended_records: u64,
    /// Bytes of batches appended since the node started.
    pub appended_bytes: u64,
}

/// Where an acknowledged batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub next_offset: Offset,
    /// Whether it had been stored before: its producer sent it again.
    pub duplicate: bool,
}

/// A submitted batch. Await it to know that the batch is acknowledged; dropping it does not
/// take the batch back.
#[derive(Debug)]
#[must_use = "a batch is acknowledged once its ticket says so"]
pub struct AppendTicket(oneshot::Receiver<Result<Appended, AppendError>>);

impl Future for AppendTicket {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replied = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(replied.unwrap_or(Err(AppendError::Closed)))
    }
}

impl Partition {
    /// Opens the partition's log. Blocks.
    pub(crate) fn open(
        name: TopicPartition,
        config: &TopicConfig,
        store: Box<dyn PartitionStore>,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let Recovered {
            start,
            end,
            summary,
        } = store.recover()?;
        let state = State {
            log_start: start,
            log_end: end,
            summary: Arc::new(summary),
            appended_records: 0,
            appended_bytes: 0,
            closed: false,
        };
        let room = usize::try_from(shared.queue_bytes_max.0).unwrap_or(usize::MAX);
        Ok(Self(Arc::new(Core {
            name,
            store,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            queue: Mutex::default(),
            commit: Mutex::default(),
            state: Mutex::new(state),
            tail: Tail::new(Arc::clone(&shared.tails)),
            high_watermark: watch::Sender::new(end),
            max_message_bytes: AtomicU64::new(config.max_message_bytes.0),
            shared,
        })))
    }

    /// Topic and number.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.0.name
    }

    /// Queues a batch, after waiting for room. The order of submits is the order of offsets.
    ///
    /// # Errors
    /// The batch is too large or malformed, or the partition closed. What else can go wrong, the
    /// ticket says.
    pub async fn submit(&self, batch: RecordBatch) -> Result<AppendTicket, AppendError> {
        let core = &self.0;
        let bytes = core.check(&batch)?;
        // A batch above the queue's bound goes alone, when the queue is empty.
        let permits = u32::try_from(bytes.min(core.shared.queue_bytes_max).0).unwrap_or(u32::MAX);
        let room = Arc::clone(&core.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_closed| AppendError::Closed)?;
        let (reply, ticket) = oneshot::channel();
        let submission = Submission::new(batch, reply, room);
        core.enqueue(submission)?;
        Ok(AppendTicket(ticket))
    }

    /// Appends a batch: `Ok` means that it survives what the node's durability says.
    ///
    /// # Errors
    /// See `AppendError`.
    pub async fn append(&self, batch: RecordBatch) -> Result<Appended, AppendError> {
        self.submit(batch).await?.await
    }

    /// Whole batches below the high watermark: the one that holds `from`, which may begin below
    /// it, and the following while all fit in `limit`. Empty at the end.
    ///
    /// # Errors
    /// `from` is outside the log, or the store failed.
    pub async fn read(&self, from: Offset, limit: ByteSize) -> Result<Vec<RecordBatch>, ReadError> {
        let core = &self.0;
        let (start, end) = core.readable()?;
        if from < start {
            return Err(ReadError::Trimmed { at: from, start });
        }
        if from > end {
            return Err(ReadError::PastEnd { at: from, end });
        }
        if from == end {
            return Ok(Vec::new());
        }
        if let Some(mut batches) = core.tail.read(from, limit) {
            batches.retain(|b| b.header().base_offset < end);
            return Ok(batches);
        }
        let core = Arc::clone(core);
        let read = core.shared.store_reads.acquire().await;
        let _slot = read.map_err(|_closed| ReadError::Closed)?;
        let reading = Arc::clone(&core);
        blocking(move || reading.store.read(from, end, limit))
            .await
            .ok_or(ReadError::Closed)?
            .map_err(ReadError::Failed)
    }

    /// The first record whose time is `at` or later; `None` if all are earlier. Within a
    /// compressed batch its first offset is answered.
    ///
    /// # Errors
    /// The partition is closed or the store failed.
    pub async fn offset_for(
        &self,
        at: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        let (start, end) = self.0.readable()?;
        let core = Arc::clone(&self.0);
        let read = core.shared.store_reads.acquire().await;
        let _slot = read.map_err(|_closed| ReadError::Closed)?;
        let reading = Arc::clone(&core);
        let found = blocking(move || reading.store.offset_for(start, end, at)).await;
        let found = found.ok_or(ReadError::Closed)??;
        Ok(found.map(|Found { offset, timestamp }| (offset, timestamp)))
    }

    /// Where the log begins and ends.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let bytes = self.0.store.bytes();
        let high_watermark = *self.0.high_watermark.borrow();
        let state = self.0.state.lock();
        Bounds {
            log_start: state.log_start,
            high_watermark,
            log_end: state.log_end,
            last_stable: high_watermark,
            leader_epoch: state.summary.leader_epoch(),
            bytes,
            appended_records: state.appended_records,
            appended_bytes: state.appended_bytes,
        }
    }

    /// The high watermark as it moves: wakes a reader at the tail.
    #[must_use]
    pub fn high_watermark(&self) -> watch::Receiver<Offset> {
        self.0.high_watermark.subscribe()
    }

    /// The sequence of an idempotent producer's next record, everything before it being
    /// acknowledged; `None` if the producer is not known here.
    #[must_use]
    pub fn next_sequence(&self, producer: ProducerId) -> Option<Sequence> {
        self.0
            .state
            .lock()
            .summary
            .producers
            .next_sequence(producer)
    }

    /// Where each leader epoch began, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.0.state.lock().summary.epochs.clone()
    }

    /// Removes all records below `offset` and answers the new log start.
    ///
    /// # Errors
    /// `offset` is above the high watermark, or the store failed.
    pub async fn delete_before(&self, offset: Offset) -> Result<Offset, DeleteError> {
        let core = Arc::clone(&self.0);
        let deleted = blocking(move || core.delete_before(offset)).await;
        deleted.ok_or(DeleteError::Closed)?
    }

    /// Replaces the whole log by `live`, at new offsets: they are appended to a new segment, then
    /// all older ones go. For internal topics, of which only the last record of a key counts.
    /// A crash in between leaves both, which says the same.
    /// `as_of` is the log end at which the caller collected `live`.
    ///
    /// # Errors
    /// Something was appended since `as_of`, or the store failed.
    pub async fn rewrite(&self, live: Vec<RecordBatch>, as_of: Offset) -> Result<(), RewriteError> {
        let core = Arc::clone(&self.0);
        let rewritten = blocking(move || core.rewrite(live, as_of)).await;
        rewritten.ok_or(AppendError::Closed)?
    }

    pub(crate) fn configure(&self, config: &TopicConfig) {
        let max = config.max_message_bytes.0;
        self.0.max_message_bytes.store(max, Ordering::Relaxed);
        self.0.store.configure(config);
    }

    /// Rolls and removes segments as the topic's settings say. Blocks.
    pub(crate) fn maintain(&self) -> Result<(), StoreError> {
        self.0.maintain()
    }

    /// Takes no more submits. What is queued is still written, or with `discard` refused.
    pub(crate) fn shut(&self, discard: bool) {
        self.0.shut(discard);
    }

    /// Lets go of the store's files. Blocks.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.0.close()
    }
}

impl Core {
    /// What may be read, from log start to high watermark.
    fn readable(&self) -> Result<(Offset, Offset), ReadError> {
        let state = self.state.lock();
        if state.closed {
            return Err(ReadError::Closed);
        }
        let start = state.log_start;
        drop(state);
        Ok((start, *self.high_watermark.borrow()))
    }

    fn check(&self, batch: &RecordBatch) -> Result<ByteSize, AppendError> {
        let bytes = ByteSize(batch.bytes().len() as u64);
        let max = ByteSize(self.max_message_bytes.load(Ordering::Relaxed));
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        let header = batch.header();
        if header.records < 1 || header.records - 1 != header.last_offset_delta {
            return Err(AppendError::Malformed(
                "its record count is not that of its offsets",
            ));
        }
        Ok(bytes)
    }
}

/// Runs what blocks; `None` when the runtime is ending.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "the log's store panicked");
            }
            None
        }
    }
}
