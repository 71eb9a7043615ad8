//! One partition of a pipeline, kept going: session after session until it is stopped, done or
//! cannot go on.
//!
//! Whatever fails in a way that may pass ends a session; after a pause that grows the next one
//! begins at what is durable by then. Nothing is committed here: the sinks say what is durable,
//! and the pipeline commits that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use wstream_log::{Partition, ReadError};
use wstream_record::{Offset, TopicPartition};
use wstream_transform::{Cause, InitError};

use super::PipelineDeps;
use super::backoff::Backoff;
use super::dead_letter::DeadLetterError;
use super::lane::{Lane, Room};
use super::plan::Plan;
use super::session::{Session, finish_state};
use super::state::{StateError, StateLog};
use super::status::Progress;
use crate::metrics::PipelineMetrics;
use crate::shutdown::Shutdown;
use crate::sinks::{Origin, SinkError};

/// How long sinks may take to make things durable when a partition stops.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);

/// What the tasks of a pipeline share.
pub(super) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) deps: PipelineDeps,
    pub(super) group: String,
    pub(super) metrics: Arc<PipelineMetrics>,
    /// One per sink of the plan.
    pub(super) rooms: Vec<Room>,
    /// Asks all tasks of the pipeline to stop.
    pub(super) stop: Shutdown,
    /// Whether to end once everything is delivered.
    pub(super) drain: watch::Sender<bool>,
}

/// How the work on a partition ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Everything is delivered and durable.
    Done,
    /// The partition was deleted, or the log closed.
    Gone,
    /// It cannot go on.
    Failed(Arc<str>),
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Exit {
    Ended(Ended),
    /// It may work later.
    Retry(Arc<str>),
}

impl Exit {
    pub(super) fn failed(why: impl Into<Arc<str>>) -> Self {
        Self::Ended(Ended::Failed(why.into()))
    }

    pub(super) fn retry(error: &impl ToString) -> Self {
        Self::Retry(error.to_string().into())
    }

    /// A transform whose instance does not start: for want of memory it may start later.
    pub(super) fn init(transform: &str, error: &InitError) -> Self {
        let why = format!("transform {transform}: {error}");
        match error {
            InitError::Failed {
                cause: Cause::Memory,
                ..
            } => Self::retry(&why),
            InitError::Refused { .. } | InitError::Failed { .. } => Self::failed(why),
        }
    }
}

impl From<SinkError> for Exit {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Retry(why) => Self::Retry(why),
            SinkError::Fatal(why) => Self::failed(why),
        }
    }
}

impl From<ReadError> for Exit {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Ended(Ended::Gone),
            ReadError::PastEnd { at, end } => Self::failed(format!(
                "position {at} is past the end {end} of the partition, so the topic is not the \
                 one it was: reset the group or delete the index"
            )),
            ReadError::Trimmed { .. }
            | ReadError::FencedLeader { .. }
            | ReadError::UnknownLeader { .. }
            | ReadError::Corrupt { .. }
            | ReadError::Failed(_) => Self::retry(&error),
        }
    }
}

impl From<StateError> for Exit {
    fn from(error: StateError) -> Self {
        if error.is_closed() {
            Self::Ended(Ended::Gone)
        } else if error.may_pass() {
            Self::retry(&error)
        } else {
            Self::failed(error.to_string())
        }
    }
}

impl From<DeadLetterError> for Exit {
    fn from(error: DeadLetterError) -> Self {
        if error.may_pass() {
            Self::retry(&error)
        } else {
            Self::failed(error.to_string())
        }
    }
}

/// Works on one partition until it is stopped, done, gone or failed.
pub(super) async fn run(
    shared: Arc<Shared>,
    partition: Partition,
    progress: Arc<Progress>,
) -> Ended {
    let name = partition.name().clone();
    let mut backoff = Backoff::new(seed(&name));
    loop {
        let began = progress.position();
        let why = match session(&shared, &partition, &progress).await {
            Exit::Ended(ended) => return ended,
            Exit::Retry(why) => why,
        };
        if progress.position() > began {
            backoff.reset();
        }
        let pause = backoff.next();
        let pipeline = &shared.plan.name;
        warn!(%pipeline, partition = %name, error = %why, ?pause, "could not deliver, trying again");
        progress.wait(Some(why));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.stop.asked() => return Ended::Stopped,
        }
    }
}

fn seed(name: &TopicPartition) -> u64 {
    u64::from(wstream_kafka::murmur2(name.to_string().as_bytes()))
}

async fn session(shared: &Arc<Shared>, partition: &Partition, progress: &Progress) -> Exit {
    let (mut lanes, mut state) = (Vec::new(), None);
    let keeps_state = shared.plan.keeps_state();
    let work = async {
        let at = open(shared, partition, &mut lanes, &mut state).await?;
        progress.begin(at, lanes.iter().map(Lane::durable).collect());
        let (lanes, state) = (&mut lanes, &mut state);
        let session = Session::start(shared, partition, progress, lanes, state, at).await?;
        session.run().await
    };
    // Giving up the work half-way is safe: what a sink has taken counts once it is durable, and
    // nothing follows in this session. With keyed state it would be done again, so the chunk in
    // work gets its time.
    let stopped = async {
        shared.stop.asked().await;
        if keeps_state {
            tokio::time::sleep(FLUSH_TIME_MAX).await;
        }
    };
    let exit = tokio::select! {
        biased;
        () = stopped => Exit::Ended(Ended::Stopped),
        ended = work => ended.map_or_else(|exit| exit, Exit::Ended),
    };
    if matches!(exit, Exit::Ended(Ended::Stopped | Ended::Failed(_))) {
        let flushed = tokio::time::timeout(FLUSH_TIME_MAX, async {
            flush(&mut lanes).await?;
            finish_state(&mut state, &lanes, progress.position()).await
        });
        let flushed = flushed.await;
        if !matches!(flushed, Ok(Ok(()))) {
            warn!(pipeline = %shared.plan.name, partition = %partition.name(),
                "stopped before all was durable; it will be delivered again");
        }
    }
    for lane in lanes {
        lane.close().await;
    }
    exit
}

pub(super) async fn flush(lanes: &mut [Lane]) -> Result<(), SinkError> {
    for lane in lanes {
        lane.flush().await?;
    }
    Ok(())
}

/// Opens keyed state and a lane per sink; answers the offset to go on from: where the state is, else
/// the lowest that a sink needs.
async fn open(
    shared: &Shared,
    partition: &Partition,
    lanes: &mut Vec<Lane>,
    state: &mut Option<StateLog>,
) -> Result<Offset, Exit> {
    let deps = &shared.deps;
    let name = partition.name();
    let log_start = partition.marks().log_start;
    let committed = deps.offsets.fetch(&shared.group, name);
    *state = StateLog::open(&deps.sinks.log, &deps.sinks.clock, &shared.plan, name).await?;
    let kept = state.as_ref().and_then(StateLog::position);
    let group = kept.unwrap_or_else(|| committed.map_or(log_start, |c| c.offset));
    let mut start: Option<Offset> = None;
    for (target, room) in shared.plan.sinks.iter().zip(&shared.rooms) {
        let origin = Origin {
            pipeline: Arc::clone(&shared.plan.name),
            partition: name.clone(),
            position: group,
        };
        let sink = target.open(origin, &deps.sinks).await.map_err(|error| {
            let why: Arc<str> = format!("sink {}: {error}", target.name).into();
            match error {
                SinkError::Retry(_) => Exit::Retry(why),
                SinkError::Fatal(_) => Exit::failed(why),
            }
        })?;
        let metrics = deps.sinks.metrics.sink(&target.name);
        let metrics = (metrics, Arc::clone(&shared.metrics));
        let lane = Lane::new(
            target,
            sink,
            room.clone(),
            metrics,
            deps.sinks.clock.clone(),
        );
        let needs = lane.start(group);
        start = Some(start.map_or(needs, |s| s.min(needs)));
        lanes.push(lane);
    }
    let start = start.unwrap_or(group).max(log_start);
    match (state, kept) {
        (Some(state), Some(kept)) if start < kept => {
            let pipeline = &shared.plan.name;
            warn!(%pipeline, partition = %name, %start, %kept,
                "a sink begins before the keyed state, which therefore begins anew");
            state.clear(start, &shared.plan).await?;
            Ok(start)
        }
        // What the sinks have already, they pass over.
        (_, Some(kept)) => Ok(kept.max(log_start)),
        // State that is new begins here; the session stores that before a sink gets anything.
        _ => Ok(start),
    }
}
