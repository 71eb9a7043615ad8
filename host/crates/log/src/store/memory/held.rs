//! What one partition holds in memory: its marks, and its batches in stretches of bounded size.
//!
//! Stretches are what `extents` shows, so that retention finds the same shape as on disk.

use std::collections::VecDeque;

use wstream_record::{Offset, RecordBatch, Timestamp};

use crate::store::compact::{
    KEYS_BYTES_MAX, Kept, LastOffsets, filter, holds_tombstone, tombstones_until,
};
use crate::store::{Aborted, Cleanup, Entry, Extent, aborted};

/// What a flush says of the entries that it brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flushed {
    pub(super) at: Timestamp,
    /// Counts the rolls of the stream; a stretch does not reach over one.
    pub(super) generation: u64,
    pub(super) stretch_bytes: u64,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) high_watermark: Offset,
    /// Oldest first, none of them empty.
    stretches: VecDeque<Stretch>,
    /// In the order of markers.
    pub(super) aborted: Vec<Aborted>,
    compacted: Compacted,
}

#[derive(Debug)]
struct Stretch {
    /// Never empty between calls.
    batches: VecDeque<RecordBatch>,
    bytes: u64,
    appended: Timestamp,
    generation: u64,
}

/// How far compaction has come.
#[derive(Debug, Default)]
struct Compacted {
    /// Below this every superseded record has gone.
    to: Offset,
    /// Where the next pass begins, if the last one was full of keys.
    resume: Option<Offset>,
    /// When the next tombstone goes.
    tombstones_until: Option<Timestamp>,
}

impl Held {
    /// Does what an entry says; `Gone` is the caller's.
    pub(super) fn apply(&mut self, entry: Entry, flushed: Flushed) {
        match entry {
            Entry::Batch(batch) => self.append(batch, flushed),
            Entry::Start(start) => self.raise_start(start),
            Entry::End(end) => self.truncate(end),
            Entry::Reset(start) => {
                *self = Self {
                    start,
                    end: start,
                    high_watermark: start,
                    ..Self::default()
                }
            }
            Entry::HighWatermark(at) => self.high_watermark = at.max(self.high_watermark),
            Entry::Gone => {}
        }
        self.high_watermark = self.high_watermark.clamp(self.start, self.end);
    }

    fn append(&mut self, batch: RecordBatch, flushed: Flushed) {
        debug_assert!(batch.header().base_offset >= self.end, "checked by `write`");
        let bytes = batch.bytes().len() as u64;
        let takes = |s: &&mut Stretch| {
            s.generation == flushed.generation && s.bytes + bytes <= flushed.stretch_bytes
        };
        self.end = batch.header().next_offset();
        if let Some(newest) = self.stretches.back_mut().filter(takes) {
            newest.bytes += bytes;
            newest.appended = newest.appended.max(flushed.at);
            newest.batches.push_back(batch);
        } else {
            self.stretches.push_back(Stretch {
                batches: VecDeque::from([batch]),
                bytes,
                appended: flushed.at,
                generation: flushed.generation,
            });
        }
    }

    fn raise_start(&mut self, start: Offset) {
        self.start = self.start.max(start);
        self.end = self.end.max(self.start);
        let start = self.start;
        self.aborted.retain(|range| range.last >= start);
        while let Some(oldest) = self.stretches.front_mut() {
            oldest.drop_below(start);
            if !oldest.batches.is_empty() {
                break;
            }
            self.stretches.pop_front();
        }
    }

    fn truncate(&mut self, end: Offset) {
        self.end = end;
        self.start = self.start.min(end);
        aborted::truncate(&mut self.aborted, end);
        self.compacted.to = self.compacted.to.min(end);
        self.compacted.resume = None;
        while let Some(newest) = self.stretches.back_mut() {
            newest.drop_from(end);
            if !newest.batches.is_empty() {
                break;
            }
            self.stretches.pop_back();
        }
    }

    /// Bytes of all batches.
    pub(super) fn bytes(&self) -> u64 {
        self.stretches.iter().map(|s| s.bytes).sum()
    }

    /// Records from the start to below `end`; of a batch that one of them cuts, as many as there may
    /// be at most.
    pub(super) fn records_below(&self, end: Offset) -> u64 {
        let (start, end) = (self.start, end.min(self.end));
        let below = self.batches_from(start).map(RecordBatch::header);
        let below = below.take_while(|header| header.base_offset < end);
        let records = below.filter(|header| !header.is_control()).map(|header| {
            let inside = header.next_offset().min(end).0 - header.base_offset.max(start).0;
            u64::try_from(inside.min(i64::from(header.records))).unwrap_or(0)
        });
        records.sum()
    }

    /// All stretches, oldest first.
    pub(super) fn extents(&self) -> Vec<Extent> {
        self.stretches.iter().filter_map(Stretch::extent).collect()
    }

    /// The batches from the one that holds `from`, or the first behind it.
    pub(super) fn batches_from(&self, from: Offset) -> impl Iterator<Item = &RecordBatch> {
        let at = self.stretches.partition_point(|s| s.next() <= from);
        let first = self.stretches.get(at);
        let skip = first.map_or(0, |s| {
            s.batches
                .partition_point(|b| b.header().next_offset() <= from)
        });
        let stretches = self.stretches.iter().skip(at);
        stretches.flat_map(|s| &s.batches).skip(skip)
    }

    /// Whether `compact` would find something to do.
    pub(super) fn wants_compaction(&self, cleanup: Cleanup, now: Timestamp) -> bool {
        let Some(below) = cleanup.compact_below else {
            return false;
        };
        let due = self
            .compacted
            .tombstones_until
            .is_some_and(|until| now > until);
        due || self.compacted.resume.is_some() || below.min(self.end) > self.compacted.to
    }

    /// One pass. Answers whether another one is wanted at once.
    pub(super) fn compact(&mut self, cleanup: Cleanup, now: Timestamp) -> bool {
        let below = cleanup.compact_below.unwrap_or_default().min(self.end);
        let from = self.compacted.resume.unwrap_or(self.start);
        let mut last = LastOffsets::new(from, below, KEYS_BYTES_MAX);
        let unnoted = self.batches_from(self.start).find(|b| !last.note(b));
        let full = unnoted.is_some_and(|b| b.header().next_offset() <= below);
        let mut until: Option<Timestamp> = None;
        for stretch in &mut self.stretches {
            let before = std::mem::take(&mut stretch.batches);
            for batch in before {
                let batch = match filter(&batch, &last, now, cleanup) {
                    Kept::Whole => batch,
                    Kept::Rewritten(rest) => rest,
                    Kept::Gone => continue,
                };
                let later = tombstones_until(&batch, cleanup).filter(|&until| until >= now);
                if let Some(at) = later.filter(|_| holds_tombstone(&batch)) {
                    until = Some(until.map_or(at, |u| u.min(at)));
                }
                stretch.batches.push_back(batch);
            }
            stretch.bytes = stretch.batches.iter().map(|b| b.bytes().len() as u64).sum();
        }
        self.stretches.retain(|s| !s.batches.is_empty());
        self.compacted = Compacted {
            to: if full { self.compacted.to } else { below },
            resume: full.then(|| last.noted_to()),
            tombstones_until: until,
        };
        full
    }
}

impl Stretch {
    fn next(&self) -> Offset {
        let last = self.batches.back();
        last.map_or(Offset(0), |b| b.header().next_offset())
    }

    fn drop_below(&mut self, start: Offset) {
        let gone = |b: &mut RecordBatch| b.header().next_offset() <= start;
        while let Some(batch) = self.batches.pop_front_if(gone) {
            self.bytes -= batch.bytes().len() as u64;
        }
    }

    fn drop_from(&mut self, end: Offset) {
        let gone = |b: &mut RecordBatch| b.header().next_offset() > end;
        while let Some(batch) = self.batches.pop_back_if(gone) {
            debug_assert!(
                batch.header().base_offset >= end,
                "a log is cut at a boundary"
            );
            self.bytes -= batch.bytes().len() as u64;
        }
    }

    fn extent(&self) -> Option<Extent> {
        let first = self.batches.front()?.header().base_offset;
        let largest = self
            .batches
            .iter()
            .map(|b| b.header().max_timestamp)
            .max()?;
        Some(Extent {
            first,
            next: self.next(),
            bytes: self.bytes,
            appended: self.appended,
            largest,
        })
    }
}
