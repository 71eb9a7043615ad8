//! The transforms of one partition, one after the other: every record of a chunk ends as outputs,
//! as a failure, or dropped by the guest; never as two of these.
//!
//! A record that fails anywhere on its way has no outputs at all, so that replaying its dead
//! letter repeats nothing. A step may give back a part of a batch; then that part goes through the
//! later steps first, so that what is held back stays small however much a guest makes of a
//! record. `Work` is what is under way; `complete` hands out the records below its frontier.

use std::collections::BTreeSet;
use std::sync::Arc;

use wstream_record::{Offset, PartitionId, Record, StoredRecord, TopicPartition};
use wstream_transform::{Failure, InitError, InputBatch, Instance, Output};

use super::config::OnFailure;
use super::dead_letter::{Letter, Reason, Stage};
use super::plan::{Plan, Step};
use super::reader::Chunk;
use super::state::StateLog;

/// Bytes of finished outputs at which they go to the sinks before the chunk is done.
const READY_BYTES: usize = 8 << 20;

/// One instance per step.
#[derive(Debug)]
pub(super) struct Chain {
    plan: Arc<Plan>,
    of: TopicPartition,
    /// Instead of a dead letter.
    stop_on_failure: bool,
    instances: Vec<Instance>,
}

/// The transform whose instance did not start.
pub(super) type StepError = (Arc<str>, InitError);

/// An output that has left the chain.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) route: usize,
    pub(super) offset: Offset,
    pub(super) partition: Option<PartitionId>,
    pub(super) record: Record,
}

/// A chunk under way.
#[derive(Debug)]
pub(super) struct Work {
    originals: Arc<Vec<StoredRecord>>,
    /// Batches to do, the next one last; the deeper, the later its offsets.
    stack: Vec<(usize, InputBatch)>,
    from: Offset,
    next: Offset,
    ready: Vec<Ready>,
    ready_bytes: usize,
    failed: BTreeSet<Offset>,
    letters: Vec<Letter>,
    skipped: u64,
    stop_on_failure: bool,
    stop: Option<(Offset, Reason)>,
}

/// What became of the input records of a range.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) first: Offset,
    pub(super) next: Offset,
    pub(super) ready: Vec<Ready>,
    pub(super) letters: Vec<Letter>,
    pub(super) skipped: u64,
    /// The record that ends the pipeline by its policy; it begins at `next`.
    pub(super) stop: Option<Reason>,
}

impl Complete {
    /// Bytes of the records in it.
    pub(super) fn bytes(&self) -> usize {
        let ready = self.ready.iter().map(|r| r.record.payload_bytes());
        let letters = self.letters.iter().map(|l| l.record.payload_bytes());
        ready.sum::<usize>() + letters.sum::<usize>()
    }
}

impl Chain {
    /// Instances of all steps.
    pub(super) async fn start(
        plan: Arc<Plan>,
        of: TopicPartition,
        stop_on_failure: bool,
        state: Option<&StateLog>,
    ) -> Result<Self, StepError> {
        let mut instances = Vec::with_capacity(plan.steps.len());
        for (number, step) in plan.steps.iter().enumerate() {
            let instance = match state.and_then(|state| state.table(number)) {
                Some(table) => step.transform.instantiate_with(table).await,
                None => step.transform.instantiate().await,
            };
            instances.push(instance.map_err(|error| (Arc::clone(&step.name), error))?);
        }
        Ok(Self {
            plan,
            of,
            stop_on_failure,
            instances,
        })
    }

    /// Takes a chunk's records on.
    pub(super) fn begin(&self, chunk: Chunk) -> Work {
        let mut work = Work {
            originals: Arc::default(),
            stack: Vec::new(),
            from: chunk.first,
            next: chunk.next,
            ready: Vec::new(),
            ready_bytes: 0,
            failed: BTreeSet::new(),
            letters: Vec::new(),
            skipped: 0,
            stop_on_failure: self.stop_on_failure,
            stop: None,
        };
        if self.plan.steps.is_empty() {
            let ready = chunk.records.into_iter().map(|stored| Ready {
                route: 0,
                offset: stored.offset,
                partition: None,
                record: stored.record,
            });
            work.ready = ready.collect();
        } else if !chunk.records.is_empty() {
            let batch = self.batch(chunk.records);
            work.originals = Arc::clone(batch.records());
            work.stack.push((0, batch));
        }
        work
    }

    fn batch(&self, records: Vec<StoredRecord>) -> InputBatch {
        InputBatch::new(self.of.topic.clone(), self.of.partition, records)
    }

    /// Does the next part of the work; `false` when there is none left.
    pub(super) async fn advance(&mut self, work: &mut Work) -> Result<bool, StepError> {
        let Some((number, batch)) = work.stack.pop() else {
            return Ok(false);
        };
        let (Some(step), Some(instance)) =
            (self.plan.steps.get(number), self.instances.get_mut(number))
        else {
            return Ok(!work.stack.is_empty());
        };
        let records = Arc::clone(batch.records());
        let processed = instance.process(batch).await;
        for failure in processed.failures {
            work.fail(&records, failure, step, number);
        }
        let last = number + 1 == self.plan.steps.len();
        let mut on = Vec::with_capacity(if last { 0 } else { processed.outputs.len() });
        for output in processed.outputs {
            let Some(of) = records.get(output.index as usize) else {
                continue;
            };
            if work.is_dead(of.offset) {
                continue;
            }
            match (output.output, step.routes.get(&output.output)) {
                (0, _) if last => work.put(0, of.offset, output),
                (0, _) => on.push(StoredRecord {
                    offset: of.offset,
                    record: output.record,
                }),
                (_, Some(&route)) => work.put(route, of.offset, output),
                (other, None) => work.fail(&records, unrouted(output.index, other), step, number),
            }
        }
        if let Some(error) = processed.error {
            return Err((Arc::clone(&step.name), error));
        }
        if let Some(rest) = processed.rest {
            let begins = rest.pending().first().map(|r| r.offset);
            if begins.is_some_and(|at| !work.is_stopped(at)) {
                work.stack.push((number, rest));
            }
        }
        on.retain(|record| !work.is_dead(record.offset));
        if !on.is_empty() {
            work.stack.push((number + 1, self.batch(on)));
        }
        Ok(!work.stack.is_empty())
    }
}

fn unrouted(index: u32, output: u16) -> Failure {
    Failure {
        index,
        code: u16::MAX,
        name: "output",
        message: format!("output {output} goes nowhere: the pipeline gives it no sink"),
    }
}

/// Codes from here on are the host's and have names.
const CODE_HOST_MIN: u16 = 1000;

impl Work {
    fn is_stopped(&self, at: Offset) -> bool {
        self.stop.as_ref().is_some_and(|(stop, _)| at >= *stop)
    }

    /// Whether nothing may come of the record any more.
    fn is_dead(&self, at: Offset) -> bool {
        self.is_stopped(at) || self.failed.contains(&at)
    }

    fn put(&mut self, route: usize, offset: Offset, output: Output) {
        self.ready_bytes += output.record.payload_bytes();
        self.ready.push(Ready {
            route,
            offset,
            partition: output.partition,
            record: output.record,
        });
    }

    fn fail(&mut self, records: &[StoredRecord], failure: Failure, step: &Step, number: usize) {
        let Some(at) = records.get(failure.index as usize).map(|r| r.offset) else {
            return;
        };
        if self.is_dead(at) {
            return;
        }
        let guest = failure.code < CODE_HOST_MIN;
        let reason = Reason {
            stage: Stage::Transform,
            by: Arc::clone(&step.name),
            version: step.version.clone(),
            step: Some(number + 1),
            code: if guest {
                failure.code.to_string()
            } else {
                failure.name.to_owned()
            },
            message: failure.message,
        };
        self.failed.insert(at);
        match step.on_failure {
            OnFailure::Skip => self.skipped += 1,
            OnFailure::Stop => self.stop = Some((at, reason)),
            OnFailure::DeadLetter if self.stop_on_failure => self.stop = Some((at, reason)),
            OnFailure::DeadLetter => {
                let original = self.originals.binary_search_by_key(&at, |r| r.offset);
                if let Some(original) = original.ok().and_then(|i| self.originals.get(i)) {
                    self.letters.push(Letter {
                        offset: at,
                        record: original.record.clone(),
                        reason,
                    });
                }
            }
        }
    }

    /// What is done: everything when nothing is left, else, if it is much, what lies below the
    /// first record under way.
    pub(super) fn complete(&mut self) -> Option<Complete> {
        let under_way = self.stack.last();
        let under_way = under_way.and_then(|(_, batch)| batch.pending().first());
        let frontier = match (under_way, &self.stop) {
            (Some(_), _) if self.ready_bytes < READY_BYTES => return None,
            (Some(first), _) => first.offset,
            (None, Some((stop, _))) => *stop,
            (None, None) => self.next,
        };
        let all = under_way.is_none();
        if frontier <= self.from && !all {
            return None;
        }
        Some(self.below(frontier, all))
    }

    /// What lies below the first record under way, however little, if no step behind the first has
    /// anything under way: so what all steps keep in state ends there, too.
    pub(super) fn end_stretch(&mut self) -> Option<Complete> {
        let [(0, batch)] = self.stack.as_slice() else {
            return None;
        };
        let frontier = batch.pending().first()?.offset;
        (frontier > self.from && self.stop.is_none()).then(|| self.below(frontier, false))
    }

    fn below(&mut self, frontier: Offset, all: bool) -> Complete {
        let mut ready = std::mem::take(&mut self.ready);
        if !self.failed.is_empty() || self.stop.is_some() {
            ready.retain(|r| !self.is_dead(r.offset));
        }
        // Side outputs are made before the outputs of later steps.
        if !ready.is_sorted_by_key(|r| r.offset) {
            ready.sort_by_key(|r| r.offset);
        }
        self.ready = ready.split_off(ready.partition_point(|r| r.offset < frontier));
        self.ready_bytes = self.ready.iter().map(|r| r.record.payload_bytes()).sum();
        let mut letters = std::mem::take(&mut self.letters);
        letters.sort_by_key(|l| l.offset);
        letters.retain(|l| !self.is_stopped(l.offset));
        self.letters = letters.split_off(letters.partition_point(|l| l.offset < frontier));
        let first = std::mem::replace(&mut self.from, frontier);
        Complete {
            first,
            next: frontier,
            ready,
            letters,
            skipped: std::mem::take(&mut self.skipped),
            stop: self.stop.take_if(|_| all).map(|(_, reason)| reason),
        }
    }
}
