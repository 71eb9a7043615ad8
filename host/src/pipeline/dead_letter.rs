//! Dead letters: records that failed, unchanged, with the reason in headers. What `write` returned
//! `Ok` for is acknowledged by the log.
//!
//! The topic has as many partitions as the one it stands for, and takes batches 64 KiB larger, so
//! that a record fits with its headers. It is made with the first letter. A batch that does not
//! decode is a letter as well: its value is the batch, byte for byte.
//! Letters are at least once: after a crash the same record may fail again.

use std::sync::Arc;

use bytes::Bytes;

use wstream_log::{AppendError, Log, Partition, TopicError, TopicSpec};
use wstream_record::{
    BatchBuilder, ByteSize, Compression, Header, Offset, PartitionId, Record, RecordBatch,
    Timestamp, TopicName, TopicPartition,
};

/// What a dead-letter topic's name ends with.
pub(super) const SUFFIX: &str = ".dlq";
/// Room for the headers of a letter.
const HEADERS_BYTES_MAX: u64 = 64 << 10;
/// The longest message in a header.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Bytes at which a batch of letters is handed to the log.
const BATCH_BYTES: usize = 512 << 10;

/// Which part of the pipeline could not take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A batch did not decode.
    Decode,
    /// A transform failed on it.
    Transform,
    /// A sink refused it.
    Sink,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Sink => "sink",
        }
    }
}

/// Why a record failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) stage: Stage,
    /// Name of the transform or of the sink.
    pub(super) by: Arc<str>,
    /// The transform's version, if it has one.
    pub(super) version: Option<Arc<str>>,
    /// The transform's place in the pipeline, from 1.
    pub(super) step: Option<usize>,
    /// A guest's own number, or the name of the host's reason.
    pub(super) code: String,
    pub(super) message: String,
}

/// A record that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) offset: Offset,
    pub(super) record: Record,
    pub(super) reason: Reason,
}

/// Why letters could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeadLetterError {
    #[error("could not create {topic}: {error}")]
    Create { topic: TopicName, error: TopicError },
    #[error("could not append to {topic}: {error}")]
    Append {
        topic: TopicName,
        error: AppendError,
    },
    #[error("topic {topic} has no partitions")]
    NoPartition { topic: TopicName },
    #[error("cannot name a dead-letter topic for {topic}: the name becomes too long")]
    Name { topic: TopicName },
}

impl DeadLetterError {
    /// Whether trying again can help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Name { .. } => false,
            // A topic that was deleted meanwhile is made anew.
            Self::Append { error, .. } => {
                error.is_retryable() || matches!(error, AppendError::Closed)
            }
            Self::Create { error, .. } => {
                matches!(error, TopicError::Metadata(_) | TopicError::Store(_))
            }
            Self::NoPartition { .. } => true,
        }
    }
}

/// Where the failed records of one partition go.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    log: Log,
    pipeline: Arc<str>,
    from: TopicPartition,
    topic: TopicName,
}

impl DeadLetters {
    /// Letters of `from`, to `topic` or to the source topic's own.
    pub(super) fn new(
        log: Log,
        pipeline: Arc<str>,
        from: TopicPartition,
        topic: Option<&TopicName>,
    ) -> Result<Self, DeadLetterError> {
        let named = || TopicName::new(&format!("{}{SUFFIX}", from.topic));
        let name = DeadLetterError::Name {
            topic: from.topic.clone(),
        };
        let topic = topic
            .cloned()
            .map_or_else(named, Ok)
            .map_err(|_long| name)?;
        Ok(Self {
            log,
            pipeline,
            from,
            topic,
        })
    }

    /// Appends the letters in order and waits until they are acknowledged.
    pub(super) async fn write(&self, letters: Vec<Letter>) -> Result<(), DeadLetterError> {
        if letters.is_empty() {
            return Ok(());
        }
        let (partition, bytes_max) = self.partition().await?;
        let failed = |error| DeadLetterError::Append {
            topic: self.topic.clone(),
            error,
        };
        let mut tickets = Vec::new();
        for batch in self.batches(letters, bytes_max) {
            tickets.push(partition.submit(batch).await.map_err(failed)?);
        }
        for ticket in tickets {
            ticket.await.map_err(failed)?;
        }
        Ok(())
    }

    async fn partition(&self) -> Result<(Partition, usize), DeadLetterError> {
        let info = match self.log.topic(&self.topic) {
            Some(info) => info,
            None => self.create().await?,
        };
        let count = info.config.partitions.max(1);
        let number = PartitionId(self.from.partition.0.rem_euclid(count));
        let name = TopicPartition::new(self.topic.clone(), number);
        let missing = DeadLetterError::NoPartition {
            topic: self.topic.clone(),
        };
        let partition = self.log.partition(&name).ok_or(missing)?;
        let bytes_max = usize::try_from(info.config.max_message_bytes.0).unwrap_or(usize::MAX);
        Ok((partition, bytes_max))
    }

    async fn create(&self) -> Result<wstream_log::TopicInfo, DeadLetterError> {
        let source = self.log.topic(&self.from.topic).map(|t| t.config);
        let source = source.unwrap_or_default();
        let bytes_max = ByteSize(source.max_message_bytes.0 + HEADERS_BYTES_MAX);
        let spec = TopicSpec::partitions(source.partitions).max_message_bytes(bytes_max);
        match self.log.create_topic(&self.topic, spec).await {
            Ok(info) => Ok(info),
            // Another partition was faster.
            Err(TopicError::Exists(topic)) => {
                let missing = DeadLetterError::NoPartition { topic };
                self.log.topic(&self.topic).ok_or(missing)
            }
            Err(error) => Err(DeadLetterError::Create {
                topic: self.topic.clone(),
                error,
            }),
        }
    }

    fn batches(&self, letters: Vec<Letter>, bytes_max: usize) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        let mut builder = BatchBuilder::new();
        for letter in letters {
            let record = self.record(letter);
            let bytes = record.payload_bytes() + record.headers.len() * 10 + 128;
            if builder.byte_len() + bytes > BATCH_BYTES.min(bytes_max) {
                batches.extend(builder.finish(None));
            }
            builder.push(&record);
            if bytes > bytes_max {
                let batch = builder.finish(None);
                batches.extend(batch.map(packed));
            }
        }
        batches.extend(builder.finish(None));
        batches
    }

    /// The record with the reason in headers behind its own.
    fn record(&self, letter: Letter) -> Record {
        let Letter {
            offset,
            mut record,
            reason,
        } = letter;
        let mut put = |name: &'static str, value: String| {
            record.headers.push(Header::text(name, value));
        };
        put("wstream.error.stage", reason.stage.name().to_owned());
        put("wstream.error.pipeline", self.pipeline.to_string());
        match reason.stage {
            Stage::Decode => {}
            Stage::Transform => put("wstream.error.transform", reason.by.to_string()),
            Stage::Sink => put("wstream.error.sink", reason.by.to_string()),
        }
        if let Some(version) = reason.version {
            put("wstream.error.version", version.to_string());
        }
        if let Some(step) = reason.step {
            put("wstream.error.step", step.to_string());
        }
        put("wstream.error.code", reason.code);
        put("wstream.error.message", cut(reason.message));
        put("wstream.error.topic", self.from.topic.to_string());
        put("wstream.error.partition", self.from.partition.to_string());
        put("wstream.error.offset", offset.to_string());
        put("wstream.error.timestamp", record.timestamp.to_string());
        put("wstream.error.attempts", "1".to_owned());
        record
    }
}

/// A record that came in a compressed batch may be larger than a batch may be: so it is compressed
/// again, and what the log then says of its size is the log's word.
fn packed(batch: RecordBatch) -> RecordBatch {
    wstream_kafka::compress(&batch, Compression::Zstd).unwrap_or(batch)
}

/// The letter of a batch that does not decode: the batch itself.
pub(super) fn raw(batch: &RecordBatch, reason: Reason) -> Letter {
    let header = batch.header();
    let time = header.max_timestamp;
    Letter {
        offset: header.base_offset,
        record: Record {
            timestamp: if time.is_valid() {
                time
            } else {
                Timestamp::NONE
            },
            key: None,
            value: Some(Bytes::clone(batch.bytes())),
            headers: Vec::new(),
        },
        reason,
    }
}

fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
}
