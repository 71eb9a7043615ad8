//! Keyed state of one partition of a pipeline: the tables of its transforms, and the partition of
//! the internal topic `__wstream_state.PIPELINE.TOPIC` that they are rebuilt from.
//!
//! What a stretch of records changed and the position behind it are stored once every sink has
//! made the stretch durable, so the stored position is never ahead of a sink, and the state is
//! never ahead of or behind the stored position: a start goes on from exactly there, whatever was
//! killed when. The first position, where the state begins, is stored before any sink gets a record:
//! from then on what the sinks hold does not say where a start goes on. Changes count from the record with the position on; what a kill left without one is
//! voided by the next start.
//!
//! | key | value |
//! |---|---|
//! | u16 length, name of the transform, key | i64 milliseconds at which it expires or -1, value; null removes the key |
//! | empty | i64 next offset of the input; null voids what came since the last one |
//!
//! The topic is compacted: when it is several times as large as what lives, the live entries are
//! written anew and everything older goes.

use std::collections::VecDeque;

use bytes::Bytes;
use tracing::warn;

use wstream_log::{
    AppendError, AppendTicket, Log, Partition, ReadError, RewriteError, TopicConfig, TopicError,
};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, Offset, RecordBatch, Timestamp, TopicName, TopicPartition,
};
use wstream_transform::{KeyedState, StateChange};

use super::plan::Plan;

/// What the topics of keyed state begin with.
const TOPIC_PREFIX: &str = "__wstream_state";
/// Bytes at which a batch of changes ends; one change more may be in it.
const BATCH_BYTES: usize = 512 << 10;
/// A key, a value and all around them fit.
const MESSAGE_BYTES_MAX: ByteSize = ByteSize::mib(4);
/// Bytes read at once when tables are rebuilt.
const READ_BYTES: ByteSize = ByteSize::mib(1);
/// Changes that wait for sinks; with more, the pipeline waits for the sinks first.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// A smaller topic is not compacted.
const COMPACT_BYTES_MIN: u64 = 8 << 20;
/// How many times as large as what lives the topic becomes.
const COMPACT_FACTOR: u64 = 3;

/// Why there is no keyed state.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error(
        "the state of pipeline {pipeline} on topic {topic} cannot have a topic of its own: both \
         names together are too long"
    )]
    Name { pipeline: String, topic: TopicName },
    #[error("cannot make the topic of keyed state: {0}")]
    Topic(#[from] TopicError),
    #[error("cannot read keyed state: {0}")]
    Read(#[from] ReadError),
    #[error("cannot store keyed state: {0}")]
    Append(#[from] AppendError),
    #[error("cannot store keyed state: {0}")]
    Rewrite(#[from] RewriteError),
    #[error("{name} holds what is no keyed state at offset {offset}: {what}")]
    Corrupt {
        name: TopicPartition,
        offset: Offset,
        what: String,
    },
}

/// The tables of one partition.
#[derive(Debug)]
pub(super) struct StateLog {
    partition: Partition,
    clock: Clock,
    /// By step; `None` for transforms without state.
    tables: Vec<Option<Table>>,
    position: Option<Offset>,
    pending: VecDeque<Changes>,
    pending_bytes: usize,
    /// Appends that are under way.
    tickets: Vec<AppendTicket>,
}

#[derive(Debug)]
struct Table {
    name: Box<str>,
    state: KeyedState,
}

/// What the records below `next` changed.
#[derive(Debug)]
pub(super) struct Changes {
    next: Offset,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

/// A record of the topic.
enum Entry {
    Position(Option<Offset>),
    Change(Box<str>, StateChange),
}

impl Changes {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl StateLog {
    /// Rebuilds the tables of a partition; `None` if no transform of the plan keeps state.
    pub(super) async fn open(
        log: &Log,
        clock: &Clock,
        plan: &Plan,
        of: &TopicPartition,
    ) -> Result<Option<Self>, StateError> {
        let tables = tables(plan, clock);
        if tables.iter().all(Option::is_none) {
            return Ok(None);
        }
        let partition = partition(log, plan, of).await?;
        let mut state = Self {
            partition,
            clock: clock.clone(),
            tables,
            position: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            tickets: Vec::new(),
        };
        if state.restore().await? {
            let void = state.batch(|to| to.push(b"", None));
            state.partition.append(void).await?;
        }
        Ok(Some(state))
    }

    /// Where the input goes on, if anything was stored.
    pub(super) fn position(&self) -> Option<Offset> {
        self.position
    }

    /// Stores where the state begins, if no position is stored yet. Once this returns, a start goes
    /// on from `at` until more is stored, whatever the sinks hold by then.
    pub(super) async fn begin(&mut self, at: Offset) -> Result<(), StateError> {
        if self.position.is_some() {
            return Ok(());
        }
        let beginning = self.batch(|to| to.push(b"", Some(&at.0.to_be_bytes())));
        self.partition.append(beginning).await?;
        self.position = Some(at);
        Ok(())
    }

    /// The table of a step.
    pub(super) fn table(&self, step: usize) -> Option<KeyedState> {
        let table = self.tables.get(step)?.as_ref()?;
        Some(table.state.clone())
    }

    /// What the input below `next` changed since the last time.
    pub(super) fn take(&self, next: Offset) -> Changes {
        let mut writer = Writer::new(self.clock.now());
        for table in self.tables.iter().flatten() {
            for change in table.state.take_changes() {
                writer.change(&table.name, &change);
            }
        }
        writer.push(b"", Some(&next.0.to_be_bytes()));
        let batches = writer.finish();
        let bytes = batches.iter().map(|batch| batch.bytes().len()).sum();
        Changes {
            next,
            batches,
            bytes,
        }
    }

    /// Takes up changes, to be stored once the sinks are as far.
    pub(super) fn note(&mut self, changes: Changes) {
        self.pending_bytes += changes.bytes;
        self.pending.push_back(changes);
    }

    /// Whether so much waits for the sinks that they must be waited for.
    pub(super) fn is_full(&self) -> bool {
        self.pending_bytes > PENDING_BYTES_MAX
    }

    /// Stores what the sinks have made durable below `durable`.
    pub(super) async fn store(&mut self, durable: Offset) -> Result<(), StateError> {
        if self.pending.front().is_none_or(|p| p.next > durable) {
            return Ok(());
        }
        // At most one append is under way: a failure is seen before much is built on it.
        self.settle().await?;
        while let Some(pending) = self.pending.pop_front_if(|p| p.next <= durable) {
            self.pending_bytes -= pending.bytes;
            for batch in pending.batches {
                self.tickets.push(self.partition.submit(batch).await?);
            }
            self.position = Some(pending.next);
        }
        if self.pending.is_empty() && self.is_large() {
            self.settle().await?;
            self.compact().await;
        }
        Ok(())
    }

    /// Waits until everything that was handed to the log is stored.
    pub(super) async fn settle(&mut self) -> Result<(), StateError> {
        for ticket in self.tickets.drain(..) {
            ticket.await?;
        }
        Ok(())
    }

    /// Forgets all state: the input goes on from before the stored position.
    pub(super) async fn clear(&mut self, at: Offset, plan: &Plan) -> Result<(), StateError> {
        self.tables = tables(plan, &self.clock);
        self.position = Some(at);
        self.rewrite().await
    }

    fn is_large(&self) -> bool {
        let live = self.tables.iter().flatten();
        let live: u64 = live.map(|table| table.state.size().1.0).sum();
        self.partition.bounds().bytes.0 > COMPACT_BYTES_MIN + live.saturating_mul(COMPACT_FACTOR)
    }

    /// Keeps the topic small. What goes wrong costs space only, and is tried again later.
    async fn compact(&mut self) {
        if let Err(error) = self.rewrite().await {
            let partition = self.partition.name();
            warn!(%partition, %error, "keyed state was not compacted, trying later");
        }
    }

    /// Replaces the topic by the live entries and the position.
    async fn rewrite(&mut self) -> Result<(), StateError> {
        let Some(position) = self.position else {
            return Ok(());
        };
        let mut writer = Writer::new(self.clock.now());
        // What an interrupted append left does not count.
        writer.push(b"", None);
        for table in self.tables.iter().flatten() {
            for change in table.state.snapshot() {
                writer.change(&table.name, &change);
            }
        }
        writer.push(b"", Some(&position.0.to_be_bytes()));
        let as_of = self.partition.bounds().log_end;
        Ok(self.partition.rewrite(writer.finish(), as_of).await?)
    }

    fn batch(&self, fill: impl FnOnce(&mut Writer)) -> RecordBatch {
        let mut writer = Writer::new(self.clock.now());
        fill(&mut writer);
        let batches = writer.finish();
        batches.into_iter().next().expect("something was written")
    }

    /// Reads the topic; whether its end is to be voided.
    async fn restore(&mut self) -> Result<bool, StateError> {
        let bounds = self.partition.bounds();
        let mut at = bounds.log_start;
        let mut uncounted = Vec::new();
        while at < bounds.high_watermark {
            let batches = self.partition.read(at, READ_BYTES).await?;
            let Some(last) = batches.last() else {
                break;
            };
            at = last.header().next_offset();
            for batch in &batches {
                self.restore_batch(batch, &mut uncounted)?;
            }
        }
        Ok(!uncounted.is_empty())
    }

    fn restore_batch(
        &mut self,
        batch: &RecordBatch,
        uncounted: &mut Vec<(Box<str>, StateChange)>,
    ) -> Result<(), StateError> {
        let corrupt = |offset, what: String| StateError::Corrupt {
            name: self.partition.name().clone(),
            offset,
            what,
        };
        let records = batch.records();
        let records = records.map_err(|e| corrupt(batch.header().base_offset, e.to_string()))?;
        for stored in records {
            let entry = decode(stored.record.key, stored.record.value);
            match entry.ok_or_else(|| corrupt(stored.offset, "an unknown form".to_owned()))? {
                Entry::Change(name, change) => uncounted.push((name, change)),
                Entry::Position(None) => uncounted.clear(),
                Entry::Position(Some(next)) => {
                    self.position = Some(next);
                    for (name, change) in uncounted.drain(..) {
                        let mut tables = self.tables.iter().flatten();
                        // A transform that is no longer there leaves its state behind.
                        if let Some(table) = tables.find(|table| table.name == name) {
                            table.state.restore(change);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Fresh tables of the steps that keep state, named by their transforms; one that occurs again has
/// its number behind the name.
fn tables(plan: &Plan, clock: &Clock) -> Vec<Option<Table>> {
    let mut names: Vec<&str> = Vec::new();
    let table = |step: &'_ super::plan::Step, nth: usize| Table {
        name: match nth {
            0 => step.name.as_ref().into(),
            _ => format!("{}#{}", step.name, nth + 1).into(),
        },
        state: KeyedState::new(step.state_limits, clock.clone()),
    };
    let steps = plan.steps.iter().map(|step| {
        let nth = names.iter().filter(|name| ***name == *step.name).count();
        names.push(&step.name);
        let keyed = step.transform.module().inspection().keyed_state;
        keyed.then(|| table(step, nth))
    });
    steps.collect()
}

/// The partition of the topic that belongs to a partition of the input.
async fn partition(log: &Log, plan: &Plan, of: &TopicPartition) -> Result<Partition, StateError> {
    let name = format!("{TOPIC_PREFIX}.{}.{}", plan.name, of.topic);
    let name = TopicName::new(&name).map_err(|_| StateError::Name {
        pipeline: plan.name.to_string(),
        topic: of.topic.clone(),
    })?;
    let partitions = log.topic(&of.topic).map_or(1, |t| t.config.partitions);
    let config = TopicConfig {
        partitions: partitions.max(of.partition.0 + 1),
        max_message_bytes: MESSAGE_BYTES_MAX,
        ..TopicConfig::default()
    };
    match log.topic(&name) {
        None => match log.create_topic(&name, config).await {
            Ok(_) | Err(TopicError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        },
        Some(topic) if topic.config.partitions <= of.partition.0 => {
            match log.alter_topic(&name, config).await {
                // Another partition's task was faster.
                Ok(_) | Err(TopicError::FewerPartitions { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Some(_) => {}
    }
    let partition = log.partition(&TopicPartition::new(name, of.partition));
    partition.ok_or(StateError::Read(ReadError::Closed))
}

/// Makes batches of records.
struct Writer {
    now: Timestamp,
    builder: BatchBuilder,
    batches: Vec<RecordBatch>,
}

impl Writer {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            builder: BatchBuilder::new(),
            batches: Vec::new(),
        }
    }

    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        if self.builder.byte_len() > BATCH_BYTES {
            self.batches.extend(self.builder.finish(None));
        }
        self.builder
            .push_parts(self.now, Some(key), value, [].into_iter());
    }

    fn change(&mut self, table: &str, change: &StateChange) {
        let length = u16::try_from(table.len()).unwrap_or(u16::MAX);
        let key = [&length.to_be_bytes()[..], table.as_bytes(), &change.key].concat();
        let expires = change.expires.map_or(-1, |at| at.0);
        let value = change.value.as_ref();
        let value = value.map(|value| [&expires.to_be_bytes()[..], value].concat());
        self.push(&key, value.as_deref());
    }

    fn finish(mut self) -> Vec<RecordBatch> {
        self.batches.extend(self.builder.finish(None));
        self.batches
    }
}

fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Option<Entry> {
    let key = key?;
    if key.is_empty() {
        let Some(value) = value else {
            return Some(Entry::Position(None));
        };
        let next = i64::from_be_bytes(value.as_ref().try_into().ok()?);
        return Some(Entry::Position(Some(Offset(next))));
    }
    let (length, rest) = key.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (name, own) = rest.split_at_checked(length)?;
    let name = std::str::from_utf8(name).ok()?;
    let (expires, value) = match &value {
        None => (None, None),
        Some(bytes) => {
            let (expires, own) = bytes.split_first_chunk()?;
            let expires = i64::from_be_bytes(*expires);
            let expires = (expires >= 0).then_some(Timestamp(expires));
            (expires, Some(bytes.slice_ref(own)))
        }
    };
    let change = StateChange {
        key: key.slice_ref(own),
        value,
        expires,
    };
    Some(Entry::Change(name.into(), change))
}
