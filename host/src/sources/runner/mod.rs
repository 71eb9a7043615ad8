//! Drives a source: after any kill, at any moment, each row is in the log exactly once, in order
//! within its partition.
//!
//! Why: (1) the producer id is in a checkpoint before the first record is appended. (2) The log
//! takes an idempotent producer's records only in the order of their sequences, so what it has of
//! a partition is a prefix of what the source gives it. (3) Routing follows from rows and plan
//! alone. So reading again from a checkpoint gives each partition the same records, and the log's
//! next sequence says how many of them it has. A failed append is handled as a kill is: by reading
//! again from the checkpoint.
//!
//! Memory is bounded: one step of reading overlaps with the appending of the step before, and
//! `BATCHES_IN_FLIGHT_MAX` batches wait for their acknowledgement.

mod pass;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use wstream_log::Log;
use wstream_record::{Clock, TopicName};

use super::checkpoint::Checkpoints;
use super::rows::BATCH_BYTES;
use super::{InvalidSetting, Opened, SourceConfig, SourceError, file};
use crate::metrics::{Metrics, SourceMetrics};
use crate::shutdown::Shutdown;
use pass::{PassEnd, PassError};

/// What sources share.
#[derive(Debug, Clone)]
pub struct SourceDeps {
    /// Where records go.
    pub log: Log,
    /// Where positions are kept.
    pub checkpoints: Checkpoints,
    /// Time.
    pub clock: Clock,
    /// Where rows are counted.
    pub metrics: Metrics,
    /// How often things are done.
    pub pace: Pace,
}

/// How often things are done.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between two checkpoints while rows flow.
    pub checkpoint_interval: Duration,
    /// First and longest wait at the end of a followed file.
    pub poll: (Duration, Duration),
    /// First and longest wait after a failure.
    pub retry: (Duration, Duration),
    /// Rows of one step of reading: a stop waits no longer than for one step.
    pub step_rows_max: usize,
    /// Where a batch is closed.
    pub batch_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            checkpoint_interval: Duration::from_secs(5),
            poll: (Duration::from_millis(100), Duration::from_secs(1)),
            retry: (Duration::from_millis(100), Duration::from_secs(5)),
            step_rows_max: 100_000,
            batch_bytes: BATCH_BYTES,
        }
    }
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// It reads.
    Reading,
    /// It is at the end of a followed file, or the file is not there yet.
    Waiting,
    /// Something failed that may pass; it goes on by itself. `error` says what.
    Retrying,
    /// It read its input to the end, and everything is durable.
    Done,
    /// It cannot go on. `error` says why.
    Failed,
    /// It was stopped; the next start goes on where it was.
    Stopped,
}

/// A source at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Its name in the file.
    pub name: String,
    /// Its type in the file.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The file it reads.
    pub path: String,
    /// The topic it fills.
    pub topic: TopicName,
    /// What it is doing.
    pub state: SourceState,
    /// Records appended since the node started.
    pub records: u64,
    /// Dead letters appended since the node started.
    pub bad_rows: u64,
    /// Bytes of the input read, by earlier runs as well.
    pub bytes_read: u64,
    /// Bytes of the input.
    pub bytes_total: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A running source. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct SourceHandle {
    name: String,
    kind: &'static str,
    path: String,
    topic: TopicName,
    metrics: Arc<SourceMetrics>,
    phase: watch::Receiver<Phase>,
    shutdown: Shutdown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Phase {
    state: SourceState,
    error: Option<String>,
}

impl SourceState {
    /// Whether the source has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Stopped)
    }
}

impl SourceHandle {
    /// What the source is doing and how far it is.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        let Phase { state, error } = self.phase.borrow().clone();
        let gauge = |value: i64| u64::try_from(value).unwrap_or(0);
        SourceStatus {
            name: self.name.clone(),
            kind: self.kind,
            path: self.path.clone(),
            topic: self.topic.clone(),
            state,
            records: self.metrics.records.get(),
            bad_rows: self.metrics.bad_rows.get(),
            bytes_read: gauge(self.metrics.bytes_read.get()),
            bytes_total: gauge(self.metrics.bytes_total.get()),
            error,
        }
    }

    /// Waits until the source is done, failed or stopped. Cancel-safe.
    pub async fn finished(&self) -> SourceStatus {
        let mut phase = self.phase.clone();
        // An error means that the task is gone, and then so is what there was to wait for.
        drop(phase.wait_for(|phase| phase.state.is_final()).await);
        self.status()
    }

    /// Asks the source to stop and waits until what it read is durable and in a checkpoint.
    pub async fn stop(&self) -> SourceStatus {
        self.shutdown.ask();
        self.finished().await
    }

    /// Wakes when the source begins to do something else.
    #[must_use]
    pub fn changes(&self) -> SourceChanges {
        SourceChanges(self.phase.clone())
    }
}

/// Wakes when a source begins to do something else.
#[derive(Debug)]
pub struct SourceChanges(watch::Receiver<Phase>);

impl SourceChanges {
    /// Waits for the next change; `None` once there can be none. Cancel-safe.
    pub async fn next(&mut self) -> Option<SourceState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().state)
    }
}

type OpenFn = dyn Fn(&serde_json::Value, Option<&serde_json::Value>) -> Result<Opened, SourceError>
    + Send
    + Sync;

/// What is read and where it goes. Opening takes settings and a position as a checkpoint keeps them.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) kind: &'static str,
    pub(super) path: String,
    pub(super) topic: TopicName,
    pub(super) dead_letter_topic: TopicName,
    pub(super) config: serde_json::Value,
    pub(super) open: Arc<OpenFn>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.kind, self.path, self.topic)
    }
}

impl Input {
    fn new(config: &SourceConfig) -> Result<Self, InvalidSetting> {
        config.check()?;
        let mut settings = serde_json::to_value(config).expect("settings are strings and numbers");
        // A file is known by what is in it: moving it changes nothing.
        let path = settings.as_object_mut().and_then(|s| s.remove("path"));
        Ok(Self {
            kind: config.kind(),
            path: config.path().display().to_string(),
            topic: config.topic().clone(),
            dead_letter_topic: config.dead_letter_topic()?,
            config: settings,
            open: Arc::new(move |settings, position| {
                let mut settings = settings.clone();
                if let (Some(settings), Some(path)) = (settings.as_object_mut(), &path) {
                    settings.insert("path".to_owned(), path.clone());
                }
                let config = serde_json::from_value(settings);
                let config: SourceConfig = config.map_err(|e| SourceError::Unusable {
                    path: super::checkpoint::TOPIC.into(),
                    problem: format!("the settings in the checkpoint do not read: {e}"),
                    hint: "they were written by another version".into(),
                })?;
                file::open(&config, position)
            }),
        })
    }
}

/// Starts a source. It runs until its input ends, it fails, or it is asked to stop.
///
/// # Errors
/// A setting that cannot work.
pub fn start(
    name: &str,
    config: &SourceConfig,
    deps: &SourceDeps,
    shutdown: &Shutdown,
) -> Result<SourceHandle, InvalidSetting> {
    Ok(start_input(name, Input::new(config)?, deps, shutdown))
}

pub(super) fn start_input(
    name: &str,
    input: Input,
    deps: &SourceDeps,
    shutdown: &Shutdown,
) -> SourceHandle {
    let metrics = deps.metrics.source(name);
    metrics.done.set(0);
    let phase = watch::Sender::new(Phase {
        state: SourceState::Reading,
        error: None,
    });
    let stop = shutdown.child();
    let handle = SourceHandle {
        name: name.to_owned(),
        kind: input.kind,
        path: input.path.clone(),
        topic: input.topic.clone(),
        metrics: Arc::clone(&metrics),
        phase: phase.subscribe(),
        shutdown: stop.clone(),
    };
    let runner = Runner {
        name: name.to_owned(),
        input,
        deps: deps.clone(),
        metrics,
        phase,
        stop,
    };
    shutdown.spawn(runner.run());
    handle
}

/// One source at work.
#[derive(Debug)]
struct Runner {
    name: String,
    input: Input,
    deps: SourceDeps,
    metrics: Arc<SourceMetrics>,
    phase: watch::Sender<Phase>,
    stop: Shutdown,
}

impl Runner {
    async fn run(self) {
        let (first, longest) = self.deps.pace.retry;
        let mut wait = first;
        loop {
            let before = self.metrics.records.get() + self.metrics.bad_rows.get();
            let failed = match self.pass().await {
                Ok(PassEnd::Again) => continue,
                Ok(PassEnd::Done) => return self.end(SourceState::Done, None),
                Ok(PassEnd::Stopped) => return self.end(SourceState::Stopped, None),
                Err(PassError::Fatal(error)) => {
                    tracing::error!(source = %self.name, %error, "source failed");
                    return self.end(SourceState::Failed, Some(error));
                }
                Err(PassError::Retry(error)) => error,
            };
            if self.metrics.records.get() + self.metrics.bad_rows.get() > before {
                wait = first;
            }
            tracing::warn!(source = %self.name, error = %failed, ?wait, "source failed, going on");
            self.set(SourceState::Retrying, Some(failed));
            if !self.pause(wait).await {
                return self.end(SourceState::Stopped, None);
            }
            wait = longest.min(wait * 2);
        }
    }

    /// Waits; `false` once the source was asked to stop.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.stop.asked()).await.is_err()
    }

    fn set(&self, state: SourceState, error: Option<String>) {
        let phase = Phase { state, error };
        self.phase.send_if_modified(|now| {
            let changed = *now != phase;
            *now = phase;
            changed
        });
    }

    fn end(&self, state: SourceState, error: Option<String>) {
        self.metrics.done.set(i64::from(state == SourceState::Done));
        let records = self.metrics.records.get();
        let bad_rows = self.metrics.bad_rows.get();
        tracing::info!(source = %self.name, ?state, records, bad_rows, "source ended");
        self.set(state, error);
    }
}

#[cfg(test)]
mod tests;
