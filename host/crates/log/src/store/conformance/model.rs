//! What a partition must hold, kept in the simplest way, and what a replay must show of it.

use std::collections::BTreeMap;

use wstream_record::{BatchHeader, ByteSize, Offset, RecordBatch, Timestamp};

use super::batches::aborted_by;
use crate::store::{Aborted, Derived, Entry, Found, PartitionKey, Replay, ReplayEntry};

/// One partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) high_watermark: Offset,
    /// All that reach above the start, with the time they were appended at.
    pub(super) batches: Vec<(RecordBatch, Timestamp)>,
    /// In the order of markers.
    pub(super) aborted: Vec<Aborted>,
    /// Whether a replay may show what compaction has removed.
    pub(super) compacted: bool,
}

impl Partition {
    pub(super) fn apply(&mut self, entry: &Entry, now: Timestamp) {
        match entry {
            Entry::Batch(batch) => {
                assert!(batch.header().base_offset >= self.end, "the case is wrong");
                self.end = batch.header().next_offset();
                self.batches.push((batch.clone(), now));
            }
            Entry::Start(start) => {
                self.start = self.start.max(*start);
                let start = self.start;
                self.batches
                    .retain(|(b, _)| b.header().next_offset() > start);
                self.aborted.retain(|range| range.last >= start);
            }
            Entry::End(end) => {
                self.end = *end;
                self.batches
                    .retain(|(b, _)| b.header().next_offset() <= *end);
                self.aborted.retain(|range| range.last < *end);
            }
            Entry::Reset(start) => {
                *self = Self {
                    start: *start,
                    end: *start,
                    ..Self::default()
                }
            }
            Entry::HighWatermark(at) => self.high_watermark = self.high_watermark.max(*at),
            Entry::Gone => {}
        }
        self.high_watermark = self.high_watermark.clamp(self.start, self.end);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &RecordBatch> {
        self.batches.iter().map(|(batch, _)| batch)
    }

    /// The batches that reach above `from`.
    pub(super) fn above(&self, from: Offset) -> impl Iterator<Item = &RecordBatch> {
        self.all().filter(move |b| b.header().next_offset() > from)
    }

    /// What a read answers.
    pub(super) fn read(&self, from: Offset, end: Offset, limit: ByteSize) -> Vec<&RecordBatch> {
        let mut bytes = 0;
        let below = self
            .above(from)
            .take_while(|b| b.header().next_offset() <= end);
        let fit = below.enumerate().take_while(|(n, b)| {
            bytes += b.bytes().len() as u64;
            *n == 0 || bytes <= limit.0
        });
        fit.map(|(_, b)| b).collect()
    }

    /// What a look-up by time answers.
    pub(super) fn find(&self, from: Offset, end: Offset, at: Timestamp) -> Option<Found> {
        self.above(from).find_map(|batch| {
            let header = batch.header();
            let Ok(records) = batch.records() else {
                let hit = header.max_timestamp >= at && header.base_offset < end;
                return hit.then(|| Found {
                    offset: header.base_offset.max(from),
                    timestamp: header.max_timestamp,
                });
            };
            let mut within = records.iter().filter(|r| (from..end).contains(&r.offset));
            let hit = within.find(|r| r.record.timestamp >= at)?;
            Some(Found {
                offset: hit.offset,
                timestamp: hit.record.timestamp,
            })
        })
    }

    /// What must have been noted of it.
    pub(super) fn notes(&self) -> Vec<Note> {
        let note = |b| Note::new(RecordBatch::header(b), control_of(b));
        self.all().map(note).collect()
    }
}

/// What a case derives from a batch: enough to tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note([i64; 8]);

impl Note {
    fn new(header: &BatchHeader, control: Option<&RecordBatch>) -> Self {
        assert_eq!(
            control.is_some(),
            header.is_control(),
            "control batches are shown whole"
        );
        Self([
            header.base_offset.0,
            header.next_offset().0,
            header.base_timestamp.0,
            header.max_timestamp.0,
            i64::from(header.leader_epoch.0),
            i64::from(header.attributes),
            i64::from(header.records),
            control.map_or(0, hash),
        ])
    }

    pub(super) fn base(&self) -> Offset {
        Offset(self.0[0])
    }

    pub(super) fn next_offset(&self) -> Offset {
        Offset(self.0[1])
    }
}

fn control_of(batch: &RecordBatch) -> Option<&RecordBatch> {
    batch.header().is_control().then_some(batch)
}

fn hash(batch: &RecordBatch) -> i64 {
    let bytes = batch.bytes().iter();
    bytes.fold(7, |hash: i64, &b| {
        hash.wrapping_mul(31).wrapping_add(i64::from(b))
    })
}

/// Takes up a replay.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) partitions: BTreeMap<PartitionKey, Vec<Note>>,
    /// Answers that nothing derived reads.
    pub(super) refuses: bool,
    /// Entries behind what was derived.
    pub(super) entries: usize,
    /// Times that something derived was taken.
    pub(super) taken: usize,
}

impl Replay for Seen {
    fn derived(&mut self, derived: Derived) -> bool {
        if self.refuses {
            return false;
        }
        self.taken += 1;
        for (key, bytes) in derived {
            let numbers: Vec<i64> = bytes
                .chunks(8)
                .map(|b| i64::from_be_bytes(b.try_into().unwrap()))
                .collect();
            let notes = numbers.chunks(8).map(|n| Note(n.try_into().unwrap()));
            self.partitions.insert(key, notes.collect());
        }
        true
    }

    fn entry(&mut self, key: PartitionKey, entry: ReplayEntry<'_>) -> Option<Aborted> {
        self.entries += 1;
        let notes = self.partitions.entry(key).or_default();
        match entry {
            ReplayEntry::Batch { header, control } => {
                let end = notes.last().map_or(Offset(0), Note::next_offset);
                assert!(
                    header.base_offset >= end,
                    "{key:?}: {header:?} is below {end}"
                );
                notes.push(Note::new(header, control));
                return control.and_then(aborted_by);
            }
            ReplayEntry::Start(start) => notes.retain(|n| n.next_offset() > start),
            ReplayEntry::End(end) => notes.retain(|n| n.next_offset() <= end),
            ReplayEntry::Reset => notes.clear(),
            ReplayEntry::Incomplete => {}
        }
        None
    }
}

/// What is derived from all partitions.
pub(super) fn derive(partitions: &BTreeMap<PartitionKey, Partition>) -> Derived {
    let derive = |partition: &Partition| {
        let notes = partition.notes();
        notes
            .iter()
            .flat_map(|n| n.0)
            .flat_map(i64::to_be_bytes)
            .collect()
    };
    partitions
        .iter()
        .map(|(&key, p)| (key, derive(p)))
        .collect()
}
