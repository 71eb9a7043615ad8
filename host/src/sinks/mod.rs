//! Where records go: each sink says what it has accepted and what survives a crash.
//!
//! A `Sink` is one way into a target: it belongs to one pipeline and one partition, and gets that
//! partition's records in order. `prepare` says what can never be taken, `submit` accepts or
//! waits; `durable` follows the offset below which nothing can be lost any more. The pipeline commits positions from `durable` only, so a
//! crash at any point repeats records and never loses one; a sink whose target holds the position
//! itself (`Start`) makes that exactly once.
//!
//! | sink | durable when | start | twice after a crash |
//! |---|---|---|---|
//! | `search`, one index | the index has committed | the index's own position | never |
//! | `search`, index by time | every index it fed has committed | the group's; each index skips what it has | never |
//! | `file` | the file has its final name | what the names say | never |
//! | `topic` | the log has acknowledged | the group's | records of the last second |
//! | `stdout` | it is written | the group's | records of the last second |
//! | `dashboard` | it is counted | the group's | - |
//!
//! A sink does not retry: it fails, and the pipeline opens it anew and goes on from what is
//! durable, after a pause that grows.

mod config;
#[cfg(test)]
pub(crate) mod conformance;
mod dashboard;
mod file;
mod id;
#[cfg(test)]
pub(crate) mod memory;
mod pattern;
mod progress;
mod search;
mod stdout;
mod topic;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};

use wstream_log::Log;
use wstream_record::{Clock, Offset, PartitionId, Record, TopicPartition};
use wstream_search::Search;

use crate::metrics::{Metrics, SinkMetrics};

pub use config::{
    DashboardSinkConfig, FileFormat, FileSinkConfig, PartitionBy, SearchSinkConfig, SinkConfig,
    StdoutFormat, StdoutSinkConfig, TopicSinkConfig,
};
pub use pattern::{IndexPattern, PatternError};

/// One way into a target, for one partition of one pipeline.
pub trait Sink: Send + Sync {
    /// From where this sink needs records.
    fn start(&self) -> Start;

    /// Gets a batch ready and answers what this sink can never take of it. Nothing of the batch
    /// reaches the target yet: the refused records are put in safety first, so that no crash falls
    /// between a position and a dead letter.
    ///
    /// Batches come in the order of their offsets and hold all outputs of each record they cover.
    fn prepare(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>>;

    /// Takes the prepared batch, or waits until it can.
    ///
    /// After an error, or when the future is dropped before its end, no other batch may follow:
    /// the sink is opened anew.
    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// What survives a crash, as it moves.
    fn durable(&self) -> watch::Receiver<Durable>;

    /// Makes everything submitted durable now, without waiting for size or age.
    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Lets go of the target and waits until nothing of the sink is at work there any more, so
    /// that it can be opened anew. It makes nothing durable.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Where a sink's records have to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the group's committed position.
    Group,
    /// At the group's position, but what lies below this one is in the target already.
    AtLeast(Offset),
    /// Exactly here: the target itself holds the position, whatever the group says.
    Exactly(Offset),
}

/// Below `next` nothing can be lost any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// The offset of the first record that a crash may take.
    pub next: Offset,
    /// Why the sink has stopped. It takes nothing any more.
    pub failed: Option<SinkError>,
}

/// Records for a sink: what became of the input records below `next_offset`.
#[derive(Debug)]
pub struct SinkBatch {
    /// The offset of the first input record it covers.
    pub first_offset: Offset,
    /// The offset after the last input record it covers, be there an output of it or not.
    pub next_offset: Offset,
    /// Outputs, by offset and within a record in the order in which they were made.
    pub records: Vec<SinkRecord>,
    /// Room in the pipeline's bound on what is submitted and not durable; dropping it gives the
    /// room back.
    pub room: Option<OwnedSemaphorePermit>,
}

impl SinkBatch {
    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.records.iter().map(|r| r.record.payload_bytes()).sum()
    }
}

/// A record on its way into a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRecord {
    /// The offset of the input record that it came from.
    pub offset: Offset,
    /// Which of that record's outputs to this sink it is, from 0.
    pub n: u32,
    /// The partition that the transform chose, if it did.
    pub partition: Option<PartitionId>,
    /// The record.
    pub record: Record,
}

/// A record that a sink can never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The offset of the input record.
    pub offset: Offset,
    /// A short word for what is wrong.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Why a sink stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may work later: a full disk, a write that failed.
    #[error("{0}")]
    Retry(Arc<str>),
    /// It cannot work as it is configured.
    #[error("{0}")]
    Fatal(Arc<str>),
}

impl SinkError {
    /// A failure that may pass.
    pub fn retry(error: impl ToString) -> Self {
        Self::Retry(error.to_string().into())
    }

    /// A failure that stays until someone changes something.
    pub fn fatal(error: impl ToString) -> Self {
        Self::Fatal(error.to_string().into())
    }
}

/// For whom a sink is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The partition whose records come.
    pub partition: TopicPartition,
    /// The group's committed position there: where a sink without one of its own begins.
    pub position: Offset,
}

/// What sinks are made of.
#[derive(Debug, Clone)]
pub struct SinkDeps {
    /// The node's log.
    pub log: Log,
    /// The node's indices.
    pub search: Search,
    /// The node's dashboards.
    pub dashboards: DashboardHook,
    /// The node's metrics.
    pub metrics: Metrics,
    /// Time.
    pub clock: Clock,
    /// Where `stdout` sinks write.
    pub stdout: Stdout,
}

/// What a dashboard sink tells the dashboards: that this one gets records.
#[derive(Clone)]
pub struct DashboardHook(Arc<HookFn>);

type HookFn = dyn Fn(&str) -> Result<(), String> + Send + Sync;

impl DashboardHook {
    /// Calls `hook` with the dashboard's name when a sink is opened; it makes sure that the
    /// dashboard and its index exist, or says what is wrong.
    pub fn new(hook: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// No dashboards: each name is fine.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_| Ok(()))
    }

    fn opened(&self, dashboard: &str) -> Result<(), String> {
        (self.0)(dashboard)
    }
}

impl std::fmt::Debug for DashboardHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DashboardHook")
    }
}

/// Where `stdout` sinks write, one batch at a time.
#[derive(Clone)]
pub struct Stdout(Arc<Mutex<dyn std::io::Write + Send>>);

impl Stdout {
    /// The process's standard output.
    #[must_use]
    pub fn process() -> Self {
        Self::to(std::io::stdout())
    }

    /// Another place, for tests.
    pub fn to(write: impl std::io::Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(write)))
    }
}

impl std::fmt::Debug for Stdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stdout")
    }
}

/// A sink as a pipeline names it.
#[derive(Debug, Clone)]
pub struct SinkTarget {
    /// Its name in the file.
    pub name: Arc<str>,
    kind: TargetKind,
}

#[derive(Debug, Clone)]
enum TargetKind {
    Config(SinkConfig),
    #[cfg(test)]
    Memory(memory::MemoryTarget),
}

impl SinkTarget {
    /// The sink `name` as configured.
    #[must_use]
    pub fn new(name: &str, config: SinkConfig) -> Self {
        Self {
            name: name.into(),
            kind: TargetKind::Config(config),
        }
    }

    /// A sink that records what it gets and fails when told.
    #[cfg(test)]
    #[must_use]
    pub fn memory(name: &str, target: memory::MemoryTarget) -> Self {
        Self {
            name: name.into(),
            kind: TargetKind::Memory(target),
        }
    }

    /// Opens the way into the target for one partition of a pipeline.
    ///
    /// # Errors
    /// The target cannot be had: for good, or for now.
    pub async fn open(&self, origin: Origin, deps: &SinkDeps) -> Result<Box<dyn Sink>, SinkError> {
        match &self.kind {
            TargetKind::Config(config) => {
                open_configured(config, origin, deps, deps.metrics.sink(&self.name)).await
            }
            #[cfg(test)]
            TargetKind::Memory(target) => target.open(&origin),
        }
    }
}

async fn open_configured(
    config: &SinkConfig,
    origin: Origin,
    deps: &SinkDeps,
    metrics: Arc<SinkMetrics>,
) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match config {
        SinkConfig::Search(c) => search::open(c, origin, deps, metrics).await?,
        SinkConfig::Dashboard(c) => dashboard::open(c, &origin, deps, metrics)?,
        SinkConfig::Topic(c) => topic::open(c, &origin, deps, metrics)?,
        SinkConfig::File(c) => file::open(c, &origin, metrics).await?,
        SinkConfig::Stdout(c) => stdout::open(c, origin, deps, metrics),
    })
}

/// Counts what a sink accepted.
fn count(metrics: &SinkMetrics, batch: &SinkBatch) {
    metrics.records.add(batch.records.len() as u64);
    metrics.bytes.add(batch.payload_bytes() as u64);
}
