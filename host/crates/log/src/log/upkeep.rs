//! What happens by itself: retention, the age of producers and segments, and tidying up. It runs on
//! a thread of its own, so that it never holds up a commit.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use wstream_record::Offset;

use super::Inner;
use crate::errors::DeleteError;
use crate::partition::Stream;
use crate::pool::{Again, Job, JobState, Ticker};
use crate::retention::{self, millis};
use crate::store::{Cleanup, LogStore, PartitionKey};

/// How often it is looked at whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Bytes of batches after which a stream is tidied up out of turn.
const TIDY_BYTES: u64 = 16 << 20;
/// How often `Log::maintain` has the store tidy up before it leaves the rest for later.
const TIDY_STEPS_MAX: usize = 10_000;

/// Does what retention and ages want.
#[derive(Debug)]
pub(super) struct Upkeep {
    state: JobState,
    log: Weak<Inner>,
}

/// Has the store tidy up, as long as there is something to do.
#[derive(Debug)]
pub(super) struct Tidy {
    state: JobState,
    store: Arc<dyn LogStore>,
    log: Weak<Inner>,
    /// Held while the store tidies up.
    at_work: Mutex<()>,
    failed: Mutex<Option<String>>,
}

/// What the ticker saw last.
#[derive(Debug, Default)]
struct Seen {
    upkeep_at: Duration,
    flushed_bytes: u64,
    stuck: bool,
}

type Raised = oneshot::Receiver<Result<Offset, DeleteError>>;

impl Inner {
    /// Raises starts as retention wants, forgets silent producers, has old segments rolled, removes
    /// what deleted topics left. Answers what tells that the starts are raised.
    pub(super) fn look_after(&self) -> Vec<Raised> {
        let now = self.shared.clock.now();
        self.look_after_reserve();
        let topics: Vec<_> = self.topics.read().values().cloned().collect();
        let mut raised = Vec::new();
        for topic in &topics {
            let config = &topic.info.config;
            let retains = config.retention_bytes.is_some() || config.retention_age.is_some();
            for partition in &topic.partitions {
                partition.expire_producers(self.config.producer_expiry);
                if !retains {
                    continue;
                }
                let extents = self.store.extents(partition.key());
                let marks = partition.marks();
                let start = retention::start_wanted(&extents, marks.high_watermark, config, now);
                if let Some(start) = start.filter(|&start| start > marks.log_start) {
                    tracing::debug!(partition = %partition.name(), %start, "retention raises the log start");
                    raised.extend(partition.raise_start(start));
                }
            }
        }
        if let Some(age) = retention::roll_age_ms(topics.iter().map(|t| &t.info.config)) {
            for stream in 0..self.streams.len() {
                self.store.roll_if_older(stream, age);
            }
        }
        self.remove_leftovers();
        raised
    }

    fn cleanup(&self, key: PartitionKey) -> Cleanup {
        let stream = self.streams.get(self.store.stream_of(key));
        let Some(partition) = stream.and_then(|stream| stream.partition(key)) else {
            return Cleanup::default();
        };
        let topics = self.topics.read();
        let topic = topics.get(&partition.name().topic);
        let Some(config) = topic
            .map(|t| &t.info.config)
            .filter(|c| c.cleanup.compacts())
        else {
            return Cleanup::default();
        };
        Cleanup {
            compact_below: Some(partition.marks().last_stable),
            tombstones_kept: millis(config.tombstones_kept),
        }
    }

    fn flushed_bytes(&self) -> u64 {
        self.streams.iter().map(|s| Stream::flushed_bytes(s)).sum()
    }

    fn on_tick(&self, seen: &mut Seen) {
        let now = self.shared.clock.monotonic();
        if now.saturating_sub(seen.upkeep_at) >= self.config.maintenance_interval {
            seen.upkeep_at = now;
            self.background.schedule(&self.upkeep);
        }
        let flushed = self.flushed_bytes();
        if flushed.saturating_sub(seen.flushed_bytes) >= TIDY_BYTES {
            seen.flushed_bytes = flushed;
            self.background.schedule(&self.tidy);
        }
        let stuck = self.stuck();
        if let (Some(problem), false) = (stuck.first(), seen.stuck) {
            tracing::error!(%problem, "the log does not get on");
        }
        seen.stuck = !stuck.is_empty();
    }
}

pub(super) fn start_ticker(log: &Arc<Inner>) -> io::Result<Ticker> {
    let interval = log.config.maintenance_interval.min(TICK);
    let log = Arc::downgrade(log);
    let seen = Mutex::new(Seen::default());
    Ticker::start(interval, move || {
        let Some(log) = log.upgrade() else {
            return false;
        };
        log.on_tick(&mut seen.lock());
        true
    })
}

#[cfg(test)]
impl super::Log {
    /// Queues what the ticker has done now and then: with `all` retention and ages too.
    pub(crate) fn schedule_upkeep(&self, all: bool) {
        if all {
            self.0.background.schedule(&self.0.upkeep);
        } else {
            self.0.background.schedule(&self.0.tidy);
        }
    }
}

impl Upkeep {
    pub(super) fn new(log: Weak<Inner>) -> Self {
        let state = JobState::default();
        Self { state, log }
    }
}

impl Job for Upkeep {
    fn name(&self) -> &'static str {
        "upkeep"
    }

    fn state(&self) -> &JobState {
        &self.state
    }

    fn run(&self) -> Again {
        if let Some(log) = self.log.upgrade() {
            drop(log.look_after());
            log.background.schedule(&log.tidy);
        }
        Again::No
    }
}

impl Tidy {
    pub(super) fn new(store: Arc<dyn LogStore>, log: Weak<Inner>) -> Self {
        Self {
            state: JobState::default(),
            store,
            log,
            at_work: Mutex::new(()),
            failed: Mutex::default(),
        }
    }

    /// Why it did not work the last time.
    pub(super) fn failed(&self) -> Option<String> {
        self.failed.lock().clone()
    }

    /// Does all there is to do.
    pub(super) fn all(&self) {
        for _ in 0..TIDY_STEPS_MAX {
            if self.step() == Again::No {
                return;
            }
        }
    }

    fn step(&self) -> Again {
        let _at_work = self.at_work.lock();
        let Some(log) = self.log.upgrade() else {
            return Again::No;
        };
        match self.store.tidy(&|key| log.cleanup(key)) {
            Ok(more) => {
                *self.failed.lock() = None;
                if more { Again::Yes } else { Again::No }
            }
            Err(error) => {
                tracing::warn!(%error, "could not tidy the log up, retrying later");
                *self.failed.lock() = Some(error.to_string());
                Again::No
            }
        }
    }
}

impl Job for Tidy {
    fn name(&self) -> &'static str {
        "tidy"
    }

    fn state(&self) -> &JobState {
        &self.state
    }

    fn run(&self) -> Again {
        self.step()
    }
}
