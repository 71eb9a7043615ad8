//! Rows on their way to partitions: routed, skipped where the log has them, and packed into
//! batches that carry the source's producer id.
//!
//! Everything here follows from the rows and the `Plan` alone, so that reading the same rows again
//! gives every partition the same records in the same order: that is what makes skipping right.
//! Where batches are cut does not matter, since the log counts records.

use std::sync::Arc;

use wstream_kafka::partition_for;
use wstream_record::{
    BatchBuilder, PartitionId, ProducerEpoch, ProducerId, ProducerStamp, RecordBatch, Sequence,
    Timestamp,
};

use super::checkpoint::{Plan, Sequences};

/// A batch is closed at this size: one that the log stores as a single value.
pub(super) const BATCH_BYTES: usize = 96 << 10;
/// One step of reading ends when its closed batches have this many bytes.
const STEP_BYTES_MAX: usize = 1 << 20;
/// When open batches have this many bytes together, all are closed.
const OPEN_BYTES_MAX: usize = 8 << 20;
/// What a batch and a record add to key and value, at most.
const RECORD_OVERHEAD_BYTES: usize = 128;
/// Room for a dead letter's headers beside its value.
const DEAD_LETTER_HEADERS_BYTES: usize = 16 << 10;
/// Bytes of a dead letter's message; a longer one is cut.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// One row that is a record.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its number among all rows, bad ones included, from 0.
    pub number: u64,
    /// Its physical line in the input, from 1.
    pub line: u64,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's time; `None` is the time of reading.
    pub timestamp: Option<Timestamp>,
    /// The record's value.
    pub value: &'a [u8],
    /// The row as it stands in the input: the dead letter, if the record does not fit the topic.
    pub raw: &'a [u8],
}

/// One row that cannot be a record.
#[derive(Debug, Clone, Copy)]
pub struct BadRow<'a> {
    /// Its number among all rows, bad ones included, from 0.
    pub number: u64,
    /// Its physical line in the input, from 1.
    pub line: u64,
    /// Why, in a word.
    pub code: BadRowCode,
    /// Why, in a sentence with the values.
    pub message: &'a str,
    /// The row as it stands in the input.
    pub raw: &'a [u8],
}

/// Why a row is a dead letter: the header `wstream.error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadRowCode {
    /// More or fewer cells than columns.
    Columns,
    /// Not UTF-8.
    Utf8,
    /// Longer than `row_bytes_max`.
    RowSize,
    /// A quote that is still open at the end of the input.
    OpenQuote,
    /// As a record larger than the topic takes.
    RecordSize,
    /// The cell or field that holds the time does not.
    Timestamp,
    /// Not JSON, where JSON is needed.
    Json,
}

impl BadRowCode {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Utf8 => "utf8",
            Self::RowSize => "row_size",
            Self::OpenQuote => "open_quote",
            Self::RecordSize => "record_size",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
        }
    }
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The source's topic.
    Records,
    /// Its dead-letter topic.
    DeadLetters,
}

/// A batch for the log.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) target: Target,
    pub(super) partition: PartitionId,
    pub(super) batch: RecordBatch,
    pub(super) records: u64,
    /// Bytes of the records' values.
    pub(super) value_bytes: u64,
}

/// What stands in every dead letter of a source.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) source: String,
    pub(super) topic: String,
    pub(super) file: String,
}

/// Takes rows and gives batches.
#[derive(Debug)]
pub struct Rows {
    plan: Plan,
    labels: Arc<Labels>,
    producer: ProducerId,
    /// The time of records that have none of their own.
    now: Timestamp,
    records: Vec<Lane>,
    dead_letters: Vec<Lane>,
    sealed: Vec<Sealed>,
    sealed_bytes: usize,
    open_bytes: usize,
    /// Rows that this step may still take, and what it had at its start.
    left: usize,
    step_rows_max: usize,
    batch_bytes: usize,
}

/// The way to one partition.
#[derive(Debug)]
struct Lane {
    builder: BatchBuilder,
    /// The sequence of the first record in `builder`.
    first: Sequence,
    /// Rows still to pass because the log has them.
    skip: u32,
    value_bytes: u64,
}

impl Lane {
    fn new(logged: Sequence, skip: u32) -> Self {
        Self {
            builder: BatchBuilder::new(),
            first: logged,
            skip,
            value_bytes: 0,
        }
    }

    /// The sequence of the next row that reading gives this partition.
    fn next(&self) -> Sequence {
        let open = i32::try_from(self.builder.len()).expect("a batch is bounded");
        let skip = i32::try_from(self.skip).expect("a distance of sequences fits");
        self.first.plus(open).plus(-skip)
    }
}

impl Rows {
    /// Continues where the checkpoint and the log are.
    ///
    /// `known` has, per partition, the sequence at the position that is read from; `logged` the one
    /// that the log expects next. What lies between is skipped.
    pub(super) fn new(
        plan: Plan,
        labels: Arc<Labels>,
        producer: ProducerId,
        known: &Sequences,
        logged: &Sequences,
    ) -> Self {
        let lanes = |known: &[Sequence], logged: &[Sequence]| {
            known
                .iter()
                .zip(logged)
                .map(|(&known, &logged)| Lane::new(logged, distance(known, logged)))
                .collect()
        };
        Self {
            records: lanes(&known.records, &logged.records),
            dead_letters: lanes(&known.dead_letters, &logged.dead_letters),
            plan,
            labels,
            producer,
            now: Timestamp::NONE,
            sealed: Vec::new(),
            sealed_bytes: 0,
            open_bytes: 0,
            left: usize::MAX,
            step_rows_max: usize::MAX,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Bounds the rows of one step of reading, and closes batches at `batch_bytes`.
    pub(super) fn with_bounds(mut self, step_rows_max: usize, batch_bytes: usize) -> Self {
        self.left = step_rows_max;
        self.step_rows_max = step_rows_max;
        self.batch_bytes = batch_bytes;
        self
    }

    /// Sets the time of records that have none of their own.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Whether a step of reading has enough: the reader then returns.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left == 0 || self.sealed_bytes >= STEP_BYTES_MAX
    }

    /// Rows that are still to be skipped.
    pub(super) fn to_skip(&self) -> u64 {
        let lanes = self.records.iter().chain(&self.dead_letters);
        lanes.map(|lane| u64::from(lane.skip)).sum()
    }

    /// Stops skipping: what the log has beyond the checkpoint is not of this input.
    pub(super) fn skip_nothing(&mut self) {
        let lanes = self.records.iter_mut().chain(&mut self.dead_letters);
        lanes.for_each(|lane| lane.skip = 0);
    }

    /// Per partition, the sequence of the next row.
    pub(super) fn sequences(&self) -> Sequences {
        Sequences {
            records: self.records.iter().map(Lane::next).collect(),
            dead_letters: self.dead_letters.iter().map(Lane::next).collect(),
        }
    }

    /// Closes every open batch.
    pub(super) fn seal_all(&mut self) {
        for target in [Target::Records, Target::DeadLetters] {
            for lane in 0..self.lanes(target).len() {
                self.seal(target, lane);
            }
        }
    }

    /// Takes the closed batches.
    pub(super) fn take(&mut self) -> Vec<Sealed> {
        self.sealed_bytes = 0;
        self.left = self.step_rows_max;
        std::mem::take(&mut self.sealed)
    }

    /// Takes a row. One that is larger than the topic takes becomes a dead letter.
    pub fn record(&mut self, row: &Row<'_>) {
        let payload = row.value.len() + row.key.map_or(0, <[u8]>::len);
        let max = usize::try_from(self.plan.record_bytes_max.0).unwrap_or(usize::MAX);
        if payload.saturating_add(RECORD_OVERHEAD_BYTES) > max {
            let message = format!(
                "as a record the row has {payload} bytes, and topic {} takes batches of {max}",
                self.labels.topic
            );
            self.bad(&BadRow {
                number: row.number,
                line: row.line,
                code: BadRowCode::RecordSize,
                message: &message,
                raw: row.raw,
            });
            return;
        }
        let from = in_turn(row.number, self.records.len());
        let count = i32::try_from(self.records.len()).unwrap_or(i32::MAX);
        let partition = partition_for(row.key, count, from);
        let timestamp = row.timestamp.unwrap_or(self.now);
        let parts = Parts {
            timestamp,
            key: row.key,
            value: row.value,
            headers: &[],
        };
        self.push(Target::Records, partition, &parts);
    }

    /// Takes a row that cannot be a record.
    pub fn bad(&mut self, row: &BadRow<'_>) {
        let max = usize::try_from(self.plan.dead_letter_bytes_max.0).unwrap_or(usize::MAX);
        let room = max.saturating_sub(DEAD_LETTER_HEADERS_BYTES);
        let raw = row.raw.get(..room).unwrap_or(row.raw);
        let message = row.message;
        let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let line = row.line.to_string();
        let labels = Arc::clone(&self.labels);
        let headers = [
            ("wstream.error.stage", "source"),
            ("wstream.error.source", &labels.source),
            ("wstream.error.topic", &labels.topic),
            ("wstream.error.file", &labels.file),
            ("wstream.error.line", &line),
            ("wstream.error.code", row.code.name()),
            ("wstream.error.message", &message[..cut]),
        ]
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let partition = in_turn(row.number, self.dead_letters.len());
        let parts = Parts {
            timestamp: self.now,
            key: None,
            value: raw,
            headers: &headers,
        };
        self.push(Target::DeadLetters, partition, &parts);
    }

    fn lanes(&mut self, target: Target) -> &mut Vec<Lane> {
        match target {
            Target::Records => &mut self.records,
            Target::DeadLetters => &mut self.dead_letters,
        }
    }

    fn push(&mut self, target: Target, partition: PartitionId, parts: &Parts<'_>) {
        self.left = self.left.saturating_sub(1);
        let batch_bytes = self.batch_bytes;
        let at = usize::try_from(partition.0).unwrap_or(0);
        let lane = &mut self.lanes(target)[at];
        if lane.skip > 0 {
            lane.skip -= 1;
            return;
        }
        let bytes = parts.bytes();
        if !lane.builder.is_empty() && lane.builder.byte_len() + bytes > batch_bytes {
            self.seal(target, at);
        }
        let lane = &mut self.lanes(target)[at];
        let before = lane.builder.byte_len();
        lane.builder.push_parts(
            parts.timestamp,
            parts.key,
            Some(parts.value),
            parts.headers.iter().copied(),
        );
        lane.value_bytes += u64::try_from(parts.value.len()).unwrap_or(u64::MAX);
        let after = lane.builder.byte_len();
        self.open_bytes += after - before;
        if after >= batch_bytes {
            self.seal(target, at);
        } else if self.open_bytes > OPEN_BYTES_MAX {
            self.seal_all();
        }
    }

    fn seal(&mut self, target: Target, at: usize) {
        let producer = self.producer;
        let lane = &mut self.lanes(target)[at];
        let (records, bytes) = (lane.builder.len(), lane.builder.byte_len());
        let stamp = ProducerStamp {
            id: producer,
            epoch: ProducerEpoch(0),
            sequence: lane.first,
        };
        let Some(batch) = lane.builder.finish(Some(stamp)) else {
            return;
        };
        let left = lane.builder.byte_len();
        lane.first = lane
            .first
            .plus(i32::try_from(records).expect("a batch is bounded"));
        let value_bytes = std::mem::take(&mut lane.value_bytes);
        self.open_bytes -= bytes - left;
        self.sealed_bytes += bytes;
        self.sealed.push(Sealed {
            target,
            partition: PartitionId(i32::try_from(at).expect("a partition's number")),
            batch,
            records: u64::try_from(records).unwrap_or(u64::MAX),
            value_bytes,
        });
    }
}

struct Parts<'a> {
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: &'a [u8],
    headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl Parts<'_> {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len))
            .sum();
        self.value.len() + self.key.map_or(0, <[u8]>::len) + headers
    }
}

/// The partition of a row without a key.
fn in_turn(number: u64, partitions: usize) -> PartitionId {
    let count = u64::try_from(partitions).unwrap_or(u64::MAX).max(1);
    PartitionId(i32::try_from(number % count).expect("partitions are counted in i32"))
}

/// Records from `from` to `to`, over the wrap at 2^31; 0 if `to` is behind, which only a log that
/// lost acknowledged records can show.
fn distance(from: Sequence, to: Sequence) -> u32 {
    let distance = to.plus(-from.0).0;
    // A checkpoint is seconds old: half of all sequences cannot lie between it and the log.
    u32::try_from(distance)
        .ok()
        .filter(|&d| d < 1 << 30)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::checkpoint::tests::plan;

    fn rows(known: &[i32], logged: &[i32]) -> Rows {
        let sequences = |s: &[i32]| Sequences {
            records: s.iter().copied().map(Sequence).collect(),
            dead_letters: vec![Sequence(0)],
        };
        let labels = Arc::new(Labels {
            source: "s".into(),
            topic: "t".into(),
            file: "in.csv".into(),
        });
        let partitions = i32::try_from(known.len()).unwrap();
        Rows::new(
            plan(partitions, 1),
            labels,
            ProducerId(7),
            &sequences(known),
            &sequences(logged),
        )
    }

    fn row(number: u64, value: &[u8]) -> Row<'_> {
        Row {
            number,
            line: number + 1,
            key: None,
            timestamp: None,
            value,
            raw: value,
        }
    }

    #[test]
    fn rows_the_log_has_are_skipped_partition_by_partition() {
        let mut rows = rows(&[5, 0], &[7, 0]);
        assert_eq!(rows.to_skip(), 2);
        for n in 0..6 {
            rows.record(&row(n, n.to_string().as_bytes()));
        }
        assert_eq!(rows.sequences().records, [Sequence(8), Sequence(3)]);
        rows.seal_all();
        let got: Vec<_> = rows
            .take()
            .iter()
            .map(|s| {
                let values = s.batch.records().unwrap();
                let values: Vec<_> = values
                    .iter()
                    .map(|r| r.record.value.clone().unwrap())
                    .collect();
                let stamp = s.batch.header().producer.unwrap();
                (s.partition.0, stamp.sequence.0, values.concat())
            })
            .collect();
        assert_eq!(got, [(0, 7, b"4".to_vec()), (1, 0, b"135".to_vec())]);
    }

    #[test]
    fn sequences_before_the_log_are_reported_while_skipping() {
        let mut rows = rows(&[i32::MAX], &[2]);
        assert_eq!(rows.to_skip(), 3);
        assert_eq!(rows.sequences().records, [Sequence(i32::MAX)]);
        rows.record(&row(0, b"x"));
        assert_eq!(rows.sequences().records, [Sequence(0)]);
        rows.skip_nothing();
        assert_eq!(rows.sequences().records, [Sequence(2)]);
    }

    #[test]
    fn a_log_that_lost_records_is_continued_at_its_end() {
        let rows = rows(&[100], &[90]);
        assert_eq!(rows.to_skip(), 0);
        assert_eq!(rows.sequences().records, [Sequence(90)]);
    }

    #[test]
    fn batches_are_bounded_and_a_large_record_goes_alone() {
        let mut rows = rows(&[0], &[0]);
        let (small, large) = (vec![b'x'; 40 << 10], vec![b'y'; 500 << 10]);
        for (n, value) in [&small, &small, &small, &large, &small]
            .into_iter()
            .enumerate()
        {
            rows.record(&row(u64::try_from(n).unwrap(), value));
        }
        rows.seal_all();
        let sizes: Vec<_> = rows.take().iter().map(|s| s.records).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn a_record_the_topic_does_not_take_is_a_dead_letter_with_its_raw_row() {
        let mut rows = rows(&[0, 0], &[0, 0]);
        let value = vec![b'x'; 1 << 20];
        let large = Row {
            raw: b"the row",
            ..row(4, &value)
        };
        rows.record(&large);
        rows.seal_all();
        let sealed = rows.take();
        assert_eq!((sealed.len(), sealed[0].target), (1, Target::DeadLetters));
        let record = &sealed[0].batch.records().unwrap()[0].record;
        assert_eq!(record.value.as_deref(), Some(&b"the row"[..]));
        let header =
            |name: &str| String::from_utf8_lossy(record.header(name).unwrap()).into_owned();
        assert_eq!(header("wstream.error.stage"), "source");
        assert_eq!(header("wstream.error.line"), "5");
        assert_eq!(header("wstream.error.file"), "in.csv");
        assert_eq!(header("wstream.error.code"), "record_size");
        let message = "as a record the row has 1048576 bytes, and topic t takes batches of 1048588";
        assert_eq!(header("wstream.error.message"), message);
    }
}
