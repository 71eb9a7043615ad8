//! Works on batches with one instance at a time: sizes the calls, blames the record that ended one,
//! replaces the instance, and goes on. Every record of a batch gets its outputs or its failure,
//! exactly once and in order, whatever the module does.
//!
//! The work runs as one job on the guest threads; the caller only waits. If the caller goes away,
//! the job ends at its next tick and nothing of it is kept.

mod blame;
mod sizing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use wstream_record::{PartitionId, StoredRecord, TopicName};

use crate::failure::{Cause, Failure, Output};
use crate::guest::Guest;
use crate::keyed::KeyedState;
use crate::transform::Shared;
use blame::Worker;

/// Records of one partition, in order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InputBatch {
    topic: TopicName,
    partition: PartitionId,
    records: Arc<Vec<StoredRecord>>,
    /// The first record that is not done.
    from: usize,
}

impl InputBatch {
    /// Records of a partition. In a later step of a chain topic, partition and offsets are still
    /// the original records'.
    #[must_use]
    pub fn new(
        topic: TopicName,
        partition: PartitionId,
        records: impl Into<Arc<Vec<StoredRecord>>>,
    ) -> Self {
        Self {
            topic,
            partition,
            records: records.into(),
            from: 0,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The records that are not done.
    #[must_use]
    pub fn pending(&self) -> &[StoredRecord] {
        self.records.get(self.from..).unwrap_or_default()
    }

    /// All records of the batch: what the indices of outputs and failures count.
    #[must_use]
    pub fn records(&self) -> &Arc<Vec<StoredRecord>> {
        &self.records
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
#[must_use = "`rest` may hold records that are not done yet"]
pub struct Processed {
    /// Outputs in record order.
    pub outputs: Vec<Output>,
    /// Failures in record order.
    pub failures: Vec<Failure>,
    /// Records that are not done: hand them to `process` again. Outputs are held back no longer
    /// than 64 MiB of them, so a batch may come in parts; or see `error`.
    pub rest: Option<InputBatch>,
    /// No instance could be started for `rest`; nothing of it was tried. Try again later.
    pub error: Option<InitError>,
}

/// Why an instance did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// `wstream_init` refused the configuration.
    #[error("the module refused its configuration (code {code}): {message}")]
    Refused {
        /// The module's code.
        code: u16,
        /// The module's message.
        message: String,
    },
    /// It trapped, took too long, needed too much memory, or left.
    #[error("{step} ended with {}: {message}", cause.name())]
    Failed {
        /// What was called.
        step: &'static str,
        /// How it ended.
        cause: Cause,
        /// Why.
        message: String,
    },
}

impl InitError {
    pub(crate) fn failed(step: &'static str, cause: Cause, message: &str) -> Self {
        Self::Failed {
            step,
            cause,
            message: message.to_owned(),
        }
    }
}

/// An instance of a transform for one partition.
#[derive(Debug)]
pub struct Instance {
    shared: Arc<Shared>,
    keyed: KeyedState,
    /// `None` while a job has it, and after a job was given up. The lock is never taken: it is what
    /// lets an instance be looked at from two threads.
    worker: Mutex<Option<Worker>>,
}

/// Ends the job when the caller goes away before it is done.
struct GiveUp {
    flag: Arc<AtomicBool>,
    done: bool,
}

impl GiveUp {
    fn of(worker: &Worker) -> Self {
        Self {
            flag: worker.given_up(),
            done: false,
        }
    }
}

impl Drop for GiveUp {
    fn drop(&mut self) {
        if !self.done {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

impl Instance {
    pub(crate) async fn start(shared: Arc<Shared>, keyed: KeyedState) -> Result<Self, InitError> {
        let worker = Worker::new(Arc::clone(&shared), keyed.clone());
        let mut give_up = GiveUp::of(&worker);
        let runtime = Arc::clone(shared.module.runtime());
        let job = runtime.executor.run(async move {
            let mut worker = worker;
            let stopwatch = Arc::clone(worker.stopwatch());
            let started = stopwatch.watch(worker.ensure_guest()).await.map(drop);
            (worker, started)
        });
        let ended = job.await;
        give_up.done = true;
        let Ok((worker, started)) = ended else {
            return Err(InitError::failed(
                "starting",
                Cause::Trap,
                "the host failed",
            ));
        };
        started?;
        Ok(Self {
            shared,
            keyed,
            worker: Mutex::new(Some(worker)),
        })
    }

    /// Works on a batch. Dropping the future stops the work within a tick and loses the instance's
    /// memory, as a failure does; the records count as not done.
    pub async fn process(&mut self, batch: InputBatch) -> Processed {
        if batch.from >= batch.records.len() {
            return Processed::default();
        }
        let worker = self.worker.get_mut().take();
        let mut worker =
            worker.unwrap_or_else(|| Worker::new(Arc::clone(&self.shared), self.keyed.clone()));
        let mut give_up = GiveUp::of(&worker);
        let given = batch.clone();
        let job = self.shared.module.runtime().executor.run(async move {
            let stopwatch = Arc::clone(worker.stopwatch());
            let processed = stopwatch.watch(worker.process(given)).await;
            (worker, processed)
        });
        let ended = job.await;
        give_up.done = true;
        let Ok((worker, processed)) = ended else {
            // The job panicked, which is a fault of the host: the records are not to blame.
            let error = InitError::failed("a call", Cause::Trap, "the host failed");
            return Processed {
                rest: Some(batch),
                error: Some(error),
                ..Processed::default()
            };
        };
        *self.worker.get_mut() = Some(worker);
        processed
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
