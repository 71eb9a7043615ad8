//! Group commit: where an append is acknowledged.
//!
//! One thread at a time runs a stream's job. It takes what is queued of all partitions of the
//! stream, and what comes in while that is written, up to a bound, and flushes once for all of it.
//! While that flush is under way, the next group is taken, judged and written, if enough comes in for
//! one; it is flushed right behind the first, and fails with it.
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

use parking_lot::{Condvar, Mutex, RwLock};
use wstream_record::{Clock, Offset, Timestamp};

use super::group::Writer;
use super::queue::{Held, Item, Operation, Queue};
use super::{Core, Partition};
use crate::errors::{AppendError, StoreError};
use crate::pool::{Again, Job, JobState};
use crate::store::{self, Done, Entry, LogStore, PartitionKey};

/// Groups that follow each other without a pause.
const GROUPS_MAX: usize = 16;
/// How long one waits for what comes in while it flushes, before it waits for the flush alone.
const MEANWHILE_MAX: Duration = Duration::from_millis(100);

/// What is said of work that ended in a panic.
const PANICKED: &str = "it panicked";

/// How much goes into a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupBounds {
    /// Bytes that one flush takes along, unless one batch is larger.
    bytes_max: usize,
    /// Bytes that must be queued for a group to be begun while the one before is being flushed: each
    /// time costs a thread's wake-up.
    meanwhile_min: usize,
}

impl Default for GroupBounds {
    fn default() -> Self {
        Self {
            bytes_max: 8 << 20,
            meanwhile_min: 64 << 10,
        }
    }
}

impl GroupBounds {
    /// Groups of few batches, which follow each other at once.
    #[cfg(test)]
    pub(crate) const SMALL: Self = Self {
        bytes_max: 600,
        meanwhile_min: 1,
    };
}

/// What comes in for a stream.
#[derive(Debug, Default)]
struct Intake {
    queue: Mutex<Queue>,
    /// Enough has come in, or a flush has come back.
    changed: Condvar,
}

/// What writes a stream: its queue, and the job that empties it.
#[derive(Debug)]
pub(crate) struct Stream {
    number: usize,
    store: Arc<dyn LogStore>,
    clock: Clock,
    job: JobState,
    bounds: GroupBounds,
    intake: Arc<Intake>,
    /// A group and the one behind it. Held while the store is written to; readers never take it.
    writers: Mutex<[Writer; 2]>,
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
    pub(crate) fn new(
        number: usize,
        store: Arc<dyn LogStore>,
        clock: Clock,
        bounds: GroupBounds,
    ) -> Self {
        Self {
            bounds,
            intake: Arc::default(),
            number,
            store,
            clock,
            job: JobState::default(),
            writers: Mutex::new(Writer::pair()),
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
        let mut queue = self.intake.queue.lock();
        let pushed = queue.push(Item { held, operation });
        let is_enough = queue.bytes() >= self.bounds.meanwhile_min;
        drop(queue);
        if is_enough {
            // Nobody waits there but while a flush is under way.
            self.intake.changed.notify_one();
        }
        pushed.map_err(|_refused| AppendError::Closed)
    }

    /// Takes no more. What is queued is still written.
    pub(crate) fn shut(&self) {
        self.intake.queue.lock().close();
    }

    /// Refuses what is still queued, once nobody runs the job any more.
    pub(crate) fn refuse_rest(&self) {
        let mut rest = VecDeque::new();
        self.intake.queue.lock().take(usize::MAX, true, &mut rest);
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

    /// Gives back what `keep_stranger` keeps.
    pub(crate) fn take_stranger(&self, key: PartitionKey) -> Option<Vec<u8>> {
        let mut strangers = self.strangers.lock();
        let at = strangers.iter().position(|(of, _)| *of == key)?;
        Some(strangers.swap_remove(at).1)
    }

    /// Removes partitions with all they hold. They must be closed. Blocks.
    pub(crate) fn remove(&self, keys: &[PartitionKey]) -> Result<(), StoreError> {
        let _writers = self.writers.lock();
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
        let _begun = self.watch();
        work()
    }

    /// The store is at work from now on, or has been, until the answer is dropped.
    fn watch(&self) -> Begun<'_> {
        let before = self.began.load(Ordering::Acquire);
        if before == 0 {
            let now = self.clock.monotonic().as_millis();
            let now = u64::try_from(now).unwrap_or(u64::MAX - 1);
            self.began.store(now + 1, Ordering::Release);
        }
        Begun {
            stream: self,
            before,
        }
    }

    /// Commits the group whose first items were taken, and those that come in meanwhile.
    fn commit(&self, writers: &mut [Writer; 2]) {
        let [group, behind] = writers;
        let (mut group, mut behind) = (group, behind);
        if let Some(reason) = self.trouble() {
            let reason: Arc<str> = reason.into();
            group.refuse_items(&AppendError::Offline { reason });
            return;
        }
        let mut now = self.clock.now();
        let written = self.write(group, now, None);
        let mut begun = written.and_then(|()| self.begin_flush(group));
        for following in (0..GROUPS_MAX).rev() {
            let later = self.clock.now();
            let next = match &begun {
                Ok(Some(flight)) if following > 0 && flight.takes_more => {
                    self.write_meanwhile(behind, later, group)
                }
                _ => Ok(()),
            };
            let flushed = begun.and_then(|flight| match flight {
                Some(_watched) => self.store.flush(self.number),
                None => Ok(()),
            });
            if let Err(error) = flushed {
                tracing::warn!(stream = self.number, %error, "a group of appends was not written");
                let error = error.into();
                group.fail(&error);
                behind.fail(&error);
                return;
            }
            group.flushed = group.has_entries();
            begun = next.and_then(|()| self.begin_flush(behind));
            let bytes = group.publish(&*self.store, now);
            self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
            if behind.is_empty() {
                return;
            }
            (group, behind) = (behind, group);
            now = later;
        }
    }

    /// Begins to flush what was written, if it was anything.
    fn begin_flush(&self, group: &Writer) -> Result<Option<Flight<'_>>, StoreError> {
        if !group.has_entries() {
            return Ok(None);
        }
        self.intake.queue.lock().came_back = false;
        let intake = Arc::clone(&self.intake);
        let done: Done = Arc::new(move || {
            intake.queue.lock().came_back = true;
            intake.changed.notify_one();
        });
        let watch = self.watch();
        let takes_more = self.store.begin_flush(self.number, &done)?;
        Ok(Some(Flight {
            _watch: watch,
            takes_more,
        }))
    }

    /// Judges and writes what was taken, and what is queued meanwhile.
    fn write(
        &self,
        group: &mut Writer,
        now: Timestamp,
        before: Option<&Writer>,
    ) -> Result<(), StoreError> {
        loop {
            let ended = group.judge(&*self.store, now, before);
            if ended {
                self.intake.queue.lock().put_back(&mut group.items);
            }
            let entries = group.unwritten();
            if !entries.is_empty() {
                self.watched(|| self.store.write(self.number, entries, &|| self.derived()))?;
            }
            group.mark_written();
            let room = self.bounds.bytes_max.saturating_sub(group.taken_bytes());
            if ended || room == 0 {
                group.ended = true;
                return Ok(());
            }
            self.intake.queue.lock().take(room, false, &mut group.items);
            if group.items.is_empty() {
                return Ok(());
            }
        }
    }

    /// Judges and writes what comes in until the flush of the group before has come back.
    fn write_meanwhile(
        &self,
        group: &mut Writer,
        now: Timestamp,
        before: &Writer,
    ) -> Result<(), StoreError> {
        while !group.ended && self.take_meanwhile(group) {
            self.write(group, now, Some(before))?;
        }
        Ok(())
    }

    /// Waits until enough has come in for a group, which it takes, or the flush has come back.
    fn take_meanwhile(&self, group: &mut Writer) -> bool {
        let Intake { queue, changed } = &*self.intake;
        let mut queue = queue.lock();
        let min = self.bounds.meanwhile_min;
        let waits = |queue: &mut Queue| queue.bytes() < min && !queue.came_back;
        changed.wait_while_for(&mut queue, waits, MEANWHILE_MAX);
        if queue.bytes() < min {
            return false;
        }
        let room = self.bounds.bytes_max.saturating_sub(group.taken_bytes());
        queue.take(room, group.is_empty(), &mut group.items);
        !group.items.is_empty()
    }
}

/// A flush under way.
struct Flight<'a> {
    _watch: Begun<'a>,
    takes_more: bool,
}

/// The store is at work for a stream, until this is dropped.
struct Begun<'a> {
    stream: &'a Stream,
    /// When it had begun before, if so.
    before: u64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.stream.began.store(self.before, Ordering::Release);
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
        let mut writers = self.writers.lock();
        let [group, _] = &mut *writers;
        let bytes_max = self.bounds.bytes_max;
        self.intake
            .queue
            .lock()
            .take(bytes_max, true, &mut group.items);
        if !group.items.is_empty() {
            let done = catch_unwind(AssertUnwindSafe(|| self.commit(&mut writers)));
            if done.is_err() {
                let mut groups = mem::replace(&mut *writers, Writer::pair());
                // Before anybody hears of it, and sends it again.
                self.give_up(groups.iter().any(|group| group.flushed));
                groups.iter_mut().for_each(Writer::abandon);
            }
        }
        drop(writers);
        if self.intake.queue.lock().is_empty() {
            Again::No
        } else {
            Again::Yes
        }
    }
}
