//! Reads records of one topic in order of time across its partitions, within bounds.
//!
//! Within a partition the order is that of offsets; between partitions the earlier timestamp goes
//! first among what has been read. Memory is bounded by one read of `READ_BYTES` per partition.
//!
//! Offsets that are missing are told where they would have been, those that compaction took as one
//! sum once a partition is read to its end. A topic that is deleted ends the reader with an error; a
//! new one under its name is another topic and is not gone on with.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use axum::http::StatusCode;
use wstream_log::{Fetched, Log, Missing as Hole, Partition, ReadError, Upto, Waiter};
use wstream_record::{
    ByteSize, JsonRecord, Offset, PartitionId, StoredRecord, Timestamp, TopicName,
};

use super::missing::{Missing, Reason, Sum, explain};
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

/// What a reader is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// A record.
    Record(JsonRecord),
    /// Offsets without records.
    Missing(Missing),
}

struct Side {
    log: Log,
    partition: Partition,
    id: PartitionId,
    next: Offset,
    /// Where a reader that does not follow stops.
    end: Offset,
    buffer: VecDeque<Piece>,
    /// What compaction was found to have taken, and was not told yet.
    compacted: Option<Sum>,
    /// Whether the cursor's waiter watches it.
    watched: bool,
    closed: bool,
}

enum Piece {
    Record(StoredRecord),
    Missing(Missing),
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
            let mut buffer = VecDeque::new();
            if let Start::At(offset) = start
                && offset < marks.log_start
            {
                let gone = offset..marks.log_start;
                let gone = Missing::all(found.name(), &gone, Reason::Retention);
                buffer.push_back(Piece::Missing(gone));
            }
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
                log: log.clone(),
                partition: found,
                id,
                next,
                end,
                buffer,
                compacted: None,
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

    /// The next record, or what is missing in front of it; `None` at the end, which a reader that
    /// follows reaches only when the node stops.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, ApiError> {
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
                .min_by_key(|s| match s.buffer.front() {
                    Some(Piece::Record(stored)) => stored.record.timestamp,
                    Some(Piece::Missing(_)) | None => Timestamp(i64::MIN),
                });
            if let Some(side) = first
                && let Some(piece) = side.buffer.pop_front()
            {
                return Ok(Some(match piece {
                    Piece::Record(stored) => {
                        Item::Record(JsonRecord::stored(&self.topic, side.id, &stored))
                    }
                    Piece::Missing(missing) => Item::Missing(missing),
                }));
            }
            if !self.follow {
                return Ok(None);
            }
            self.wait().await;
        }
    }

    /// What compaction was found to have taken and was not told yet: for a reader that ends before
    /// the end.
    pub(super) fn rest(&mut self) -> Vec<Missing> {
        let told = |side: &mut Side| {
            let sum = side.compacted.take()?;
            Some(sum.told(side.partition.name(), Reason::Compaction))
        };
        self.sides.iter_mut().filter_map(told).collect()
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
                    let gone = self.next..start.min(end);
                    let gone = Missing::all(self.partition.name(), &gone, Reason::Retention);
                    self.buffer.push_back(Piece::Missing(gone));
                    self.next = start;
                    continue;
                }
                Err(ReadError::Closed) if self.is_deleted() => return Err(self.deleted()),
                Err(ReadError::Closed) if follow => {
                    self.closed = true;
                    return Ok(());
                }
                Err(error) => return Err(failed(error)),
            };
            if fetched.next <= self.next {
                break;
            }
            self.take(&fetched, end)?;
        }
        // It has come to the end.
        if self.buffer.is_empty()
            && let Some(sum) = self.compacted.take()
        {
            let told = sum.told(self.partition.name(), Reason::Compaction);
            self.buffer.push_back(Piece::Missing(told));
        }
        Ok(())
    }

    /// Takes up what was read below `end`, and what is missing in it.
    fn take(&mut self, fetched: &Fetched, end: Offset) -> Result<(), ApiError> {
        let mut expected = self.next;
        let mut gaps = Gaps::default();
        for batch in fetched.batches().map_err(failed)? {
            let header = batch.header();
            let (base, behind) = (header.base_offset, header.next_offset().min(end));
            self.tell(&mut gaps, expected..base.min(end));
            expected = expected.max(base);
            if !header.is_control() {
                let records = wstream_kafka::records(&batch, BATCH_BYTES_MAX)
                    .map_err(|e| ApiError::internal(format!("offset {base}: {e}")))?;
                for stored in records {
                    let offset = stored.offset;
                    if offset < expected || offset >= end {
                        continue;
                    }
                    self.tell(&mut gaps, expected..offset);
                    expected = offset.plus(1);
                    self.buffer.push_back(Piece::Record(stored));
                }
                self.tell(&mut gaps, expected..behind);
            }
            expected = expected.max(behind);
        }
        self.tell(&mut gaps, expected..fetched.next.min(end));
        if let Some(unknown) = gaps.unknown {
            let told = unknown.told(self.partition.name(), Reason::Unknown);
            self.buffer.push_back(Piece::Missing(told));
        }
        self.next = fetched.next;
        Ok(())
    }

    /// Says what is missing, or sums it up.
    fn tell(&mut self, gaps: &mut Gaps, gap: Range<Offset>) {
        if gap.is_empty() {
            return;
        }
        let name = self.partition.name();
        let known = gaps.known.get_or_insert_with(|| {
            let holes = self.log.missing().into_iter();
            let mut holes: Vec<Hole> = holes
                .filter(|hole| hole.partition.as_ref() == Some(name))
                .collect();
            holes.sort_by_key(|hole| hole.first);
            let topic = self.log.topic(&name.topic);
            let compacts = topic.is_some_and(|topic| topic.config.cleanup.compacts());
            (holes, compacts)
        });
        let (damaged, rest) = explain(name, gap, &known.0);
        let sum = if known.1 {
            &mut self.compacted
        } else {
            &mut gaps.unknown
        };
        for gap in rest {
            Sum::add(sum, &gap);
        }
        self.buffer.extend(damaged.into_iter().map(Piece::Missing));
    }

    /// Whether the topic itself has gone, and not only this node's log.
    fn is_deleted(&self) -> bool {
        let now = self.log.topic(&self.partition.name().topic);
        now.is_none_or(|topic| topic.id != self.partition.topic_id())
    }

    fn deleted(&self) -> ApiError {
        let name = &self.partition.name().topic;
        let message = format!("topic {name} was deleted while it was read");
        let hint = match self.log.topic(name) {
            None => "its records are gone",
            Some(_) => "its records are gone; there is a new topic of that name, with others",
        };
        ApiError::new(StatusCode::GONE, "topic_deleted", message).hint(hint)
    }
}

/// The gaps of one read.
#[derive(Default)]
struct Gaps {
    /// The partition's holes that the log knows, and whether its topic is compacted; asked for once.
    known: Option<(Vec<Hole>, bool)>,
    unknown: Option<Sum>,
}

fn failed(error: ReadError) -> ApiError {
    match error {
        ReadError::Closed => ApiError::unavailable("closed", error.to_string()),
        other => ApiError::internal(other.to_string()),
    }
}
