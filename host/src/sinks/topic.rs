//! Another topic of the node: a batch is durable once the log has acknowledged its records.
//!
//! The partition is the one the transform chose, else it follows from the key as in Kafka; a null
//! key, and any with `partition_by = "input"`, goes to the partition it came from, modulo the
//! count. After a crash the records since the
//! last committed position are appended again: at least once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use wstream_log::{AppendError, AppendTicket, Log};
use wstream_record::{
    BatchBuilder, ByteSize, Offset, PartitionId, RecordBatch, TopicName, TopicPartition,
};

use crate::metrics::SinkMetrics;

use super::progress::Progress;
use super::{
    Durable, Origin, PartitionBy, Refusal, Sink, SinkBatch, SinkDeps, SinkError, SinkRecord, Start,
    TopicSinkConfig, count,
};

/// Batches that wait for their acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 64;
/// Bytes at which a batch is handed to the log.
const BATCH_BYTES: usize = 512 << 10;
/// Bytes that the header of a batch and of a record add at most to a record's own, headers of
/// the record aside.
const OVERHEAD_BYTES: usize = 128;
/// The same for each header of the record.
const HEADER_OVERHEAD_BYTES: usize = 10;

struct TopicSink {
    log: Log,
    topic: TopicName,
    partition_by: PartitionBy,
    from: PartitionId,
    prepared: Option<(SinkBatch, BTreeMap<PartitionId, Outgoing>)>,
    pending: mpsc::Sender<Pending>,
    submitted: Offset,
    progress: Progress,
    metrics: Arc<SinkMetrics>,
}

struct Pending {
    next_offset: Offset,
    tickets: Vec<AppendTicket>,
    _room: Option<OwnedSemaphorePermit>,
}

pub(super) fn open(
    config: &TopicSinkConfig,
    origin: &Origin,
    deps: &SinkDeps,
    metrics: Arc<SinkMetrics>,
) -> Result<Box<dyn Sink>, SinkError> {
    if deps.log.topic(&config.topic).is_none() {
        return Err(SinkError::fatal(format!(
            "there is no topic {}",
            config.topic
        )));
    }
    let progress = Progress::new(origin.position);
    let (pending, acknowledged) = mpsc::channel(UNACKNOWLEDGED_MAX);
    // Ends by itself when the sink is dropped.
    drop(tokio::spawn(follow(acknowledged, progress.clone())));
    Ok(Box::new(TopicSink {
        log: deps.log.clone(),
        topic: config.topic.clone(),
        partition_by: config.partition_by,
        from: origin.partition.partition,
        prepared: None,
        pending,
        submitted: origin.position,
        progress,
        metrics,
    }))
}

/// Awaits acknowledgements in order.
async fn follow(mut pending: mpsc::Receiver<Pending>, progress: Progress) {
    while let Some(batch) = pending.recv().await {
        for ticket in batch.tickets {
            if let Err(error) = ticket.await {
                progress.failed(sink_error(&error));
                return;
            }
        }
        progress.durable(batch.next_offset);
    }
}

fn sink_error(error: &AppendError) -> SinkError {
    // What a topic takes may have changed since the records were looked at, or the topic be another
    // one: then the next attempt says so.
    let changed = matches!(error, AppendError::TooLarge { .. } | AppendError::Closed);
    if error.is_retryable() || changed {
        SinkError::retry(error)
    } else {
        SinkError::fatal(error)
    }
}

/// Records of one submit on their way to one partition.
#[derive(Default)]
struct Outgoing {
    builder: BatchBuilder,
    batches: Vec<RecordBatch>,
}

impl TopicSink {
    /// Batches by partition, and what no partition takes.
    fn build(&self, records: &[SinkRecord]) -> Result<Built, SinkError> {
        let topic = self.log.topic(&self.topic);
        let gone = || SinkError::fatal(format!("topic {} is gone", self.topic));
        let config = topic.ok_or_else(gone)?.config;
        let bytes_max = usize::try_from(config.max_message_bytes.0).unwrap_or(usize::MAX);
        let batch_bytes = BATCH_BYTES.min(bytes_max);
        let mut built = Built::default();
        for record in records {
            let to = match self.place(record, config.partitions, config.max_message_bytes) {
                Ok(to) => to,
                Err(refusal) => {
                    built.refused.push(refusal);
                    continue;
                }
            };
            let outgoing = built.by_partition.entry(to).or_default();
            let bytes = encoded_bytes_max(record);
            if outgoing.builder.byte_len() + bytes > batch_bytes {
                outgoing.batches.extend(outgoing.builder.finish(None));
            }
            outgoing.builder.push(&record.record);
        }
        Ok(built)
    }

    fn place(
        &self,
        record: &SinkRecord,
        partitions: i32,
        bytes_max: ByteSize,
    ) -> Result<PartitionId, Refusal> {
        let refuse = |code, message| Refusal {
            offset: record.offset,
            code,
            message,
        };
        let bytes = encoded_bytes_max(record) as u64;
        if bytes > bytes_max.0 {
            let message = format!(
                "the record has about {bytes} bytes, topic {} takes {bytes_max}",
                self.topic
            );
            return Err(refuse("too_large", message));
        }
        let time = record.record.timestamp;
        if !time.is_valid() {
            let message = AppendError::Timestamp { found: time }.to_string();
            return Err(refuse("timestamp", message));
        }
        match record.partition {
            Some(to) if (0..partitions).contains(&to.0) => Ok(to),
            Some(to) => {
                let message = format!(
                    "partition {to} was chosen, topic {} has {partitions}",
                    self.topic
                );
                Err(refuse("partition", message))
            }
            None => {
                let by_key = self.partition_by == PartitionBy::Key;
                let key = record.record.key.as_deref().filter(|_| by_key);
                Ok(wstream_kafka::partition_for(key, partitions, self.from))
            }
        }
    }
}

#[derive(Default)]
struct Built {
    by_partition: BTreeMap<PartitionId, Outgoing>,
    refused: Vec<Refusal>,
}

/// At least the bytes of a batch that holds this record alone.
fn encoded_bytes_max(record: &SinkRecord) -> usize {
    let headers = record.record.headers.len() * HEADER_OVERHEAD_BYTES;
    record.record.payload_bytes() + headers + OVERHEAD_BYTES
}

impl Sink for TopicSink {
    fn start(&self) -> Start {
        Start::Group
    }

    fn prepare(&mut self, batch: SinkBatch) -> BoxFuture<'_, Result<Vec<Refusal>, SinkError>> {
        async move {
            let built = self.build(&batch.records)?;
            self.prepared = Some((batch, built.by_partition));
            Ok(built.refused)
        }
        .boxed()
    }

    fn submit(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        async move {
            self.progress.check()?;
            let Some((batch, by_partition)) = self.prepared.take() else {
                return Ok(());
            };
            count(&self.metrics, &batch);
            let mut tickets = Vec::new();
            for (to, mut outgoing) in by_partition {
                let name = TopicPartition::new(self.topic.clone(), to);
                let gone = || SinkError::fatal(format!("there is no partition {name}"));
                let partition = self.log.partition(&name).ok_or_else(gone)?;
                outgoing.batches.extend(outgoing.builder.finish(None));
                for records in outgoing.batches {
                    let submitted = partition.submit(records).await;
                    tickets.push(submitted.map_err(|e| sink_error(&e))?);
                }
            }
            let pending = Pending {
                next_offset: batch.next_offset,
                tickets,
                _room: batch.room,
            };
            if self.pending.send(pending).await.is_err() {
                self.progress.check()?;
                return Err(SinkError::retry("the sink has stopped"));
            }
            self.submitted = batch.next_offset;
            Ok(())
        }
        .boxed()
    }

    fn durable(&self) -> watch::Receiver<Durable> {
        self.progress.subscribe()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.progress.reached(self.submitted).boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}
