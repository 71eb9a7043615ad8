//! A stretch of work on one partition: read, transform, hand to the sinks, in order.
//!
//! The line that hands a record to a sink is in `hand_over`; before it, in the same function, the
//! failed records of the range and those that the sink refuses have become acknowledged dead
//! letters: no position can be ahead of one. Where keyed state begins is stored there as well.

use std::sync::Arc;

use futures_util::future::select_all;

use wstream_log::{Partition, ReadError, Upto};
use wstream_record::{ByteSize, Offset, Record};

use super::chain::{Chain, Complete, Ready};
use super::dead_letter::{self, DeadLetters, Letter, Reason, Stage};
use super::lane::Lane;
use super::plan::Plan;
use super::reader::{Chunk, Reader};
use super::runner::{Ended, Exit, Shared, flush};
use super::state::{Changes, StateLog};
use super::status::Progress;
use super::trial::{HELD_BYTES_MAX, Trial, Verdict};
use crate::sinks::{Refusal, SinkRecord};

/// Bytes read at once to find the records that a sink refused.
const READ_BYTES: ByteSize = ByteSize::mib(1);
/// Most bytes of a batch of those once unpacked.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

pub(super) struct Session<'a> {
    shared: &'a Shared,
    partition: &'a Partition,
    progress: &'a Progress,
    lanes: &'a mut Vec<Lane>,
    state: &'a mut Option<StateLog>,
    letters: DeadLetters,
    /// A failure while reading a dead-letter topic stops the pipeline: there is no further one.
    reads_dead_letters: bool,
    chain: Chain,
    reader: Reader,
    /// Where this session reads from, and state that is new begins.
    begin: Offset,
    /// What was worked on.
    processed: Offset,
    /// What waits for the verdict of a trial.
    held: Vec<Held>,
    held_bytes: usize,
}

/// A stretch of records that waits for a verdict.
struct Held {
    complete: Complete,
    /// Changes of keyed state that go with it, at the end of a chunk.
    state: Option<Changes>,
}

impl<'a> Session<'a> {
    /// Starts the transforms and reads from `at` on.
    pub(super) async fn start(
        shared: &'a Shared,
        partition: &'a Partition,
        progress: &'a Progress,
        lanes: &'a mut Vec<Lane>,
        state: &'a mut Option<StateLog>,
        at: Offset,
    ) -> Result<Self, Exit> {
        let name = partition.name();
        let log = &shared.deps.sinks.log;
        let gone = Exit::Ended(Ended::Gone);
        let topic = log.topic(&name.topic).ok_or(gone)?;
        let end = partition.marks().high_watermark;
        if at > end {
            return Err(ReadError::PastEnd { at, end }.into());
        }
        let pipeline = Arc::clone(&shared.plan.name);
        let dead_letter = shared.plan.dead_letter.as_ref();
        let letters = DeadLetters::new(log.clone(), pipeline, name.clone(), dead_letter)?;
        let reads_dead_letters = name.topic.as_ref().ends_with(dead_letter::SUFFIX);
        let plan = Arc::clone(&shared.plan);
        let chain = Chain::start(plan, name.clone(), reads_dead_letters, state.as_ref());
        let chain = chain
            .await
            .map_err(|(transform, error)| Exit::init(&transform, &error))?;
        let reader = Reader::start(partition.clone(), at, topic.config.max_message_bytes);
        Ok(Self {
            shared,
            partition,
            progress,
            lanes,
            state,
            letters,
            reads_dead_letters,
            chain,
            reader,
            begin: at,
            processed: at,
            held: Vec::new(),
            held_bytes: 0,
        })
    }

    /// Works until everything is delivered and the pipeline is to end then.
    pub(super) async fn run(mut self) -> Result<Ended, Exit> {
        let mut drain = self.shared.drain.subscribe();
        loop {
            let at_end = self.processed >= self.partition.marks().high_watermark;
            if at_end && *drain.borrow_and_update() {
                self.end_trial().await?;
                flush(self.lanes).await?;
                self.store_state().await?;
                return Ok(Ended::Done);
            }
            tokio::select! {
                chunk = self.reader.next() => {
                    self.handle(chunk?).await?;
                    self.note_state().await?;
                }
                moved = lanes_move(self.lanes) => {
                    moved?;
                    store_state(self.state, self.lanes, self.processed).await?;
                }
                // Between two chunks, so that state and outputs end at the same record.
                () = self.shared.stop.asked() => return Ok(Ended::Stopped),
                () = verdict(self.shared.plan.trial.as_ref()), if !self.held.is_empty() => {
                    self.release().await?;
                }
                // The sender lives as long as `shared`.
                _ = drain.changed() => {}
            }
        }
    }

    /// Takes up what the chunk changed in keyed state.
    async fn note_state(&mut self) -> Result<(), Exit> {
        let Some(state) = self.state else {
            return Ok(());
        };
        let changes = state.take(self.processed);
        if let Some(last) = self.held.last_mut() {
            self.held_bytes += changes.bytes();
            last.state = Some(changes);
            return Ok(());
        }
        state.note(changes);
        self.store_noted().await
    }

    async fn store_noted(&mut self) -> Result<(), Exit> {
        if self.state.as_ref().is_some_and(StateLog::is_full) {
            flush(self.lanes).await?;
        }
        store_state(self.state, self.lanes, self.processed).await
    }

    /// Hands over what a chunk came to, or holds it back for as long as a module is on trial.
    async fn pass(&mut self, complete: Complete) -> Result<(), Exit> {
        let Some(trial) = self.shared.plan.trial.clone() else {
            return self.hand_over(complete).await;
        };
        if trial.verdict().is_none() {
            trial.count(&complete);
        }
        self.processed = complete.next;
        self.held_bytes += complete.bytes();
        self.held.push(Held {
            complete,
            state: None,
        });
        if self.held_bytes > HELD_BYTES_MAX {
            trial.decide();
        }
        match trial.verdict() {
            Some(_) => self.release().await,
            None => Ok(()),
        }
    }

    /// Everything was read: the trial ends with what there is.
    async fn end_trial(&mut self) -> Result<(), Exit> {
        match &self.shared.plan.trial {
            Some(trial) if !self.held.is_empty() => {
                trial.decide();
                self.release().await
            }
            _ => Ok(()),
        }
    }

    /// The trial is over: what was held back goes on its way, or nowhere.
    async fn release(&mut self) -> Result<(), Exit> {
        let verdict = self.shared.plan.trial.as_ref().and_then(Trial::verdict);
        if verdict == Some(Verdict::RolledBack) {
            self.held.clear();
            // The pipeline is replaced by one with the version before.
            self.shared.stop.asked().await;
            return Err(Exit::Ended(Ended::Stopped));
        }
        self.held_bytes = 0;
        for Held { complete, state } in std::mem::take(&mut self.held) {
            self.hand_over(complete).await?;
            if let (Some(log), Some(changes)) = (self.state.as_mut(), state) {
                log.note(changes);
                self.store_noted().await?;
            }
        }
        Ok(())
    }

    /// Keyed state of everything that was worked on is stored.
    async fn store_state(&mut self) -> Result<(), Exit> {
        finish_state(self.state, self.lanes, self.processed).await
    }

    async fn handle(&mut self, chunk: Chunk) -> Result<(), Exit> {
        let shared = self.shared;
        let began = shared.deps.sinks.clock.monotonic();
        shared.metrics.records_in.add(chunk.records.len() as u64);
        shared.metrics.bytes_in.add(chunk.bytes as u64);
        self.bury_broken(&chunk).await?;
        let mut work = self.chain.begin(chunk);
        loop {
            let more = self.chain.advance(&mut work).await;
            let more = more.map_err(|(transform, error)| Exit::init(&transform, &error))?;
            let long = self.state.as_ref().is_some_and(StateLog::is_long);
            if long
                && more
                && let Some(complete) = work.end_stretch()
            {
                self.pass(complete).await?;
                self.note_state().await?;
            } else if let Some(complete) = work.complete() {
                self.pass(complete).await?;
            }
            if !more {
                break;
            }
        }
        let took = shared.deps.sinks.clock.monotonic().saturating_sub(began);
        shared.metrics.batch_seconds.record(took);
        Ok(())
    }

    /// Batches that do not decode become dead letters as they are.
    async fn bury_broken(&self, chunk: &Chunk) -> Result<(), Exit> {
        let letters = chunk.broken.iter().map(|broken| {
            let reason = Reason {
                stage: Stage::Decode,
                by: Arc::clone(&self.shared.plan.name),
                version: None,
                step: None,
                code: "batch".to_owned(),
                message: broken.reason.clone(),
            };
            dead_letter::raw(&broken.batch, reason)
        });
        self.bury(letters.collect()).await
    }

    /// Returns once the letters are acknowledged.
    async fn bury(&self, letters: Vec<Letter>) -> Result<(), Exit> {
        let Some(first) = letters.first() else {
            return Ok(());
        };
        if self.reads_dead_letters {
            return Err(stopped_at(first.offset, &first.reason));
        }
        for letter in &letters {
            let code = &letter.reason.code;
            let guest = code.bytes().all(|b| b.is_ascii_digit());
            let counted = if guest { "guest" } else { code.as_str() };
            self.shared.metrics.dead_letters.add(counted, 1);
        }
        Ok(self.letters.write(letters).await?)
    }

    async fn hand_over(&mut self, complete: Complete) -> Result<(), Exit> {
        let Complete {
            first,
            next,
            ready,
            letters,
            skipped,
            stop,
        } = complete;
        if let Some(state) = self.state.as_mut() {
            // Before a sink has anything: after a kill its position is not where the state began.
            state.begin(self.begin).await?;
        }
        self.shared.metrics.skipped.add(skipped);
        self.bury(letters).await?;
        let records_out = ready.len() as u64;
        let by_lane = by_lane(ready, &self.shared.plan, self.lanes.len());
        for (at, records) in by_lane.into_iter().enumerate() {
            let Some(lane) = self.lanes.get_mut(at) else {
                continue;
            };
            let refused = lane.prepare(first, next, records).await?;
            if !refused.is_empty() {
                let name = Arc::clone(&lane.name);
                let letters = self.refused(&name, refused).await?;
                self.bury(letters).await?;
            }
            if let Some(lane) = self.lanes.get_mut(at) {
                lane.submit().await?;
            }
        }
        self.shared.metrics.records_out.add(records_out);
        self.processed = next;
        self.progress.processed(next);
        match stop {
            Some(reason) => Err(stopped_at(next, &reason)),
            None => Ok(()),
        }
    }

    /// Letters of records that sinks refused. They are rare, so they are read again.
    async fn refused(
        &self,
        sink: &Arc<str>,
        mut refused: Vec<Refusal>,
    ) -> Result<Vec<Letter>, Exit> {
        refused.sort_by_key(|refusal| refusal.offset);
        // One letter, however many of the record's outputs are refused.
        refused.dedup_by_key(|refusal| refusal.offset);
        let mut letters = Vec::with_capacity(refused.len());
        let mut known = Vec::new();
        for refusal in refused {
            let at = refusal.offset;
            let last = known
                .last()
                .map(|r: &wstream_record::StoredRecord| r.offset);
            if last.is_none_or(|last| last < at) {
                known.clear();
                let read = self
                    .partition
                    .fetch(at, READ_BYTES, Upto::HighWatermark, None);
                for batch in read.await?.batches()? {
                    let records = wstream_kafka::records(&batch, UNPACKED_BYTES_MAX);
                    known.extend(records.unwrap_or_default());
                }
            }
            let found = known.binary_search_by_key(&at, |r| r.offset).ok();
            let record = found.and_then(|i| known.get(i)).map(|r| r.record.clone());
            letters.push(Letter {
                offset: at,
                // Only retention can have taken it in between.
                record: record.unwrap_or_default(),
                reason: Reason {
                    stage: Stage::Sink,
                    by: Arc::clone(sink),
                    version: None,
                    step: None,
                    code: refusal.code.to_owned(),
                    message: refusal.message,
                },
            });
        }
        Ok(letters)
    }
}

/// Returns when a trial is decided.
async fn verdict(trial: Option<&Trial>) {
    match trial {
        Some(trial) => {
            trial.decided().await;
        }
        None => std::future::pending().await,
    }
}

/// Stores keyed state as far as all sinks are durable, and waits until it is.
pub(super) async fn finish_state(
    state: &mut Option<StateLog>,
    lanes: &[Lane],
    processed: Offset,
) -> Result<(), Exit> {
    store_state(state, lanes, processed).await?;
    match state {
        Some(state) => Ok(state.settle().await?),
        None => Ok(()),
    }
}

/// Stores keyed state as far as all sinks are durable.
async fn store_state(
    state: &mut Option<StateLog>,
    lanes: &[Lane],
    processed: Offset,
) -> Result<(), Exit> {
    let Some(state) = state else {
        return Ok(());
    };
    let durable = lanes.iter().map(|lane| lane.durable().borrow().next).min();
    Ok(state.store(durable.unwrap_or(processed)).await?)
}

fn stopped_at(offset: Offset, reason: &Reason) -> Exit {
    let Reason {
        by, code, message, ..
    } = reason;
    Exit::failed(format!(
        "stopped at offset {offset}: {by} failed with {code}: {message}"
    ))
}

/// Returns when a lane has moved, or with the failure of one. Cancel-safe.
async fn lanes_move(lanes: &mut [Lane]) -> Result<(), Exit> {
    if lanes.is_empty() {
        return std::future::pending().await;
    }
    let moves = lanes.iter_mut().map(|lane| Box::pin(lane.moved()));
    let (moved, ..) = select_all(moves).await;
    moved?;
    lanes.iter_mut().for_each(Lane::note_arrivals);
    Ok(())
}

/// Each lane's records, numbered within the record they came from.
fn by_lane(ready: Vec<Ready>, plan: &Plan, lanes: usize) -> Vec<Vec<SinkRecord>> {
    let mut by_lane: Vec<Vec<SinkRecord>> = Vec::with_capacity(lanes);
    by_lane.resize_with(lanes, Vec::new);
    if let [route] = plan.routes.as_slice()
        && let [only] = route.as_slice()
        && let Some(records) = by_lane.get_mut(*only)
    {
        records.reserve_exact(ready.len());
    }
    for output in ready {
        let Some((last, others)) = plan
            .routes
            .get(output.route)
            .and_then(|route| route.split_last())
        else {
            continue;
        };
        for lane in others {
            put(&mut by_lane, *lane, &output, output.record.clone());
        }
        let record = output.record;
        let output = Ready {
            record: Record::default(),
            ..output
        };
        put(&mut by_lane, *last, &output, record);
    }
    by_lane
}

fn put(by_lane: &mut [Vec<SinkRecord>], lane: usize, output: &Ready, record: Record) {
    let Some(records) = by_lane.get_mut(lane) else {
        return;
    };
    let n = match records.last() {
        Some(last) if last.offset == output.offset => last.n + 1,
        _ => 0,
    };
    records.push(SinkRecord {
        offset: output.offset,
        n,
        partition: output.partition,
        record,
    });
}
