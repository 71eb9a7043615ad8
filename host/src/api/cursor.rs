//! Reads records of one topic in order of time across its partitions, within bounds.
//!
//! Within a partition the order is that of offsets; between partitions the earlier timestamp goes
//! first among what has been read. Memory is bounded by one read of `READ_BYTES` per partition.

use std::collections::VecDeque;

use wstream_log::{Log, Partition, ReadError, Upto, Waiter};
use wstream_record::{
    ByteSize, JsonRecord, Offset, PartitionId, StoredRecord, Timestamp, TopicName,
};

use crate::http::ApiError;

/// Bytes read of one partition at a time.
const READ_BYTES: ByteSize = ByteSize::kib(256);
/// Most uncompressed bytes of one batch.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Most records that can be asked for from the end.
pub(super) const FROM_END_MAX: i64 = 10_000;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At an offset, or at the oldest record if that has gone.
    At(Offset),
    /// So many records before the end.
    FromEnd(i64),
    /// At the first record of that time or later.
    Time(Timestamp),
}

struct Side {
    partition: Partition,
    id: PartitionId,
    next: Offset,
    /// Where a reader that does not follow stops.
    end: Offset,
    buffer: VecDeque<StoredRecord>,
    /// Whether the cursor's waiter watches it.
    watched: bool,
    closed: bool,
}

/// Records of a topic's partitions, merged.
pub(super) struct Cursor {
    topic: TopicName,
    sides: Vec<Side>,
    follow: bool,
    waiter: Waiter,
}

impl Cursor {
    /// A reader of one partition or of all.
    pub(super) async fn open(
        log: &Log,
        topic: &TopicName,
        partition: Option<PartitionId>,
        start: Start,
        follow: bool,
    ) -> Result<Self, ApiError> {
        let Some(info) = log.topic(topic) else {
            return Err(ApiError::not_found("topic", topic.as_str()));
        };
        let mut sides = Vec::new();
        for found in log.partitions(topic) {
            let id = found.name().partition;
            if partition.is_some_and(|p| p != id) {
                continue;
            }
            let marks = found.marks();
            let end = marks.high_watermark;
            let next = match start {
                Start::Earliest => marks.log_start,
                Start::Latest => end,
                Start::At(offset) => offset.clamp(marks.log_start, end),
                Start::FromEnd(n) => end.plus(-n).max(marks.log_start),
                Start::Time(at) => found
                    .offset_for(at)
                    .await
                    .map_err(failed)?
                    .map_or(end, |f| f.0),
            };
            sides.push(Side {
                partition: found,
                id,
                next,
                end,
                buffer: VecDeque::new(),
                watched: false,
                closed: false,
            });
        }
        if sides.is_empty() {
            let asked = partition.unwrap_or_default();
            let count = info.config.partitions;
            let message = format!("topic {topic} has no partition {asked}");
            return Err(ApiError::bad_request("unknown_partition", message)
                .hint(format!("its partitions are 0 to {}", count - 1)));
        }
        Ok(Self {
            topic: topic.clone(),
            sides,
            follow,
            waiter: Waiter::new(),
        })
    }

    /// Whether it goes on at the end.
    pub(super) fn follows(&self) -> bool {
        self.follow
    }

    /// The next record; `None` at the end, which a reader that follows never reaches.
    pub(super) async fn next(&mut self) -> Result<Option<JsonRecord>, ApiError> {
        loop {
            for side in &mut self.sides {
                side.fill(self.follow).await?;
            }
            if self.follow && self.sides.iter().any(|side| side.closed) {
                return Ok(None);
            }
            let first = self
                .sides
                .iter_mut()
                .filter(|s| !s.buffer.is_empty())
                .min_by_key(|s| s.buffer.front().map(|r| r.record.timestamp));
            if let Some(side) = first
                && let Some(record) = side.buffer.pop_front()
            {
                return Ok(Some(JsonRecord::stored(&self.topic, side.id, &record)));
            }
            if !self.follow {
                return Ok(None);
            }
            self.wait().await;
        }
    }

    /// Returns when a fetch would answer something else than nothing. Cancel-safe.
    async fn wait(&mut self) {
        for side in self.sides.iter_mut().filter(|side| !side.watched) {
            let (partition, next) = (&side.partition, side.next);
            self.waiter.watch(partition, next, Upto::HighWatermark);
            side.watched = true;
        }
        for ready in self.waiter.wait().await {
            let mut sides = self.sides.iter_mut();
            if let Some(side) = sides.find(|side| side.id == ready.partition) {
                side.watched = false;
            }
        }
    }
}

impl Side {
    /// Reads on, unless there is something to give or nothing to read.
    async fn fill(&mut self, follow: bool) -> Result<(), ApiError> {
        let end = if follow { Offset(i64::MAX) } else { self.end };
        while self.buffer.is_empty() && self.next < end {
            let upto = Upto::HighWatermark;
            let fetch = self.partition.fetch(self.next, READ_BYTES, upto, None);
            let fetched = match fetch.await {
                Ok(fetched) => fetched,
                // Retention overtook the reader: it goes on at what is left.
                Err(ReadError::Trimmed { start, .. }) => {
                    self.next = start;
                    continue;
                }
                Err(ReadError::Closed) if follow => {
                    self.closed = true;
                    return Ok(());
                }
                Err(error) => return Err(failed(error)),
            };
            if fetched.next <= self.next {
                return Ok(());
            }
            let wanted = self.next..end;
            for batch in fetched.batches().map_err(failed)? {
                let header = batch.header();
                if header.is_control() {
                    continue;
                }
                let offset = header.base_offset;
                let records = wstream_kafka::records(&batch, BATCH_BYTES_MAX)
                    .map_err(|e| ApiError::internal(format!("offset {offset}: {e}")))?;
                let records = records.into_iter().filter(|r| wanted.contains(&r.offset));
                self.buffer.extend(records);
            }
            self.next = fetched.next;
        }
        Ok(())
    }
}

fn failed(error: ReadError) -> ApiError {
    match error {
        ReadError::Closed => ApiError::unavailable("closed", error.to_string()),
        other => ApiError::internal(other.to_string()),
    }
}
