//! What a pipeline tells of itself: its state, rates, positions and lag.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use wstream_log::Partition;
use wstream_record::{Offset, PartitionId, TopicName, TopicPartition};

use crate::sinks::Durable;

/// How much of the last second's rate counts against what was before.
const RATE_WEIGHT: f64 = 0.5;
/// Rates below this are shown as none.
const RATE_MIN: f64 = 0.05;

/// What a pipeline does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PipelineState {
    /// Records pass.
    Flowing,
    /// There is nothing to do.
    Idle,
    /// A sink or the log does not take or give anything at the moment; `error` says why.
    Waiting,
    /// It has stopped; `error` says why.
    Failed,
    /// It was asked to finish and has delivered everything.
    Done,
}

/// A pipeline as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// What it does at the moment.
    pub state: PipelineState,
    /// The topics it reads.
    pub from: Vec<TopicName>,
    /// Its transforms, in order.
    pub transforms: Vec<TransformStatus>,
    /// The sinks of what leaves the last transform.
    pub to: Vec<String>,
    /// Where failed records go, if not to the source topic's own dead-letter topic.
    pub dead_letter: Option<TopicName>,
    /// Records read since the node started.
    pub in_total: u64,
    /// Records handed to sinks since the node started.
    pub out_total: u64,
    /// Records that failed since the node started.
    pub errors_total: u64,
    /// Records read in a second.
    pub in_per_second: f64,
    /// Records handed to sinks in a second.
    pub out_per_second: f64,
    /// Records failed in a second.
    pub errors_per_second: f64,
    /// Records not durable in the sinks yet, all partitions together.
    pub lag: i64,
    /// Each partition.
    pub partitions: Vec<PartitionStatus>,
    /// Why it waits or has failed.
    pub error: Option<String>,
}

/// A transform of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransformStatus {
    /// The module's name in service.
    pub module: String,
    /// The version it says it has.
    pub version: Option<String>,
}

/// One partition of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset that is not durable in every sink.
    pub position: Offset,
    /// Records from there to the high watermark.
    pub lag: i64,
}

/// How far one partition is, shared by its task and whoever asks.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) name: TopicPartition,
    partition: Partition,
    state: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    position: Offset,
    /// What every record has been through, transforms and dead letters included.
    processed: Offset,
    sinks: Vec<watch::Receiver<Durable>>,
    waiting: Option<Arc<str>>,
}

impl Progress {
    pub(super) fn new(partition: Partition, position: Offset) -> Self {
        Self {
            name: partition.name().clone(),
            partition,
            state: Mutex::new(Shown {
                position,
                processed: position,
                sinks: Vec::new(),
                waiting: None,
            }),
        }
    }

    /// The task has sinks and begins at `at`.
    pub(super) fn begin(&self, at: Offset, sinks: Vec<watch::Receiver<Durable>>) {
        let mut shown = self.state.lock();
        shown.processed = at;
        shown.sinks = sinks;
        shown.waiting = None;
    }

    pub(super) fn processed(&self, next: Offset) {
        self.state.lock().processed = next;
    }

    /// Says why nothing moves, or that it does.
    pub(super) fn wait(&self, why: Option<Arc<str>>) {
        self.state.lock().waiting = why;
    }

    pub(super) fn waiting(&self) -> Option<Arc<str>> {
        self.state.lock().waiting.clone()
    }

    /// The offset below which everything is durable in every sink.
    pub(super) fn position(&self) -> Offset {
        let mut shown = self.state.lock();
        let sinks = shown.sinks.iter().map(|s| s.borrow().next);
        // A sink's own position may lie ahead of what this task has read.
        let durable = sinks.min().unwrap_or(shown.processed);
        let position = if shown.sinks.is_empty() {
            shown.processed
        } else {
            durable
        };
        shown.position = position;
        position
    }

    pub(super) fn lag(&self) -> i64 {
        let end = self.partition.marks().high_watermark;
        end.0.saturating_sub(self.position().0).max(0)
    }

    pub(super) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            topic: self.name.topic.clone(),
            partition: self.name.partition,
            position: self.position(),
            lag: self.lag(),
        }
    }
}

/// Events per second, smoothed over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    total: u64,
    per_second: f64,
}

impl Rate {
    /// Begins to count at `total`.
    pub(super) fn at(total: u64) -> Self {
        Self {
            total,
            per_second: 0.0,
        }
    }

    /// Takes note of the total after some time.
    pub(super) fn note(&mut self, total: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits"
        )]
        let now = total.saturating_sub(self.total) as f64 / seconds;
        self.per_second += (now - self.per_second) * RATE_WEIGHT;
        self.total = total;
    }

    pub(super) fn per_second(&self) -> f64 {
        if self.per_second < RATE_MIN {
            0.0
        } else {
            self.per_second
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_and_fade() {
        let mut rate = Rate::at(100);
        for total in [1100, 2100, 3100, 4100, 5100] {
            rate.note(total, Duration::from_secs(1));
        }
        assert!((rate.per_second() - 1000.0).abs() < 50.0, "{rate:?}");
        rate.note(9999, Duration::ZERO);
        (0..20).for_each(|_| rate.note(5100, Duration::from_secs(1)));
        assert!(rate.per_second().abs() < f64::EPSILON, "{rate:?}");
    }
}
