//! The last record of each key in one partition of an internal topic, which the log itself compacts:
//! what `append` returned `Ok` for is found by the next `open`, a batch whole or not at all.
//!
//! `Table::open` makes the topic if there is none, waits until nothing of an earlier owner is under
//! way, and reads everything. Should compaction take records away meanwhile, a tombstone might go
//! unseen while what it hides was read: then all is read again.
//! A table has one owner at a time. It knows nothing of what its records mean, and does not
//! decompress: what is no plain record is passed over with a warning, unless the caller's decoder
//! reads it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tracing::warn;
use wstream_record::{
    BatchBuilder, BatchError, ByteSize, Offset, RecordBatch, StoredRecord, Timestamp, TopicName,
    TopicPartition,
};

use crate::errors::{AppendError, ReadError, TopicError};
use crate::log::Log;
use crate::partition::{AppendTicket, Partition, Upto};
use crate::topic::{Cleanup, TopicChange, TopicSpec};

/// Bytes read at once.
const READ_BYTES: ByteSize = ByteSize::mib(1);
/// How often a table is read again because compaction has changed it meanwhile.
const READS_MAX: usize = 10;
/// Bytes that the numbers of a record come to at most.
const RECORD_OVERHEAD_BYTES: usize = 40;

/// What is made where a table is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSettings {
    /// Partitions of the topic; more are added where there are fewer.
    pub partitions: i32,
    /// Bytes of the largest batch.
    pub message_bytes_max: ByteSize,
}

/// Reads the records of a batch. `BatchError::Compressed` has it passed over.
pub type Decoder = dyn Fn(&RecordBatch) -> Result<Vec<StoredRecord>, BatchError> + Send + Sync;

/// The last record of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRecord {
    /// Where it is.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its value: a key whose last record has none is not there.
    pub value: Bytes,
}

/// The last records of all keys.
pub type LastRecords = BTreeMap<Bytes, LastRecord>;

/// Why a table is not opened.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The topic could not be made.
    #[error("cannot make topic {topic}: {error}")]
    Topic {
        /// Which.
        topic: TopicName,
        /// Why.
        error: TopicError,
    },
    /// It could not be read.
    #[error("cannot read {partition}: {error}")]
    Read {
        /// Which.
        partition: TopicPartition,
        /// Why.
        error: ReadError,
    },
    /// A batch that was stored is none.
    #[error("{partition} holds what does not read at offset {offset}: {reason}")]
    Corrupt {
        /// Which.
        partition: TopicPartition,
        /// Where.
        offset: Offset,
        /// Why.
        reason: String,
    },
    /// Somebody else writes to it, or compaction does not come to an end.
    #[error("could not read {partition}: it changed each of {READS_MAX} times")]
    Restless {
        /// Which.
        partition: TopicPartition,
    },
}

/// One partition, of which the last record of each key counts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    log: Log,
    partition: Partition,
}

/// Records that are appended together.
#[derive(Debug)]
pub struct TableBatch {
    now: Timestamp,
    builder: BatchBuilder,
}

impl Table {
    /// Opens a partition of a table and reads it.
    ///
    /// # Errors
    /// The topic cannot be made, or what it holds does not read.
    pub async fn open(
        log: &Log,
        of: &TopicPartition,
        settings: TableSettings,
        decoder: &Decoder,
    ) -> Result<(Self, LastRecords), TableError> {
        let made = provide(log, &of.topic, settings).await;
        made.map_err(|error| TableError::Topic {
            topic: of.topic.clone(),
            error,
        })?;
        let partition = log.partition(of).ok_or_else(|| TableError::Read {
            partition: of.clone(),
            error: ReadError::Closed,
        })?;
        let table = Self {
            log: log.clone(),
            partition,
        };
        let live = table.read(decoder).await?;
        Ok((table, live))
    }

    /// Topic and number.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        self.partition.name()
    }

    /// Bytes of the largest batch that is taken at the moment.
    #[must_use]
    pub fn message_bytes_max(&self) -> ByteSize {
        let topic = self.log.topic(&self.name().topic);
        topic.map_or(ByteSize(0), |topic| topic.config.max_message_bytes)
    }

    /// Appends a batch: `Ok` means that all of it survives what the node's durability says.
    ///
    /// # Errors
    /// See `AppendError`. None of it is there, except after `Failed`.
    pub async fn append(&self, batch: RecordBatch) -> Result<(), AppendError> {
        self.submit(batch).await?.await.map(|_appended| ())
    }

    /// Hands a batch over. The order of submits is the order of records.
    ///
    /// # Errors
    /// As `append`; what else can go wrong, the ticket says.
    pub async fn submit(&self, batch: RecordBatch) -> Result<AppendTicket, AppendError> {
        self.partition.submit(batch).await
    }

    /// Reads the table anew. Nobody may append meanwhile.
    ///
    /// # Errors
    /// What it holds does not read.
    pub async fn read(&self, decoder: &Decoder) -> Result<LastRecords, TableError> {
        self.settle().await;
        for _ in 0..READS_MAX {
            let before = self.partition.stats().bytes;
            let mut live = LastRecords::new();
            self.read_once(decoder, &mut live).await?;
            if self.partition.stats().bytes == before {
                return Ok(live);
            }
        }
        Err(TableError::Restless {
            partition: self.name().clone(),
        })
    }

    /// Waits until what an owner before has handed over is decided.
    async fn settle(&self) {
        // A start that stays where it is changes nothing and waits its turn. Whether it is refused
        // does not matter: what came before it has been judged by then.
        let start = self.partition.marks().log_start;
        drop(self.partition.delete_before(start).await);
    }

    async fn read_once(&self, decoder: &Decoder, live: &mut LastRecords) -> Result<(), TableError> {
        let failed = |error| TableError::Read {
            partition: self.name().clone(),
            error,
        };
        let mut at = self.partition.marks().log_start;
        loop {
            let fetch = self
                .partition
                .fetch(at, READ_BYTES, Upto::HighWatermark, None);
            let fetched = fetch.await.map_err(failed)?;
            for batch in fetched.batches().map_err(failed)? {
                self.note(decoder, &batch, live)?;
            }
            if fetched.next <= at {
                return Ok(());
            }
            at = fetched.next;
        }
    }

    fn note(
        &self,
        decoder: &Decoder,
        batch: &RecordBatch,
        live: &mut LastRecords,
    ) -> Result<(), TableError> {
        let header = batch.header();
        let offset = header.base_offset;
        let pass_over = |kind: &str| {
            warn!(partition = %self.name(), %offset, kind, "records of a table are passed over");
        };
        if header.is_control() {
            return Ok(());
        }
        if header.is_transactional() {
            pass_over("transactional");
            return Ok(());
        }
        let records = match decoder(batch) {
            Ok(records) => records,
            Err(BatchError::Compressed(_)) => {
                pass_over("compressed");
                return Ok(());
            }
            Err(error) => {
                return Err(TableError::Corrupt {
                    partition: self.name().clone(),
                    offset,
                    reason: error.to_string(),
                });
            }
        };
        for StoredRecord { offset, record } in records {
            let Some(key) = record.key else { continue };
            match record.value {
                Some(value) => {
                    let last = LastRecord {
                        offset,
                        timestamp: record.timestamp,
                        // Copies: a slice would keep its whole batch in memory.
                        value: Bytes::copy_from_slice(&value),
                    };
                    live.insert(Bytes::copy_from_slice(&key), last);
                }
                None => drop(live.remove(&key)),
            }
        }
        Ok(())
    }
}

impl TableBatch {
    /// Nothing yet; records get the time `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            builder: BatchBuilder::new(),
        }
    }

    /// The value of a key from now on; `None` removes it.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.builder
            .push_parts(self.now, Some(key), value, [].into_iter());
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        ByteSize(self.builder.byte_len() as u64)
    }

    /// Bytes with a further record, at most.
    #[must_use]
    pub fn bytes_with(&self, key: &[u8], value: Option<&[u8]>) -> ByteSize {
        let record = key.len() + value.map_or(0, <[u8]>::len) + RECORD_OVERHEAD_BYTES;
        ByteSize((self.builder.byte_len() + record) as u64)
    }

    /// The batch; `None` if nothing was put. Then it is empty again.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        self.builder.finish(None)
    }
}

/// Makes the topic, or the partitions that it lacks.
async fn provide(log: &Log, topic: &TopicName, settings: TableSettings) -> Result<(), TopicError> {
    if log.topic(topic).is_none() {
        let spec = TopicSpec::partitions(settings.partitions)
            .cleanup(Cleanup::Compact)
            .max_message_bytes(settings.message_bytes_max);
        match log.create_topic(topic, spec).await {
            // Another partition's owner was faster.
            Ok(_) | Err(TopicError::Exists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let has = log.topic(topic).map_or(0, |topic| topic.config.partitions);
    if has >= settings.partitions {
        return Ok(());
    }
    let more = TopicChange::Some {
        partitions: Some(settings.partitions),
        set: BTreeMap::new(),
        unset: BTreeSet::new(),
    };
    match log.alter_topic(topic, more).await {
        Ok(_) | Err(TopicError::FewerPartitions { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
