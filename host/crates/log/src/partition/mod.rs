//! One partition: appends that are acknowledged when they survive, reads that never see past what
//! they may see.
//!
//! ```text
//!  marks of a partition, each O(1)
//!
//!   gone            stable               open transactions   not committed      not flushed
//!  ......|============================|-------------------|----------------|  (in no one's sight)
//!     log start                  last stable       high watermark       log end
//!
//!  raised by delete_before,      moves with         a leader alone:      moves when a
//!  retention, reset              markers            with the log end;    group is flushed
//!                                                   else by `advance`
//! ```
//!
//! An append's way: `Partition::submit` checks the batch and queues it with its stream (`queue`);
//! the stream's job (`commit`) takes what is queued of all partitions, judges, gives offsets, has
//! the store write and flush the whole group, publishes it to readers, and only then replies.
//! A ticket is *flushed* then, and *committed* once the high watermark has passed it: with
//! `Commit::Alone` both are one, with `Commit::Quorum` `role` keeps it until then.
//! What a follower does (replicate, truncate, reset) and what raises the start goes the same way,
//! so that one order holds for all that changes a partition.
//! Reads (`fetch`) come from `tail` or, below it, from the store. `waiter` waits for many.
//!
//! Order of locks: a stream's writer, a stream's list of partitions, a partition's state, then
//! its tail, the tails' holders. A stream's queue and a waiter's bell are taken alone. None is held
//! across an `.await`; replies are sent and waiters rung while none but the writer's is held.

mod commit;
mod derive;
mod fetch;
mod group;
mod queue;
mod role;
mod tail;
#[cfg(test)]
mod tests;
mod ticket;
mod waiter;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use wstream_record::{
    ByteSize, Clock, CoordinatorEpoch, LeaderEpoch, Offset, ProducerEpoch, ProducerId, RecordBatch,
    Sequence, Timestamp, TopicId, TopicPartition,
};

pub(crate) use self::commit::{GroupBounds, Stream};
pub(crate) use self::derive::Recovery;
pub use self::fetch::{Fetched, Upto};
use self::queue::{Held, Operation};
use self::role::Uncommitted;
pub use self::role::{Commit, Role};
use self::tail::Tail;
pub(crate) use self::tail::TailBudget;
pub use self::ticket::{AppendTicket, Appended};
pub use self::waiter::Waiter;
use self::waiter::Watch;
use crate::derived::{Derived, EpochEnd, EpochStart, Marker, ProducerBudget};
use crate::errors::{AppendError, DeleteError};
use crate::pool::Pool;
use crate::store::{LogStore, PartitionKey};

/// Room that an operation without batches takes up in the queue.
const OPERATION_BYTES: u64 = 64;

/// What the partitions of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) tails: Arc<TailBudget>,
    pub(crate) producers: Arc<ProducerBudget>,
    /// Bytes that may still be queued, of all partitions.
    pub(crate) room: Semaphore,
    pub(crate) queue_bytes_max: ByteSize,
    pub(crate) queue_partition_bytes_max: ByteSize,
}

/// A handle on one partition; cheap to clone.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Core>);

#[derive(Debug)]
pub(crate) struct Core {
    name: TopicPartition,
    key: PartitionKey,
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    /// Bytes that may still be queued.
    room: Semaphore,
    /// Held for moments only.
    state: Mutex<State>,
    tail: Tail,
    max_message_bytes: AtomicU64,
    /// Records of at least this age, in milliseconds, go at the next look at retention.
    expires_after: AtomicI64,
    /// Retention has a start on its way.
    raising: AtomicBool,
    /// Where the stream's writer keeps what it knows of this partition, if it is in its present
    /// group at all. Only the writer uses it.
    slots: [AtomicUsize; 2],
}

#[derive(Debug)]
struct State {
    role: Role,
    /// The leader epoch known here, whatever the role.
    epoch: LeaderEpoch,
    commit: Commit,
    log_start: Offset,
    high_watermark: Offset,
    log_end: Offset,
    /// What the store last heard of the high watermark.
    high_watermark_noted: Offset,
    /// From all that was flushed.
    derived: Derived,
    /// What is derived lacks something: nothing counts as stable meanwhile.
    deriving: bool,
    /// Counts the times that records below the log end were taken back.
    cuts: u64,
    watches: Vec<Watch>,
    /// Tickets that wait for the high watermark, by the offset that it must reach.
    uncommitted: Uncommitted,
    appended_records: u64,
    appended_bytes: u64,
    warned_expired: Option<Timestamp>,
    closed: bool,
}

/// Where a partition's log begins and ends, and what of it is for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The oldest offset that may be read.
    pub log_start: Offset,
    /// The end of what no open transaction may still undo.
    pub last_stable: Offset,
    /// The end of what is committed.
    pub high_watermark: Offset,
    /// The offset of the next record.
    pub log_end: Offset,
    /// The leader epoch known here: what new batches are stamped with.
    pub leader_epoch: LeaderEpoch,
}

/// How much a partition holds and took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Bytes of batches held.
    pub bytes: ByteSize,
    /// Records that readers get, from the log start to the high watermark. Compaction is counted;
    /// where one of the two cuts a stretch that was compacted, it is as many as there may be at most.
    pub records: u64,
    /// Records appended since the node started.
    pub appended_records: u64,
    /// Bytes of batches appended since the node started.
    pub appended_bytes: u64,
}

/// What a partition begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) name: TopicPartition,
    pub(crate) key: PartitionKey,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) log_end: Offset,
    pub(crate) derived: Derived,
    /// Why its batches do not read, so that nothing could be derived from them.
    pub(crate) unreadable: Option<String>,
    pub(crate) limits: Limits,
}

impl Opening {
    /// A partition that holds nothing.
    pub(crate) fn empty(
        name: TopicPartition,
        key: PartitionKey,
        limits: Limits,
        producers: &Arc<ProducerBudget>,
    ) -> Self {
        Self {
            name,
            key,
            log_start: Offset(0),
            high_watermark: Offset(0),
            log_end: Offset(0),
            derived: Derived::new(Arc::clone(producers)),
            unreadable: None,
            limits,
        }
    }
}

/// What a topic's settings say to the append path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_message_bytes: ByteSize,
    /// If retention goes by the records' own time: the age at which they go, in milliseconds.
    pub(crate) expires_after: Option<i64>,
}

impl Partition {
    /// Takes up a partition of `stream`. It is offline until it is told its role.
    pub(crate) fn open(opening: Opening, stream: &Arc<Stream>, shared: &Arc<Shared>) -> Self {
        let room = shared.queue_partition_bytes_max.min(shared.queue_bytes_max);
        let epoch = opening.derived.epochs.latest().unwrap_or(LeaderEpoch(0));
        let reason = match &opening.unreadable {
            Some(reason) => reason.as_str().into(),
            None => "its role is not known yet".into(),
        };
        let state = State {
            role: Role::Offline { reason },
            epoch,
            commit: Commit::Alone,
            log_start: opening.log_start,
            high_watermark: opening.high_watermark.min(opening.log_end),
            log_end: opening.log_end,
            high_watermark_noted: opening.high_watermark,
            derived: opening.derived,
            deriving: opening.unreadable.is_some(),
            cuts: 0,
            watches: Vec::new(),
            uncommitted: Uncommitted::default(),
            appended_records: 0,
            appended_bytes: 0,
            warned_expired: None,
            closed: false,
        };
        let core = Arc::new(Core {
            name: opening.name,
            key: opening.key,
            shared: Arc::clone(shared),
            stream: Arc::clone(stream),
            room: Semaphore::new(permits(room) as usize),
            state: Mutex::new(state),
            tail: Tail::new(Arc::clone(&shared.tails)),
            max_message_bytes: AtomicU64::new(0),
            expires_after: AtomicI64::new(i64::MAX),
            raising: AtomicBool::new(false),
            slots: [AtomicUsize::new(0), AtomicUsize::new(0)],
        });
        stream.register(&core);
        let partition = Self(core);
        partition.configure(opening.limits);
        partition
    }

    /// Topic and number.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.0.name
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.0.key.topic
    }

    /// Queues a batch, after waiting for room. The order of submits is the order of offsets.
    ///
    /// # Errors
    /// The batch is not one that a producer may send here, or the partition is not led here or
    /// closed. What else can go wrong, the ticket says.
    pub async fn submit(&self, batch: RecordBatch) -> Result<AppendTicket, AppendError> {
        let core = &self.0;
        let bytes = core.check(&batch)?;
        core.check_leads()?;
        let held = core.hold(bytes.0).await?;
        let (reply, ticket) = oneshot::channel();
        core.enqueue(held, Operation::Append { batch, reply })?;
        Ok(AppendTicket::new(ticket))
    }

    /// Queues the marker that ends a producer's transaction here, as its coordinator wants (Kafka's
    /// `WriteTxnMarkers`). It is taken also if the producer has none open or is not known: a
    /// coordinator sends it again until it is answered.
    ///
    /// # Errors
    /// The partition is not led here or closed. That a newer incarnation of the producer or of the
    /// coordinator has written here (`FencedProducer`, `FencedCoordinator`), and what else can go
    /// wrong, the ticket says.
    pub async fn end_transaction(
        &self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        marker: Marker,
        coordinator: CoordinatorEpoch,
    ) -> Result<AppendTicket, AppendError> {
        let core = &self.0;
        if producer.0 < 0 || epoch.0 < 0 || coordinator.0 < 0 {
            return Err(AppendError::Malformed(
                "a marker names a producer, its epoch and its coordinator's",
            ));
        }
        core.check_leads()?;
        let batch = marker.batch(producer, epoch, coordinator, core.shared.clock.now());
        let held = core.hold(batch.bytes().len() as u64).await?;
        let (reply, ticket) = oneshot::channel();
        core.enqueue(held, Operation::Append { batch, reply })?;
        Ok(AppendTicket::new(ticket))
    }

    /// Appends a batch: `Ok` means that it is committed.
    ///
    /// # Errors
    /// See `AppendError`.
    pub async fn append(&self, batch: RecordBatch) -> Result<Appended, AppendError> {
        self.submit(batch).await?.await
    }

    /// Where the log begins and ends.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.0.state.lock().marks()
    }

    /// How much it holds and took.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let committed = self.0.state.lock().high_watermark;
        let bytes = self.0.shared.store.bytes(self.0.key);
        let records = self.0.shared.store.records(self.0.key, committed);
        let state = self.0.state.lock();
        Stats {
            bytes,
            records,
            appended_records: state.appended_records,
            appended_bytes: state.appended_bytes,
        }
    }

    /// The sequence of an idempotent producer's next record, everything before it being flushed;
    /// `None` if the producer is not known here.
    #[must_use]
    pub fn next_sequence(&self, producer: ProducerId) -> Option<Sequence> {
        let state = self.0.state.lock();
        state.derived.producers.next_sequence(producer)
    }

    /// Where each leader epoch began, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.0.state.lock().derived.epochs.starts().to_vec()
    }

    /// Where the largest known epoch at or below `epoch` ends; `None` if none is known, or `epoch`
    /// is newer than the leader's.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.0.state.lock().end_of(epoch)
    }

    /// Removes all records below `offset` and answers the new log start.
    ///
    /// # Errors
    /// `offset` is above the high watermark, or the store failed.
    pub async fn delete_before(&self, offset: Offset) -> Result<Offset, DeleteError> {
        let (reply, answer) = oneshot::channel();
        let raise = Operation::Start {
            to: offset,
            reply: Some(reply),
        };
        let held = self.0.hold(OPERATION_BYTES).await?;
        self.0.enqueue(held, raise)?;
        let closed = |_dropped| Err(AppendError::Closed.into());
        answer.await.unwrap_or_else(closed)
    }

    /// Appends batches of the leader, with their offsets and epochs as they are, and answers the
    /// log end. Gaps and control batches are allowed.
    ///
    /// # Errors
    /// This node leads, a batch lies below the log end or is of a wrong epoch, or the store failed.
    pub async fn replicate(&self, batches: Vec<RecordBatch>) -> Result<Offset, AppendError> {
        let bytes = batches.iter().map(|b| b.bytes().len() as u64).sum();
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Replicate { batches, reply };
        self.follower_does(bytes, operation, answer).await
    }

    /// Cuts the log at the boundary of batches at or below `end`, and answers that: the new log
    /// end. At or below the log start, the log is empty afterwards and starts there.
    ///
    /// # Errors
    /// This node leads, or the store failed.
    pub async fn truncate(&self, end: Offset) -> Result<Offset, AppendError> {
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Truncate { end, reply };
        self.follower_does(OPERATION_BYTES, operation, answer).await
    }

    /// Empties the log, which begins at `start` afterwards.
    ///
    /// # Errors
    /// This node leads, or the store failed.
    pub async fn reset(&self, start: Offset) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Reset { start, reply };
        let done = self.follower_does(OPERATION_BYTES, operation, answer).await;
        done.map(|_end| ())
    }

    async fn follower_does(
        &self,
        bytes: u64,
        operation: Operation,
        answer: oneshot::Receiver<Result<Offset, AppendError>>,
    ) -> Result<Offset, AppendError> {
        let held = self.0.hold(bytes.max(OPERATION_BYTES)).await?;
        self.0.enqueue(held, operation)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    pub(crate) fn configure(&self, limits: Limits) {
        let core = &self.0;
        let max = limits.max_message_bytes.0;
        core.max_message_bytes.store(max, Ordering::Relaxed);
        let after = limits.expires_after.unwrap_or(i64::MAX);
        core.expires_after.store(after, Ordering::Relaxed);
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.0.key
    }

    /// Has the log start raised with the next group. For retention, which looks again later, so
    /// that it takes no room in the queue and one at a time is enough.
    pub(crate) fn raise_start(
        &self,
        to: Offset,
    ) -> Option<oneshot::Receiver<Result<Offset, DeleteError>>> {
        let held = Held::raising(&self.0)?;
        let (reply, raised) = oneshot::channel();
        let reply = Some(reply);
        let queued = self.0.enqueue(held, Operation::Start { to, reply });
        queued.ok().map(|()| raised)
    }

    /// Forgets producers that were silent for `after_ms`.
    pub(crate) fn expire_producers(&self, after: std::time::Duration) {
        let now = self.0.shared.clock.now();
        self.0.state.lock().derived.expire(now, after);
    }

    /// Takes no more submits. What is queued is still written.
    pub(crate) fn shut(&self) {
        self.0.room.close();
    }

    /// Refuses everything from now on and wakes all who wait.
    pub(crate) fn close(&self) {
        self.0.room.close();
        let mut state = self.0.state.lock();
        state.closed = true;
        let watches = std::mem::take(&mut state.watches);
        let uncommitted = state.uncommitted.take_all();
        drop(state);
        self.0.tail.clear();
        waiter::ring(watches);
        role::refuse(uncommitted, &AppendError::Closed);
    }
}

impl Core {
    /// Checks what only producers must keep to.
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
        if header.is_control() {
            return Err(AppendError::Malformed("it is a control batch"));
        }
        for found in [header.base_timestamp, header.max_timestamp] {
            if !found.is_valid() {
                return Err(AppendError::Timestamp { found });
            }
        }
        Ok(bytes)
    }

    /// Waits for room for `bytes`. Who came first, gets it first.
    async fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, AppendError> {
        let shared = &self.shared;
        let max = shared.queue_partition_bytes_max.min(shared.queue_bytes_max);
        // What is above the bound goes alone, when nothing else of the partition is queued.
        let permits = permits(ByteSize(bytes).min(max));
        let own = self.room.acquire_many(permits).await;
        let own = own.map_err(|_closed| AppendError::Closed)?;
        let nodes = shared.room.acquire_many(permits).await;
        let nodes = nodes.map_err(|_closed| AppendError::Closed)?;
        own.forget();
        nodes.forget();
        Ok(Held::new(self, permits))
    }

    fn enqueue(self: &Arc<Self>, held: Held, operation: Operation) -> Result<(), AppendError> {
        self.stream.enqueue(held, operation)?;
        self.shared.pool.schedule(&self.stream);
        Ok(())
    }
}

impl State {
    fn marks(&self) -> Marks {
        Marks {
            log_start: self.log_start,
            last_stable: self.last_stable(),
            high_watermark: self.high_watermark,
            log_end: self.log_end,
            leader_epoch: self.epoch,
        }
    }

    fn last_stable(&self) -> Offset {
        if self.deriving {
            return self.log_start;
        }
        let stable = self.derived.transactions.last_stable(self.high_watermark);
        stable.max(self.log_start)
    }

    /// Whether what is flushed is committed with that.
    fn commits_alone(&self) -> bool {
        self.commit == Commit::Alone && matches!(self.role, Role::Leader { .. })
    }
}

/// Bytes as permits of a semaphore.
fn permits(bytes: ByteSize) -> u32 {
    u32::try_from(bytes.0).unwrap_or(u32::MAX)
}
