//! A running pipeline: starts a task for each partition, also for those that are added later,
//! commits positions, and ends when all have ended.
//!
//! Positions are committed once a second, for all partitions in one record, and once more at the
//! end. A failure of one partition stops the whole pipeline: it says so and keeps the positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use wstream_record::{Offset, TopicPartition};

use super::lane::Room;
use super::plan::Plan;
use super::runner::{self, Ended, Shared};
use super::status::{PipelineState, PipelineStatus, Progress, Rate, TransformStatus};
use super::{GROUP_PREFIX, PipelineDeps};
use crate::groups::OffsetCommit;

/// How often positions are committed, new partitions are looked for, and rates are taken.
const TICK: Duration = Duration::from_secs(1);

/// A running pipeline. Dropping it ends it as a crash would; `stop` ends it well.
#[derive(Debug)]
pub struct Pipeline {
    state: Arc<State>,
    task: JoinHandle<()>,
    ended: watch::Receiver<bool>,
}

struct State {
    shared: Arc<Shared>,
    partitions: Mutex<BTreeMap<TopicPartition, Arc<Progress>>>,
    rates: Mutex<Rates>,
    outcome: Mutex<Option<Ended>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pipeline")
            .field(&self.shared.plan.name)
            .finish()
    }
}

#[derive(Debug, Default)]
struct Rates {
    taken: Duration,
    records_in: Rate,
    records_out: Rate,
    errors: Rate,
}

impl Pipeline {
    /// Starts the pipeline. It goes on from its committed positions.
    #[must_use]
    pub fn start(plan: Plan, deps: PipelineDeps) -> Self {
        let plan = Arc::new(plan);
        let metrics = deps.sinks.metrics.pipeline(&plan.name);
        let rooms = plan
            .sinks
            .iter()
            .map(|_| Room::new(deps.not_durable_bytes_max));
        let rooms = rooms.collect();
        let shared = Arc::new(Shared {
            group: format!("{GROUP_PREFIX}{}", plan.name),
            rooms,
            stop: deps.shutdown.child(),
            drain: watch::Sender::new(false),
            metrics,
            plan,
            deps,
        });
        let rates = Rates {
            taken: shared.deps.sinks.clock.monotonic(),
            records_in: Rate::at(shared.metrics.records_in.get()),
            records_out: Rate::at(shared.metrics.records_out.get()),
            errors: Rate::at(errors(&shared)),
        };
        let state = Arc::new(State {
            shared,
            partitions: Mutex::default(),
            rates: Mutex::new(rates),
            outcome: Mutex::new(None),
        });
        let (tell, ended) = watch::channel(false);
        let supervised = Arc::clone(&state);
        let task = tokio::spawn(async move {
            supervise(&supervised).await;
            tell.send_replace(true);
        });
        Self { state, task, ended }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.shared.plan.name
    }

    /// Its plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.state.shared.plan
    }

    /// What it does at the moment.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        self.state.status()
    }

    /// Tells what it does, also when the pipeline itself has been let go.
    pub fn probe(&self) -> impl Fn() -> PipelineStatus + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move || state.status()
    }

    /// Asks it to end once everything in its topics is delivered and durable: nothing more comes.
    /// For a pipeline that reads what another one writes, only once that one has ended.
    pub fn drain(&self) {
        self.state.shared.drain.send_replace(true);
    }

    /// Waits until it has ended by itself: done, or failed. Cancel-safe.
    pub async fn finished(&self) -> PipelineState {
        let mut ended = self.ended.clone();
        // The sender goes only when the task does.
        ended.wait_for(|&ended| ended).await.ok();
        self.state.status().state
    }

    /// Stops it: sinks make durable what they have, positions are committed. What was under way
    /// is redone at the next start.
    pub async fn stop(mut self) -> PipelineStatus {
        self.state.shared.stop.ask();
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            error!(pipeline = self.name(), %error, "a pipeline panicked");
        }
        self.state.status()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn errors(shared: &Shared) -> u64 {
    shared.metrics.dead_letters.total() + shared.metrics.skipped.get()
}

/// The partition whose task ended, and how.
type Task = (TopicPartition, Ended);

async fn supervise(state: &Arc<State>) {
    let shared = &state.shared;
    let name = &shared.plan.name;
    info!(pipeline = %name, "pipeline started");
    let mut tasks: JoinSet<Task> = JoinSet::new();
    let mut committed = BTreeMap::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed: Option<Arc<str>> = None;
    let mut drain = shared.drain.subscribe();
    start_new_partitions(state, &mut tasks);
    loop {
        let draining = *drain.borrow_and_update();
        if tasks.is_empty() && (shared.stop.is_asked() || draining) {
            break;
        }
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                // A task sees the wish to drain as soon as this loop does, or sooner.
                if let Some(why) = note_end(state, ended, *drain.borrow()) {
                    error!(pipeline = %name, error = %why, "pipeline failed");
                    failed.get_or_insert(why);
                    shared.stop.ask();
                }
            }
            _ = tick.tick() => {
                state.take_rates();
                commit(state, &mut committed).await;
                if !shared.stop.is_asked() {
                    start_new_partitions(state, &mut tasks);
                }
            }
            () = shared.stop.asked(), if !shared.stop.is_asked() => {}
            _ = drain.changed() => {}
        }
    }
    commit(state, &mut committed).await;
    state.take_rates();
    let outcome = match failed {
        Some(why) => Ended::Failed(why),
        None if *drain.borrow() && !shared.stop.is_asked() => Ended::Done,
        None => Ended::Stopped,
    };
    info!(pipeline = %name, ?outcome, "pipeline ended");
    *state.outcome.lock() = Some(outcome);
}

/// Takes note of an ended task; answers why the pipeline has to stop, if it has to.
fn note_end(
    state: &State,
    ended: Result<Task, tokio::task::JoinError>,
    draining: bool,
) -> Option<Arc<str>> {
    match ended {
        Ok((_, Ended::Stopped)) => None,
        Ok((_, Ended::Done)) => {
            debug_assert!(draining, "only a pipeline that drains is done");
            None
        }
        Ok((name, Ended::Gone)) => {
            state.partitions.lock().remove(&name);
            None
        }
        Ok((name, Ended::Failed(why))) => Some(format!("{name}: {why}").into()),
        Err(error) => Some(format!("a task ended: {error}").into()),
    }
}

/// Partitions that have no task get one: all at the start, those that are added later, those of
/// topics that are created later.
fn start_new_partitions(state: &Arc<State>, tasks: &mut JoinSet<Task>) {
    let shared = &state.shared;
    let mut known = state.partitions.lock();
    for topic in &shared.plan.from {
        for partition in shared.deps.sinks.log.partitions(topic) {
            let name = partition.name().clone();
            if known.contains_key(&name) {
                continue;
            }
            let position = shared.deps.offsets.fetch(&shared.group, &name);
            let log_start = partition.marks().log_start;
            let position = position.map_or(log_start, |c| c.offset.max(log_start));
            let progress = Arc::new(Progress::new(partition.clone(), position));
            known.insert(name.clone(), Arc::clone(&progress));
            let shared = Arc::clone(shared);
            tasks.spawn(async move {
                let ended = runner::run(shared, partition, progress).await;
                (name, ended)
            });
        }
    }
}

/// Commits the positions that moved. A failure is told and made up for at the next tick.
async fn commit(state: &State, committed: &mut BTreeMap<TopicPartition, Offset>) {
    let shared = &state.shared;
    let positions: Vec<(TopicPartition, Offset)> = {
        let partitions = state.partitions.lock();
        let positions = partitions.iter().map(|(tp, p)| (tp.clone(), p.position()));
        positions.collect()
    };
    let moved = positions
        .into_iter()
        .filter(|(tp, offset)| committed.get(tp) != Some(offset));
    let moved: Vec<OffsetCommit> = moved
        .map(|(partition, offset)| OffsetCommit {
            partition,
            offset,
            metadata: String::new(),
        })
        .collect();
    if let Err(error) = shared.deps.offsets.commit(&shared.group, &moved).await {
        warn!(pipeline = %shared.plan.name, %error, "could not commit positions");
        return;
    }
    for commit in moved {
        committed.insert(commit.partition, commit.offset);
    }
}

impl State {
    fn take_rates(&self) {
        let now = self.shared.deps.sinks.clock.monotonic();
        let metrics = &self.shared.metrics;
        let mut rates = self.rates.lock();
        let elapsed = now.saturating_sub(rates.taken);
        rates.taken = now;
        rates.records_in.note(metrics.records_in.get(), elapsed);
        rates.records_out.note(metrics.records_out.get(), elapsed);
        rates.errors.note(errors(&self.shared), elapsed);
        drop(rates);
        metrics.lag.set(self.lag());
    }

    fn lag(&self) -> i64 {
        let partitions = self.partitions.lock();
        partitions.values().map(|p| p.lag()).sum()
    }

    fn status(&self) -> PipelineStatus {
        let shared = &self.shared;
        let (plan, metrics) = (&shared.plan, &shared.metrics);
        let partitions: Vec<Arc<Progress>> = self.partitions.lock().values().cloned().collect();
        let waiting = partitions.iter().find_map(|p| p.waiting());
        let partitions: Vec<_> = partitions.iter().map(|p| p.status()).collect();
        let lag = partitions.iter().map(|p| p.lag).sum();
        let rates = self.rates.lock();
        let (state, error) = match (&*self.outcome.lock(), waiting) {
            (Some(Ended::Failed(why)), _) => (PipelineState::Failed, Some(why.to_string())),
            (Some(Ended::Done | Ended::Gone), _) => (PipelineState::Done, None),
            (None, Some(why)) => (PipelineState::Waiting, Some(why.to_string())),
            _ if lag > 0 || rates.records_in.per_second() > 0.0 => (PipelineState::Flowing, None),
            _ => (PipelineState::Idle, None),
        };
        PipelineStatus {
            name: plan.name.to_string(),
            state,
            from: plan.from.clone(),
            transforms: plan
                .steps
                .iter()
                .map(|s| TransformStatus {
                    module: s.name.to_string(),
                    version: s.version.as_deref().map(str::to_owned),
                })
                .collect(),
            to: plan.to.iter().map(|s| s.to_string()).collect(),
            dead_letter: plan.dead_letter.clone(),
            in_total: metrics.records_in.get(),
            out_total: metrics.records_out.get(),
            errors_total: errors(shared),
            in_per_second: rates.records_in.per_second(),
            out_per_second: rates.records_out.per_second(),
            errors_per_second: rates.errors.per_second(),
            lag,
            partitions,
            error,
        }
    }
}
