//! Keyed state of one partition of a pipeline: the tables of its transforms, and the partition of
//! the internal topic `__wstream_state.PIPELINE.TOPIC` that they are rebuilt from.
//!
//! What a stretch of records changed and the position behind it are one batch, there whole or not
//! at all, stored once every sink has made the stretch durable. So the stored position is never
//! ahead of a sink, and the state is never ahead of or behind the stored position: a start goes on
//! from exactly there, whatever was killed when. The first position, where the state begins, is
//! stored before any sink gets a record: from then on what the sinks hold does not say where a
//! start goes on. The log keeps the last record of each key.
//!
//! | key | value |
//! |---|---|
//! | u16 length, name of the transform, key | i64 milliseconds at which it expires or -1, value; null removes the key |
//! | empty | i64 next offset of the input; a byte 1 behind it: no other key counts, they are being removed |

use std::collections::VecDeque;

use bytes::Bytes;

use wstream_log::{
    AppendError, AppendTicket, LastRecord, LastRecords, Log, ReadError, Table, TableBatch,
    TableError, TableSettings,
};
use wstream_record::{ByteSize, Clock, Offset, RecordBatch, Timestamp, TopicName, TopicPartition};
use wstream_transform::{KeyedState, StateChange};

use super::plan::Plan;

/// What the topics of keyed state begin with.
const TOPIC_PREFIX: &str = "__wstream_state";
/// Bytes of changes at which a stretch ends at the next record where it can. What one call of a
/// module writes, 64 MiB, comes on top.
const STRETCH_BYTES: u64 = 8 << 20;
/// Bytes of the largest stretch: that, and the names and numbers around keys and values.
const MESSAGE_BYTES_MAX: ByteSize = ByteSize::mib(96);
/// Bytes of a position with all around it.
const POSITION_BYTES_MAX: usize = 64;
/// Changes that wait for sinks; with more, the pipeline waits for the sinks first.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// Why there is no keyed state.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error(
        "the state of pipeline {pipeline} on topic {topic} cannot have a topic of its own: both \
         names together are too long"
    )]
    Name { pipeline: String, topic: TopicName },
    #[error("keyed state: {0}")]
    Table(#[from] TableError),
    #[error("cannot store keyed state: {0}")]
    Append(#[from] AppendError),
    #[error(
        "the records below offset {next} changed {bytes} bytes of keyed state at once, at most \
         {max} can be stored together: let the transform write less for a record"
    )]
    TooLarge {
        next: Offset,
        bytes: ByteSize,
        max: ByteSize,
    },
    #[error("{name} holds what is no keyed state at offset {offset}")]
    Corrupt {
        name: TopicPartition,
        offset: Offset,
    },
}

impl StateError {
    /// Whether its partition was deleted, or the log closed.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Table(TableError::Read { error, .. }) => matches!(error, ReadError::Closed),
            Self::Append(error) => matches!(error, AppendError::Closed),
            _ => false,
        }
    }

    /// Whether trying again can help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Append(error) => error.is_retryable(),
            Self::Table(error) => !matches!(error, TableError::Corrupt { .. }),
            Self::Name { .. } | Self::TooLarge { .. } | Self::Corrupt { .. } => false,
        }
    }
}

/// The tables of one partition.
#[derive(Debug)]
pub(super) struct StateLog {
    table: Table,
    clock: Clock,
    /// By step; `None` for transforms without state.
    steps: Vec<Option<Step>>,
    position: Option<Offset>,
    /// There are keys and no position: part of the log is lost.
    strays: bool,
    pending: VecDeque<Changes>,
    pending_bytes: usize,
    /// Appends that are under way.
    tickets: Vec<AppendTicket>,
}

/// The state of a step.
#[derive(Debug)]
struct Step {
    name: Box<str>,
    state: KeyedState,
}

/// What the records below `next` changed, and that position.
#[derive(Debug)]
pub(super) struct Changes {
    next: Offset,
    batch: RecordBatch,
}

/// Where the input goes on.
struct Position {
    next: Offset,
    /// Whether no other key counts.
    alone: bool,
}

impl Changes {
    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes().len()
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
        let steps = steps(plan, clock);
        if steps.iter().all(Option::is_none) {
            return Ok(None);
        }
        let (own, settings) = place(log, plan, of)?;
        let (table, live) = Table::open(log, &own, settings, &RecordBatch::records).await?;
        let mut state = Self {
            table,
            clock: clock.clone(),
            steps,
            position: None,
            strays: false,
            pending: VecDeque::new(),
            pending_bytes: 0,
            tickets: Vec::new(),
        };
        state.restore(live).await?;
        Ok(Some(state))
    }

    async fn restore(&mut self, mut live: LastRecords) -> Result<(), StateError> {
        let Some(last) = live.remove(&b""[..]) else {
            self.strays = !live.is_empty();
            return Ok(());
        };
        let position = Position::decode(&last.value);
        let position = position.ok_or_else(|| self.corrupt(last.offset))?;
        if position.alone {
            return self.wipe(position.next).await;
        }
        self.position = Some(position.next);
        for (key, last) in live {
            let offset = last.offset;
            let (name, change) = decode(&key, last).ok_or_else(|| self.corrupt(offset))?;
            let mut steps = self.steps.iter().flatten();
            // A transform that is no longer there leaves its state behind.
            if let Some(step) = steps.find(|step| *step.name == *name) {
                step.state.restore(change);
            }
        }
        Ok(())
    }

    fn corrupt(&self, offset: Offset) -> StateError {
        let name = self.table.name().clone();
        StateError::Corrupt { name, offset }
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
        if self.strays {
            return self.wipe(at).await;
        }
        self.append(TableBatch::new(self.clock.now()), Position::at(at))
            .await
    }

    /// The table of a step.
    pub(super) fn table(&self, step: usize) -> Option<KeyedState> {
        let step = self.steps.get(step)?.as_ref()?;
        Some(step.state.clone())
    }

    /// Whether so much has changed since `take` that the stretch should end.
    pub(super) fn is_long(&self) -> bool {
        let steps = self.steps.iter().flatten();
        steps.map(|step| step.state.changed_bytes()).sum::<u64>() >= STRETCH_BYTES
    }

    /// What the input below `next` changed since the last time.
    pub(super) fn take(&self, next: Offset) -> Changes {
        let mut batch = TableBatch::new(self.clock.now());
        for step in self.steps.iter().flatten() {
            for change in step.state.take_changes() {
                let (key, value) = encode(&step.name, &change);
                batch.put(&key, value.as_deref());
            }
        }
        let batch = with_position(batch, &Position::at(next));
        Changes { next, batch }
    }

    /// Takes up changes, to be stored once the sinks are as far.
    pub(super) fn note(&mut self, changes: Changes) {
        self.pending_bytes += changes.bytes();
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
            self.pending_bytes -= pending.bytes();
            let next = pending.next;
            let submitted = self.table.submit(pending.batch).await;
            let ticket = submitted.map_err(|error| match error {
                AppendError::TooLarge { bytes, max } => StateError::TooLarge { next, bytes, max },
                other => other.into(),
            })?;
            self.tickets.push(ticket);
            self.position = Some(next);
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

    /// Forgets all state: the input goes on from `at`. What a kill leaves is either all of the state
    /// before, or none. Who has a table of a step has one of those before.
    pub(super) async fn clear(&mut self, at: Offset, plan: &Plan) -> Result<(), StateError> {
        self.steps = steps(plan, &self.clock);
        self.settle().await?;
        self.wipe(at).await
    }

    /// Removes all that is stored, and stores that position instead.
    async fn wipe(&mut self, at: Offset) -> Result<(), StateError> {
        // Also what transforms have left behind that are no longer there.
        let live = self.table.read(&RecordBatch::records).await?;
        let bytes_max = self.table.message_bytes_max();
        let mut batch = TableBatch::new(self.clock.now());
        for key in live.into_keys().filter(|key| !key.is_empty()) {
            // Room for the position is in the record's own.
            if batch.bytes_with(&key, Some(&[0; POSITION_BYTES_MAX])) > bytes_max {
                let part = std::mem::replace(&mut batch, TableBatch::new(self.clock.now()));
                let alone = Position {
                    next: at,
                    alone: true,
                };
                self.append(part, alone).await?;
            }
            batch.put(&key, None);
        }
        self.append(batch, Position::at(at)).await?;
        self.strays = false;
        Ok(())
    }

    async fn append(&mut self, batch: TableBatch, position: Position) -> Result<(), StateError> {
        let next = position.next;
        self.table.append(with_position(batch, &position)).await?;
        self.position = Some(next);
        Ok(())
    }
}

/// Fresh tables of the steps that keep state, named by their transforms; one that occurs again has
/// its number behind the name.
fn steps(plan: &Plan, clock: &Clock) -> Vec<Option<Step>> {
    let mut names: Vec<&str> = Vec::new();
    let fresh = |step: &'_ super::plan::Step, nth: usize| Step {
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
        keyed.then(|| fresh(step, nth))
    });
    steps.collect()
}

/// The partition of the topic that belongs to a partition of the input.
fn place(
    log: &Log,
    plan: &Plan,
    of: &TopicPartition,
) -> Result<(TopicPartition, TableSettings), StateError> {
    let name = format!("{TOPIC_PREFIX}.{}.{}", plan.name, of.topic);
    let name = TopicName::new(&name).map_err(|_| StateError::Name {
        pipeline: plan.name.to_string(),
        topic: of.topic.clone(),
    })?;
    let partitions = log.topic(&of.topic).map_or(1, |t| t.config.partitions);
    let settings = TableSettings {
        partitions: partitions.max(of.partition.0 + 1),
        message_bytes_max: MESSAGE_BYTES_MAX,
    };
    Ok((TopicPartition::new(name, of.partition), settings))
}

impl Position {
    fn at(next: Offset) -> Self {
        Self { next, alone: false }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = self.next.0.to_be_bytes().to_vec();
        if self.alone {
            out.push(1);
        }
        out
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (next, rest) = value.split_first_chunk()?;
        let next = Offset(i64::from_be_bytes(*next));
        let alone = match rest {
            [] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self { next, alone })
    }
}

fn with_position(mut batch: TableBatch, position: &Position) -> RecordBatch {
    batch.put(b"", Some(&position.encode()));
    batch.finish().expect("the position was put")
}

fn encode(step: &str, change: &StateChange) -> (Vec<u8>, Option<Vec<u8>>) {
    let length = u16::try_from(step.len()).unwrap_or(u16::MAX);
    let key = [&length.to_be_bytes()[..], step.as_bytes(), &change.key].concat();
    let expires = change.expires.map_or(-1, |at| at.0);
    let value = change.value.as_ref();
    let value = value.map(|value| [&expires.to_be_bytes()[..], value].concat());
    (key, value)
}

fn decode(key: &Bytes, last: LastRecord) -> Option<(Box<str>, StateChange)> {
    let (length, rest) = key.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (name, own) = rest.split_at_checked(length)?;
    let name = std::str::from_utf8(name).ok()?;
    let (expires, value) = last.value.split_first_chunk()?;
    let expires = i64::from_be_bytes(*expires);
    let change = StateChange {
        key: key.slice_ref(own),
        value: Some(last.value.slice_ref(value)),
        expires: (expires >= 0).then_some(Timestamp(expires)),
    };
    Some((name.into(), change))
}
