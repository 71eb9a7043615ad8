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
use wstream_log::{
    AppendError, Log, MESSAGE_BYTES_MAX_DEFAULT, Table, TableBatch, TableError, TableSettings,
};
use wstream_record::{
    ByteSize, Clock, PartitionId, ProducerId, RecordBatch, Sequence, TopicName, TopicPartition,
};

/// The internal topic.
pub(super) const TOPIC: &str = "__wstream_sources";

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
    /// They could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// One could not be written.
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
    table: Table,
    clock: Clock,
    live: BTreeMap<String, Vec<u8>>,
}

impl Checkpoints {
    /// Reads what the log has; makes the internal topic if it is not there.
    ///
    /// # Errors
    /// The log failed.
    pub async fn open(log: &Log, clock: Clock) -> Result<Self, CheckpointError> {
        let topic = TopicName::new(TOPIC).expect("a constant that is a topic's name");
        let of = TopicPartition::new(topic, PartitionId(0));
        let settings = TableSettings {
            partitions: 1,
            message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
        };
        let (table, live) = Table::open(log, &of, settings, &RecordBatch::records).await?;
        let live = live.into_iter().map(|(name, last)| {
            let name = String::from_utf8_lossy(&name).into_owned();
            (name, last.value.to_vec())
        });
        Ok(Self(Arc::new(Mutex::new(Store {
            table,
            clock,
            live: live.collect(),
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
        let mut batch = TableBatch::new(store.clock.now());
        batch.put(name.as_bytes(), Some(&bytes));
        let batch = batch.finish().expect("a record was put");
        store.table.append(batch).await?;
        store.live.insert(name.to_owned(), bytes);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
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
        // 2,000 checkpoints of more than 1,000 bytes were written; the log keeps the last ones.
        let topic = TopicName::new(TOPIC).unwrap();
        let partition = log.partitions(&topic).remove(0);
        assert!(partition.stats().bytes > ByteSize::mib(2));
        log.maintain().await;
        let bytes = partition.stats().bytes;
        assert!(bytes < ByteSize::kib(64), "{bytes}");
        assert_eq!(again.load("a").await.unwrap(), Some(checkpoint(1_998)));
    }
}
