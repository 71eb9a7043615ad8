//! A sink in memory that records what it gets and fails when told: what the tests of the pipeline
//! and of the seam compare with.
//!
//! It behaves like an index: what is submitted waits for a commit, which makes documents and
//! position durable together; dropping the sink loses what waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use wstream_record::{Offset, TopicPartition};

use super::progress::Progress;
use super::{Durable, Origin, Refusal, Sink, SinkBatch, SinkError, SinkRecord, Start};

/// The target that outlives its sinks, as an index outlives the process. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryTarget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    holds_position: bool,
    state: Mutex<State>,
    commit: Notify,
}

#[derive(Debug, Default)]
struct State {
    stored: Vec<(TopicPartition, SinkRecord)>,
    positions: BTreeMap<TopicPartition, Offset>,
    /// Commits happen only when asked for.
    manual: bool,
    /// Sinks do not hear of commits.
    unheard: bool,
    /// Results of the next opens and submits, `None` for one that works.
    script: VecDeque<Option<SinkError>>,
    /// Offsets that are refused.
    refuse: Vec<Offset>,
    opened: usize,
    submitted_bytes: usize,
}

impl MemoryTarget {
    /// A target that commits each batch at once. With `holds_position` its own position is the
    /// truth, and nothing is in it twice.
    #[must_use]
    pub fn new(holds_position: bool) -> Self {
        Self(Arc::new(Inner {
            holds_position,
            state: Mutex::default(),
            commit: Notify::new(),
        }))
    }

    /// From now on batches wait for `commit`.
    pub fn commit_by_hand(&self) {
        self.0.state.lock().manual = true;
    }

    /// From now on batches are durable at once and their sinks do not hear of it, as when the
    /// process is killed right behind a commit.
    pub fn commit_unheard(&self) {
        let mut state = self.0.state.lock();
        state.manual = false;
        state.unheard = true;
    }

    /// Commits what waits, in all sinks, and from now on at once.
    pub fn commit(&self) {
        let mut state = self.0.state.lock();
        state.manual = false;
        state.unheard = false;
        drop(state);
        self.0.commit.notify_waiters();
    }

    /// What the next opens and submits do.
    pub fn script(&self, steps: impl IntoIterator<Item = Option<SinkError>>) {
        self.0.state.lock().script.extend(steps);
    }

    /// Refuses records of these offsets.
    pub fn refuse(&self, offsets: impl IntoIterator<Item = Offset>) {
        self.0.state.lock().refuse.extend(offsets);
    }

    /// What is durable, in the order of its commits.
    #[must_use]
    pub fn stored(&self) -> Vec<(TopicPartition, SinkRecord)> {
        self.0.state.lock().stored.clone()
    }

    /// How often a sink was opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.0.state.lock().opened
    }

    /// Bytes submitted so far, durable or not.
    #[must_use]
    pub fn submitted_bytes(&self) -> usize {
        self.0.state.lock().submitted_bytes
    }

    fn next_step(&self) -> Result<(), SinkError> {
        let step = self.0.state.lock().script.pop_front();
        step.flatten().map_or(Ok(()), Err)
    }

    pub(super) fn open(&self, origin: &Origin) -> Result<Box<dyn Sink>, SinkError> {
        self.next_step()?;
        let mut state = self.0.state.lock();
        state.opened += 1;
        let held = state.positions.get(&origin.partition).copied();
        let (start, next) = if self.0.holds_position {
            let next = held.unwrap_or_default();
            (Start::Exactly(next), next)
        } else {
            (Start::Group, origin.position)
        };
        drop(state);
        let waiting = Arc::new(Waiting {
            target: self.clone(),
            partition: origin.partition.clone(),
            batches: Mutex::default(),
            progress: Progress::new(next),
        });
        let committer = Arc::downgrade(&waiting);
        let inner = Arc::clone(&self.0);
        drop(tokio::spawn(async move {
            loop {
                inner.commit.notified().await;
                let Some(waiting) = committer.upgrade() else {
                    return;
                };
                waiting.commit();
            }
        }));
        Ok(Box::new(MemorySink {
            start,
            prepared: None,
            waiting,
        }))
    }
}

/// Its position, its records, its room.
type Batch = (Offset, Vec<SinkRecord>, Option<OwnedSemaphorePermit>);

/// Batches of one sink that are not durable.
struct Waiting {
    target: MemoryTarget,
    partition: TopicPartition,
    batches: Mutex<Vec<Batch>>,
    progress: Progress,
}

impl Waiting {
    fn commit(&self) {
        for (next, records, _room) in std::mem::take(&mut *self.batches.lock()) {
            let mut state = self.target.0.state.lock();
            let tp = &self.partition;
            state
                .stored
                .extend(records.into_iter().map(|r| (tp.clone(), r)));
            state.positions.insert(tp.clone(), next);
            let heard = !state.unheard;
            drop(state);
            if heard {
                self.progress.durable(next);
            }
        }
    }
}

struct MemorySink {
    start: Start,
    prepared: Option<SinkBatch>,
    waiting: Arc<Waiting>,
}

impl Sink for MemorySink {
    fn start(&self) -> Start {
        self.start
    }

    fn prepare(&mut self, mut batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        let refuse = self.waiting.target.0.state.lock().refuse.clone();
        let mut refused = Vec::new();
        batch.records.retain(|record| {
            let takes = !refuse.contains(&record.offset);
            if !takes {
                refused.push(Refusal {
                    offset: record.offset,
                    code: "refused",
                    message: "told to".to_owned(),
                });
            }
            takes
        });
        self.prepared = Some(batch);
        async { Ok(refused) }.boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.waiting.progress.check()?;
            tokio::task::yield_now().await;
            let target = &self.waiting.target;
            if let Err(error) = target.next_step() {
                self.waiting.progress.failed(error.clone());
                return Err(error);
            }
            let Some(batch) = self.prepared.take() else {
                return Ok(());
            };
            let manual = {
                let mut state = target.0.state.lock();
                state.submitted_bytes += batch.payload_bytes();
                state.manual
            };
            let entry = (batch.next_offset, batch.records, batch.room);
            self.waiting.batches.lock().push(entry);
            if !manual {
                self.waiting.commit();
            }
            Ok(())
        }
        .boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.waiting.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.waiting.commit();
            self.waiting.progress.check()
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
