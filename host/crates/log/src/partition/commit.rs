//! Group commit: where an append is acknowledged.
//!
//! One thread at a time runs a stream's job. It takes what is queued of all partitions of the
//! stream, and what comes in while that is written, up to a bound, and flushes once for all of it.
//! While it flushes, later submits queue for the next group.
//! The reply in `group`, `Part::answer`, is the acknowledgement: the store has returned from its flush by
//! then, and readers see the records. A group that the store did not take is refused as a whole,
//! and nothing of it is there: the next one gets the same offsets.
//! A group that panics before the store has flushed it is given up: the store drops what it was
//! written, and the stream goes on. One that panics later, when the store counts it and partitions
//! may not, or that the store cannot give up, stops the stream until the node is started again.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use wstream_record::{Clock, Offset, Timestamp};

use super::group::Writer;
use super::queue::{Held, Item, Operation, Queue};
use super::{Core, Partition};
use crate::errors::{AppendError, StoreError};
use crate::pool::{Again, Job, JobState};
use crate::store::{self, Entry, LogStore, PartitionKey};

/// Bytes that one flush takes along, unless one batch is larger.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// What is said of work that ended in a panic.
const PANICKED: &str = "it panicked";

/// What writes a stream: its queue, and the job that empties it.
#[derive(Debug)]
pub(crate) struct Stream {
    number: usize,
    store: Arc<dyn LogStore>,
    clock: Clock,
    job: JobState,
    queue: Mutex<Queue>,
    /// Held while the store is written to. Readers never take it.
    writer: Mutex<Writer>,
    partitions: RwLock<HashMap<PartitionKey, Weak<Core>>>,
    /// What is derived from partitions that no topic is known of: the store asks for it too.
    strangers: Mutex<store::Derived>,
    /// When the store was asked for what it still does, by the clock's monotonic milliseconds, plus
    /// one; 0 when it does nothing.
    began: AtomicU64,
    /// Bytes of batches that were flushed since the node started.
    flushed_bytes: AtomicU64,
    /// Groups that ended in a panic.
    panics: AtomicU64,
    /// Why nothing is written any more, since one of them.
    broken: Mutex<Option<String>>,
}

impl Stream {
    pub(crate) fn new(number: usize, store: Arc<dyn LogStore>, clock: Clock) -> Self {
        Self {
            number,
            store,
            clock,
            job: JobState::default(),
            queue: Mutex::default(),
            writer: Mutex::default(),
            partitions: RwLock::default(),
            strangers: Mutex::default(),
            began: AtomicU64::new(0),
            flushed_bytes: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            broken: Mutex::default(),
        }
    }

    pub(super) fn register(&self, core: &Arc<Core>) {
        let core_of = Arc::downgrade(core);
        self.partitions.write().insert(core.key, core_of);
    }

    /// Queues something; the job must be scheduled then.
    pub(super) fn enqueue(&self, held: Held, operation: Operation) -> Result<(), AppendError> {
        let pushed = self.queue.lock().push(Item { held, operation });
        pushed.map_err(|_refused| AppendError::Closed)
    }

    /// Takes no more. What is queued is still written.
    pub(crate) fn shut(&self) {
        self.queue.lock().close();
    }

    /// Refuses what is still queued, once nobody runs the job any more.
    pub(crate) fn refuse_rest(&self) {
        let mut rest = VecDeque::new();
        self.queue.lock().take(usize::MAX, true, &mut rest);
        for item in rest {
            item.operation.refuse(AppendError::Closed);
        }
    }

    /// The partition of a key.
    pub(crate) fn partition(&self, key: PartitionKey) -> Option<Partition> {
        let partitions = self.partitions.read();
        partitions.get(&key)?.upgrade().map(Partition)
    }

    /// Keeps what is derived from a partition that no topic is known of.
    pub(crate) fn keep_stranger(&self, key: PartitionKey, derived: Vec<u8>) {
        self.strangers.lock().push((key, derived));
    }

    /// Removes partitions with all they hold. They must be closed. Blocks.
    pub(crate) fn remove(&self, keys: &[PartitionKey]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        if let Some(reason) = self.trouble() {
            return Err(StoreError::failed("remove partitions", "the log", &reason));
        }
        {
            let mut partitions = self.partitions.write();
            for key in keys {
                partitions.remove(key);
            }
        }
        let entries: Vec<_> = keys.iter().map(|&key| (key, Entry::Gone)).collect();
        let remove = || {
            self.store
                .write(self.number, &entries, &|| self.derived())?;
            self.store.flush(self.number)
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.watched(remove)));
        done.unwrap_or_else(|_panic| {
            self.give_up(false);
            Err(StoreError::failed(
                "remove partitions",
                "the log",
                &PANICKED,
            ))
        })
    }

    /// What is derived from all that was flushed.
    pub(crate) fn derived(&self) -> store::Derived {
        let partitions = self.partitions.read();
        let cores: Vec<_> = partitions.values().filter_map(Weak::upgrade).collect();
        drop(partitions);
        let mut all = self.strangers.lock().clone();
        for core in cores {
            let state = core.state.lock();
            let mut bytes = Vec::new();
            // Nothing stands for what could not be derived. A new partition is not told of.
            if state.log_end == Offset(0) {
                continue;
            }
            if !state.deriving {
                state.derived.encode(&mut bytes);
            }
            drop(state);
            all.push((core.key, bytes));
        }
        all
    }

    /// How long the store has been at what it does.
    pub(crate) fn writing_for(&self) -> Option<Duration> {
        let began = self.began.load(Ordering::Acquire).checked_sub(1)?;
        Some(
            self.clock
                .monotonic()
                .saturating_sub(Duration::from_millis(began)),
        )
    }

    /// Bytes of batches that were flushed since the node started.
    pub(crate) fn flushed_bytes(&self) -> u64 {
        self.flushed_bytes.load(Ordering::Relaxed)
    }

    /// How many groups ended in a panic since the node started.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Why nothing can be written now.
    pub(crate) fn trouble(&self) -> Option<String> {
        let broken = self.broken.lock().clone();
        broken.or_else(|| self.store.trouble())
    }

    /// After a panic: has the store give up what it did not flush. What it did flush by then stands
    /// against what the partitions know.
    fn give_up(&self, was_flushed: bool) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let given_up = if was_flushed {
            Err("it was flushed by then".to_owned())
        } else {
            match catch_unwind(AssertUnwindSafe(|| self.store.abandon(self.number))) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_panic) => Err("giving it up panicked too".to_owned()),
            }
        };
        match given_up {
            Ok(()) => {
                tracing::error!(
                    stream = self.number,
                    "a group of appends ended in a panic and was given up"
                );
            }
            Err(reason) => {
                tracing::error!(
                    stream = self.number,
                    reason,
                    "a group of appends ended in a panic"
                );
                let what =
                    format!("a group of appends ended in a panic: start the node again ({reason})");
                self.broken.lock().get_or_insert(what);
            }
        }
    }

    /// Has the store do something, under the eyes of `writing_for`.
    fn watched<T>(&self, work: impl FnOnce() -> T) -> T {
        let now = self.clock.monotonic().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX - 1);
        self.began.store(now + 1, Ordering::Release);
        let _begun = Begun(self);
        work()
    }

    /// Commits the group whose first items were taken.
    fn commit(&self, writer: &mut Writer) {
        if let Some(reason) = self.trouble() {
            let reason: Arc<str> = reason.into();
            writer.refuse_items(&AppendError::Offline { reason });
            return;
        }
        let now = self.clock.now();
        let written = self.write(writer, now);
        let flushed = written.and_then(|()| {
            if writer.has_entries() {
                self.watched(|| self.store.flush(self.number))
            } else {
                Ok(())
            }
        });
        match flushed {
            Ok(()) => {
                writer.flushed = writer.has_entries();
                let bytes = writer.publish(&*self.store, now);
                self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(stream = self.number, %error, "a group of appends was not written");
                writer.fail(&error.into());
            }
        }
    }

    /// Judges and writes what was taken, and what is queued meanwhile.
    fn write(&self, writer: &mut Writer, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let ended = writer.judge(&*self.store, now);
            if ended {
                self.queue.lock().put_back(&mut writer.items);
            }
            let entries = writer.unwritten();
            if !entries.is_empty() {
                self.watched(|| self.store.write(self.number, entries, &|| self.derived()))?;
            }
            writer.mark_written();
            let room = GROUP_BYTES_MAX.saturating_sub(writer.taken_bytes());
            if ended || room == 0 {
                return Ok(());
            }
            self.queue.lock().take(room, false, &mut writer.items);
            if writer.items.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The store is at work for a stream, until this is dropped.
struct Begun<'a>(&'a Stream);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.began.store(0, Ordering::Release);
    }
}

impl Job for Stream {
    fn name(&self) -> &'static str {
        "commit"
    }

    fn state(&self) -> &JobState {
        &self.job
    }

    fn run(&self) -> Again {
        let mut writer = self.writer.lock();
        self.queue
            .lock()
            .take(GROUP_BYTES_MAX, true, &mut writer.items);
        if !writer.items.is_empty() {
            let done = catch_unwind(AssertUnwindSafe(|| self.commit(&mut writer)));
            if done.is_err() {
                let group = mem::take(&mut *writer);
                // Before anybody hears of it, and sends it again.
                self.give_up(group.flushed);
                group.abandon();
            }
        }
        drop(writer);
        if self.queue.lock().is_empty() {
            Again::No
        } else {
            Again::Yes
        }
    }
}
