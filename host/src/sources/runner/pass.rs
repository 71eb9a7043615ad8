//! One pass: from the last checkpoint to the end of the input, a stop, or a failure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wstream_log::{AppendError, AppendTicket, MetadataError, Partition, TopicError, TopicSpec};
use wstream_record::{ByteSize, PartitionId, Sequence, TopicName, TopicPartition};

use super::{Runner, SourceState};
use crate::sources::checkpoint::{Checkpoint, CheckpointError, Plan, Sequences};
use crate::sources::rows::{Labels, Rows, Sealed, Target};
use crate::sources::{Opened, Reading, Source, SourceError};

/// Batches that were submitted and are not acknowledged yet.
const BATCHES_IN_FLIGHT_MAX: usize = 32;
/// What a dead letter may weigh more than a record: room for its headers.
const DEAD_LETTER_BYTES_MORE: u64 = 64 << 10;

/// How a pass ended.
pub(super) enum PassEnd {
    /// The input has ended and is durable.
    Done,
    /// The source was asked to stop.
    Stopped,
    /// The next pass has new settings to begin with.
    Again,
}

/// Why a pass ended early. Nothing is lost: the next one begins at the checkpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    #[error("{0}")]
    Retry(String),
    #[error("{0}")]
    Fatal(String),
}

impl From<AppendError> for PassError {
    fn from(error: AppendError) -> Self {
        // A batch that an earlier pass had still queued shows as one that is out of order.
        let queued = matches!(error, AppendError::OutOfOrderSequence { .. });
        if error.is_retryable() || queued {
            Self::Retry(error.to_string())
        } else {
            Self::Fatal(error.to_string())
        }
    }
}

impl From<SourceError> for PassError {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        match error {
            SourceError::Io { .. } | SourceError::Changed(_) => Self::Retry(message),
            SourceError::Missing(_) | SourceError::Unusable { .. } => Self::Fatal(message),
        }
    }
}

impl From<CheckpointError> for PassError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Append(error) => error.into(),
            CheckpointError::Table(_) | CheckpointError::Unreadable { .. } => {
                Self::Fatal(error.to_string())
            }
        }
    }
}

impl From<TopicError> for PassError {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Store(_) | TopicError::Metadata(_) => Self::Retry(error.to_string()),
            _ => Self::Fatal(error.to_string()),
        }
    }
}

impl From<MetadataError> for PassError {
    fn from(error: MetadataError) -> Self {
        TopicError::from(error).into()
    }
}

/// A source in the middle of a pass, and what one step of reading gave.
struct Step {
    source: Box<dyn Source>,
    rows: Rows,
    read: Result<Reading, SourceError>,
    sealed: Vec<Sealed>,
}

/// What is on its way to the log.
struct Appending<'r> {
    runner: &'r Runner,
    plan: Plan,
    records: Vec<Partition>,
    dead_letters: Vec<Partition>,
    in_flight: VecDeque<(AppendTicket, Target, u64, u64)>,
}

impl Runner {
    /// Goes on from the last checkpoint.
    pub(super) async fn pass(&self) -> Result<PassEnd, PassError> {
        let mut checkpoint = self.checkpoint().await?;
        let wanted = self.plan()?;
        let mut logged = self.logged(&checkpoint)?;
        if checkpoint.plan != wanted && self.rows(&checkpoint, &logged).to_skip() == 0 {
            self.adopt(&mut checkpoint, wanted.clone()).await?;
            logged = self.logged(&checkpoint)?;
        }
        let opened = match self.open(&checkpoint).await {
            // What was read with other settings cannot be read with them any more.
            Err(error) if checkpoint.plan.config != wanted.config => {
                tracing::warn!(source = %self.name, %error, "cannot read as before the change");
                self.adopt(&mut checkpoint, wanted.clone()).await?;
                logged = self.logged(&checkpoint)?;
                self.open(&checkpoint).await?
            }
            opened => opened?,
        };
        let mut rows = self.rows(&checkpoint, &logged);
        if let Some(reason) = &opened.anew {
            tracing::warn!(source = %self.name, reason, "the input is read from its start");
            rows.skip_nothing();
            checkpoint.position = Some(opened.source.position()?);
            checkpoint.sequences = rows.sequences();
            self.deps.checkpoints.save(&self.name, &checkpoint).await?;
        }
        let mut appending = Appending {
            runner: self,
            records: self.partitions(&checkpoint.plan.topic, checkpoint.plan.partitions)?,
            dead_letters: Vec::new(),
            in_flight: VecDeque::new(),
            plan: checkpoint.plan.clone(),
        };
        let again = checkpoint.plan != wanted;
        let ended = self
            .flow(opened.source, rows, &mut appending, checkpoint, again)
            .await;
        if ended.is_err() {
            // The log's next sequences say the truth only when nothing is under way.
            appending.settle().await;
        }
        ended
    }

    /// The last checkpoint, or a first one, written before anything is appended.
    async fn checkpoint(&self) -> Result<Checkpoint, PassError> {
        if let Some(checkpoint) = self.deps.checkpoints.load(&self.name).await? {
            if !self.topic_made_anew(&checkpoint) {
                return Ok(checkpoint);
            }
            let topic = &checkpoint.plan.topic;
            tracing::warn!(source = %self.name, %topic, "the topic was made anew: reading again");
        }
        let plan = self.plan()?;
        let checkpoint = Checkpoint {
            producer: self.deps.log.allocate_producer_id().await?,
            sequences: zeroes(&plan),
            position: None,
            plan,
        };
        self.deps.checkpoints.save(&self.name, &checkpoint).await?;
        Ok(checkpoint)
    }

    /// Whether the topic holds less than this source has put into the one of its name.
    fn topic_made_anew(&self, checkpoint: &Checkpoint) -> bool {
        let plan = &checkpoint.plan;
        if plan.topic != self.input.topic {
            return false;
        }
        checkpoint
            .sequences
            .records
            .iter()
            .zip(0..)
            .any(|(known, p)| {
                let name = TopicPartition::new(plan.topic.clone(), PartitionId(p));
                self.deps.log.partition(&name).is_none_or(|partition| {
                    let unknown = partition.next_sequence(checkpoint.producer).is_none();
                    unknown && partition.marks().log_end.0 < i64::from(known.0)
                })
            })
    }

    /// How rows are read and routed by what the settings and topics are now.
    fn plan(&self) -> Result<Plan, PassError> {
        let log = &self.deps.log;
        let topic = log.topic(&self.input.topic).ok_or_else(|| {
            let topic = &self.input.topic;
            PassError::Fatal(format!(
                "there is no topic {topic}; declare it in [topics.{topic}]"
            ))
        })?;
        let (dead_letter_partitions, dead_letter_bytes_max) =
            match log.topic(&self.input.dead_letter_topic) {
                Some(info) => (info.config.partitions, info.config.max_message_bytes),
                None => {
                    let max = topic.config.max_message_bytes.0;
                    let max = ByteSize(max.saturating_add(DEAD_LETTER_BYTES_MORE));
                    (topic.config.partitions, max)
                }
            };
        Ok(Plan {
            config: self.input.config.clone(),
            topic: self.input.topic.clone(),
            partitions: topic.config.partitions,
            record_bytes_max: topic.config.max_message_bytes,
            dead_letter_topic: self.input.dead_letter_topic.clone(),
            dead_letter_partitions,
            dead_letter_bytes_max,
        })
    }

    /// Reads and routes by `plan` from the checkpoint's position on.
    async fn adopt(&self, checkpoint: &mut Checkpoint, plan: Plan) -> Result<(), PassError> {
        let source = &self.name;
        tracing::info!(%source, "settings or partitions changed, taking them over");
        checkpoint.sequences = zeroes(&plan);
        checkpoint.plan = plan;
        checkpoint.sequences = self.logged(checkpoint)?;
        Ok(self.deps.checkpoints.save(source, checkpoint).await?)
    }

    /// Per partition the sequence that the log expects next; the checkpoint's where the log does
    /// not know the producer.
    fn logged(&self, checkpoint: &Checkpoint) -> Result<Sequences, PassError> {
        let next = |topic: &TopicName, known: &[Sequence]| -> Vec<Option<Sequence>> {
            let partitions = known.iter().zip(0..).map(|(&known, p)| {
                let name = TopicPartition::new(topic.clone(), PartitionId(p));
                let partition = self.deps.log.partition(&name)?;
                Some(
                    partition
                        .next_sequence(checkpoint.producer)
                        .unwrap_or(known),
                )
            });
            partitions.collect()
        };
        let known = &checkpoint.sequences;
        let plan = &checkpoint.plan;
        let records: Option<_> = next(&plan.topic, &known.records).into_iter().collect();
        let dead_letters = next(&plan.dead_letter_topic, &known.dead_letters);
        let dead_letters = dead_letters.iter().zip(&known.dead_letters);
        // A topic that was deleted has nothing to skip.
        Ok(Sequences {
            records: records.unwrap_or_else(|| known.records.clone()),
            dead_letters: dead_letters
                .map(|(next, &known)| next.unwrap_or(known))
                .collect(),
        })
    }

    fn rows(&self, checkpoint: &Checkpoint, logged: &Sequences) -> Rows {
        let labels = Labels {
            source: self.name.clone(),
            topic: checkpoint.plan.topic.to_string(),
            file: self.input.path.clone(),
        };
        let plan = checkpoint.plan.clone();
        let known = &checkpoint.sequences;
        let rows = Rows::new(plan, Arc::new(labels), checkpoint.producer, known, logged);
        rows.with_bounds(self.deps.pace.step_rows_max, self.deps.pace.batch_bytes)
    }

    async fn open(&self, checkpoint: &Checkpoint) -> Result<Opened, PassError> {
        let open = Arc::clone(&self.input.open);
        let (config, position) = (checkpoint.plan.config.clone(), checkpoint.position.clone());
        let opened = blocking(move || open(&config, position.as_ref())).await?;
        Ok(opened?)
    }

    fn partitions(&self, topic: &TopicName, count: i32) -> Result<Vec<Partition>, PassError> {
        let partitions = (0..count).map(|p| {
            let name = TopicPartition::new(topic.clone(), PartitionId(p));
            self.deps.log.partition(&name)
        });
        let partitions: Option<_> = partitions.collect();
        partitions.ok_or_else(|| PassError::Fatal(format!("topic {topic} was deleted")))
    }

    /// Reads and appends until the pass ends. With `again` it ends when nothing is to be skipped.
    async fn flow(
        &self,
        source: Box<dyn Source>,
        rows: Rows,
        appending: &mut Appending<'_>,
        mut checkpoint: Checkpoint,
        again: bool,
    ) -> Result<PassEnd, PassError> {
        let interval = self.deps.pace.checkpoint_interval;
        let mut saved = self.deps.clock.monotonic();
        let mut wait = Duration::ZERO;
        let mut reading = self.read(source, rows);
        loop {
            let mut step = reading.await?;
            self.note(step.source.as_ref());
            let due = self.deps.clock.monotonic().saturating_sub(saved) >= interval;
            let caught_up = again && step.rows.to_skip() == 0;
            let stop = self.stop.is_asked();
            if matches!(step.read, Ok(Reading::More)) && !due && !caught_up && !stop {
                self.set(SourceState::Reading, None);
                // Reads on while the batches of this step go to the log.
                let (more, appended) = tokio::join!(
                    self.read(step.source, step.rows),
                    appending.submit(step.sealed)
                );
                appended?;
                reading = Box::pin(std::future::ready(more));
                continue;
            }
            step.rows.seal_all();
            step.sealed.extend(step.rows.take());
            let news = !step.sealed.is_empty();
            appending.submit(step.sealed).await?;
            appending.acknowledged().await?;
            let read = step.read?;
            if due || caught_up || stop || matches!(read, Reading::End | Reading::Turned) {
                // Two reads of at most a KiB each, at most every few seconds.
                let position = step.source.position()?;
                self.save(position, &mut step.rows, read, &mut checkpoint)
                    .await?;
                saved = self.deps.clock.monotonic();
            }
            match read {
                Reading::End if !again => return Ok(PassEnd::Done),
                _ if stop => return Ok(PassEnd::Stopped),
                Reading::End => return Ok(PassEnd::Again),
                _ if caught_up => return Ok(PassEnd::Again),
                Reading::More | Reading::Turned => self.set(SourceState::Reading, None),
                Reading::Waiting => {
                    let (first, longest) = self.deps.pace.poll;
                    wait = if news {
                        first
                    } else {
                        (wait * 2).clamp(first, longest)
                    };
                    self.set(SourceState::Waiting, None);
                    self.pause(wait).await;
                }
            }
            reading = self.read(step.source, step.rows);
        }
    }

    /// One step of reading on a blocking thread.
    fn read(
        &self,
        mut source: Box<dyn Source>,
        mut rows: Rows,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Step, PassError>> + Send>> {
        rows.set_now(self.deps.clock.now());
        let reading = blocking(move || {
            let read = source.read(&mut rows);
            let sealed = rows.take();
            Step {
                source,
                rows,
                read,
                sealed,
            }
        });
        Box::pin(reading)
    }

    /// Everything that was read is durable: says so in a checkpoint, unless it says so already.
    async fn save(
        &self,
        position: serde_json::Value,
        rows: &mut Rows,
        read: Reading,
        checkpoint: &mut Checkpoint,
    ) -> Result<(), PassError> {
        if read == Reading::End && rows.to_skip() > 0 {
            let (source, records) = (&self.name, rows.to_skip());
            tracing::warn!(%source, records, "the log has more records than the input gave again");
            rows.skip_nothing();
        }
        let position = Some(position);
        if checkpoint.position != position {
            checkpoint.position = position;
            checkpoint.sequences = rows.sequences();
            self.deps.checkpoints.save(&self.name, checkpoint).await?;
        }
        Ok(())
    }

    fn note(&self, source: &dyn Source) {
        let progress = source.progress();
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.bytes_read.set(gauge(progress.read));
        self.metrics.bytes_total.set(gauge(progress.total));
    }
}

impl Appending<'_> {
    /// Hands batches to the log in their order.
    async fn submit(&mut self, sealed: Vec<Sealed>) -> Result<(), PassError> {
        for batch in sealed {
            while self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
                self.acknowledge_one().await?;
            }
            if batch.target == Target::DeadLetters && self.dead_letters.is_empty() {
                self.dead_letters = self.dead_letter_topic().await?;
            }
            let partitions = match batch.target {
                Target::Records => &self.records,
                Target::DeadLetters => &self.dead_letters,
            };
            let at = usize::try_from(batch.partition.0).unwrap_or(usize::MAX);
            let partition = partitions.get(at).ok_or(AppendError::Closed)?;
            let ticket = partition.submit(batch.batch).await?;
            let sent = (ticket, batch.target, batch.records, batch.value_bytes);
            self.in_flight.push_back(sent);
        }
        Ok(())
    }

    /// Makes the dead-letter topic at the first dead letter.
    async fn dead_letter_topic(&self) -> Result<Vec<Partition>, PassError> {
        let log = &self.runner.deps.log;
        let name = &self.plan.dead_letter_topic;
        if log.topic(name).is_none() {
            let spec = TopicSpec::partitions(self.plan.dead_letter_partitions)
                .max_message_bytes(self.plan.dead_letter_bytes_max);
            match log.create_topic(name, spec).await {
                Ok(_) | Err(TopicError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.runner
            .partitions(name, self.plan.dead_letter_partitions)
    }

    /// Waits for the oldest batch under way.
    async fn acknowledge_one(&mut self) -> Result<(), PassError> {
        let Some((ticket, target, records, bytes)) = self.in_flight.front_mut() else {
            return Ok(());
        };
        let (target, records, bytes) = (*target, *records, *bytes);
        let appended = ticket.await;
        self.in_flight.pop_front();
        if !appended?.duplicate {
            let metrics = &self.runner.metrics;
            match target {
                Target::Records => {
                    metrics.records.add(records);
                    metrics.bytes.add(bytes);
                }
                Target::DeadLetters => metrics.bad_rows.add(records),
            }
        }
        Ok(())
    }

    /// Waits for everything under way.
    async fn acknowledged(&mut self) -> Result<(), PassError> {
        while !self.in_flight.is_empty() {
            self.acknowledge_one().await?;
        }
        Ok(())
    }

    /// Waits for everything under way, whatever becomes of it.
    async fn settle(&mut self) {
        while !self.in_flight.is_empty() {
            // The failure that ended the pass was reported; those behind it follow from it.
            drop(self.acknowledge_one().await);
        }
    }
}

fn zeroes(plan: &Plan) -> Sequences {
    let zeroes = |n: i32| vec![Sequence(0); usize::try_from(n).unwrap_or(0)];
    Sequences {
        records: zeroes(plan.partitions),
        dead_letters: zeroes(plan.dead_letter_partitions),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PassError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PassError::Fatal(format!("reading ended unexpectedly: {error}")))
}
