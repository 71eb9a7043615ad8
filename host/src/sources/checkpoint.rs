//! How far each source is: kept in the internal topic `__wstream_sources`, one record per source
//! name, of which the last one counts.
//!
//! A checkpoint says: every row before `position` is in the log, durable, and per partition these
//! are the sequences of the next rows. It also says how those rows were read and routed, so that
//! reading them again gives the same records even if the configuration has changed since.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use wstream_log::{AppendError, Log, Partition, ReadError, RewriteError, TopicConfig, TopicError};
use wstream_record::{
    BatchBuilder, ByteSize, Clock, PartitionId, ProducerId, RecordBatch, Sequence, TopicName,
    TopicPartition,
};

/// The internal topic.
pub(super) const TOPIC: &str = "__wstream_sources";
/// Appended bytes after which the topic is written anew with its live records only.
const REWRITE_BYTES: u64 = 1 << 20;
/// Bytes read at a time.
const READ_BYTES: ByteSize = ByteSize::mib(1);

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The idempotent producer of all its records.
    pub(super) producer: ProducerId,
    /// How rows are read and routed.
    pub(super) plan: Plan,
    /// Where reading goes on; `None` is the start. What is in it only the source knows.
    pub(super) position: Option<serde_json::Value>,
    /// Per partition, the sequence of the next row.
    pub(super) sequences: Sequences,
}

/// How rows are read and routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The source's settings.
    pub(super) config: serde_json::Value,
    /// Where records go, over how many partitions, and what one may weigh.
    pub(super) topic: TopicName,
    pub(super) partitions: i32,
    pub(super) record_bytes_max: ByteSize,
    /// The same of dead letters.
    pub(super) dead_letter_topic: TopicName,
    pub(super) dead_letter_partitions: i32,
    pub(super) dead_letter_bytes_max: ByteSize,
}

/// Sequences per partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Sequences {
    pub(super) records: Vec<Sequence>,
    pub(super) dead_letters: Vec<Sequence>,
}

/// Why checkpoints are not read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The internal topic could not be made.
    #[error("topic {TOPIC}: {0}")]
    Topic(#[from] TopicError),
    /// It could not be read.
    #[error("topic {TOPIC}: {0}")]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error("topic {TOPIC}: {0}")]
    Append(#[from] AppendError),
    /// A record in it is not a checkpoint of this version.
    #[error("topic {TOPIC}: the checkpoint of source {name} does not read: {reason}")]
    Unreadable {
        /// The source.
        name: String,
        /// Why.
        reason: String,
    },
}

/// All checkpoints of a node. Clones share them.
#[derive(Debug, Clone)]
pub struct Checkpoints(Arc<Mutex<Store>>);

#[derive(Debug)]
struct Store {
    partition: Partition,
    clock: Clock,
    live: BTreeMap<String, Vec<u8>>,
    appended_bytes: u64,
}

impl Checkpoints {
    /// Reads what the log has; makes the internal topic if it is not there.
    ///
    /// # Errors
    /// The log failed.
    pub async fn open(log: &Log, clock: Clock) -> Result<Self, CheckpointError> {
        let topic = TopicName::new(TOPIC).expect("a constant that is a topic's name");
        if log.topic(&topic).is_none() {
            match log.create_topic(&topic, TopicConfig::partitions(1)).await {
                Ok(_) | Err(TopicError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let partition = log.partition(&TopicPartition::new(topic, PartitionId(0)));
        let partition = partition.ok_or(ReadError::Closed)?;
        let live = read_all(&partition).await?;
        Ok(Self(Arc::new(Mutex::new(Store {
            partition,
            clock,
            live,
            appended_bytes: 0,
        }))))
    }

    /// The last checkpoint of a source.
    pub(super) async fn load(&self, name: &str) -> Result<Option<Checkpoint>, CheckpointError> {
        let store = self.0.lock().await;
        let Some(bytes) = store.live.get(name) else {
            return Ok(None);
        };
        let checkpoint = serde_json::from_slice(bytes);
        checkpoint
            .map(Some)
            .map_err(|e| CheckpointError::Unreadable {
                name: name.to_owned(),
                reason: e.to_string(),
            })
    }

    /// Writes a checkpoint. `Ok` means that it is as durable as any acknowledged record.
    pub(super) async fn save(
        &self,
        name: &str,
        checkpoint: &Checkpoint,
    ) -> Result<(), CheckpointError> {
        let bytes = serde_json::to_vec(checkpoint).expect("numbers and strings always serialize");
        // Held while appending on purpose: the order of records is the order of the live ones.
        let mut store = self.0.lock().await;
        let batch = store.batch([(name, &bytes[..])]);
        let batch_bytes = batch.bytes().len();
        store.partition.append(batch).await?;
        store.live.insert(name.to_owned(), bytes);
        store.appended_bytes += u64::try_from(batch_bytes).unwrap_or(u64::MAX);
        if store.appended_bytes >= REWRITE_BYTES {
            store.rewrite().await;
        }
        Ok(())
    }
}

impl Store {
    fn batch<'a>(&self, records: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        let now = self.clock.now();
        for (name, value) in records {
            builder.push_parts(now, Some(name.as_bytes()), Some(value), [].into_iter());
        }
        builder.finish(None).expect("at least one record was given")
    }

    /// Keeps the topic small. What goes wrong costs space only, and is tried again later.
    async fn rewrite(&mut self) {
        let live = self.live.iter().map(|(n, v)| (n.as_str(), v.as_slice()));
        let batches = live.map(|record| self.batch([record])).collect();
        let as_of = self.partition.bounds().log_end;
        match self.partition.rewrite(batches, as_of).await {
            Ok(()) | Err(RewriteError::Moved { .. }) => {}
            Err(error) => tracing::warn!(%error, "{TOPIC} was not made smaller, trying later"),
        }
        self.appended_bytes = 0;
    }
}

async fn read_all(partition: &Partition) -> Result<BTreeMap<String, Vec<u8>>, CheckpointError> {
    let mut live = BTreeMap::new();
    let bounds = partition.bounds();
    let mut at = bounds.log_start;
    while at < bounds.high_watermark {
        let batches = partition.read(at, READ_BYTES).await?;
        for batch in &batches {
            at = batch.header().next_offset();
            read_batch(batch, &mut live)?;
        }
        if batches.is_empty() {
            break;
        }
    }
    Ok(live)
}

fn read_batch(
    batch: &RecordBatch,
    live: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), CheckpointError> {
    let records = batch.records().map_err(|e| CheckpointError::Unreadable {
        name: format!("at offset {}", batch.header().base_offset),
        reason: e.to_string(),
    })?;
    for stored in records {
        let Some(key) = stored.record.key else {
            continue;
        };
        let name = String::from_utf8_lossy(&key).into_owned();
        match stored.record.value {
            Some(value) => live.insert(name, value.to_vec()),
            None => live.remove(&name),
        };
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use wstream_record::Offset;

    use super::*;

    pub(in crate::sources) fn plan(partitions: i32, dead_letter_partitions: i32) -> Plan {
        Plan {
            config: serde_json::Value::Null,
            topic: TopicName::new("t").unwrap(),
            partitions,
            record_bytes_max: ByteSize((1 << 20) + 12),
            dead_letter_topic: TopicName::new("t.dlq").unwrap(),
            dead_letter_partitions,
            dead_letter_bytes_max: ByteSize((1 << 20) + (64 << 10)),
        }
    }

    fn checkpoint(n: i32) -> Checkpoint {
        Checkpoint {
            producer: ProducerId(3),
            plan: plan(1, 1),
            position: Some(serde_json::json!({ "bytes": n, "pad": "x".repeat(1000) })),
            sequences: Sequences {
                records: vec![Sequence(n)],
                dead_letters: vec![Sequence(0)],
            },
        }
    }

    #[tokio::test]
    async fn the_last_checkpoint_of_each_source_is_found_again() {
        let clock = Clock::system();
        let log = Log::in_memory(clock.clone());
        let checkpoints = Checkpoints::open(&log, clock.clone()).await.unwrap();
        assert_eq!(checkpoints.load("a").await.unwrap(), None);
        for n in 0..2_000 {
            let name = ["a", "b"][usize::try_from(n % 2).unwrap()];
            checkpoints.save(name, &checkpoint(n)).await.unwrap();
        }
        let again = Checkpoints::open(&log, clock).await.unwrap();
        assert_eq!(again.load("a").await.unwrap(), Some(checkpoint(1_998)));
        assert_eq!(again.load("b").await.unwrap(), Some(checkpoint(1_999)));
        // 2,000 checkpoints of more than 1,000 bytes were written.
        let topic = TopicPartition::new(TopicName::new(TOPIC).unwrap(), PartitionId(0));
        let bytes = log.partition(&topic).unwrap().bounds().bytes;
        assert!(bytes < ByteSize(REWRITE_BYTES + 10_000), "{bytes}");
        assert!(log.partition(&topic).unwrap().bounds().log_end > Offset(2_000));
    }
}
