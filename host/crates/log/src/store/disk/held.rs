//! What a stream holds of one partition: its marks, and the stretches of its batches in the order
//! of their offsets, each in one segment.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use wstream_record::{Offset, Timestamp};

use super::index::{Place, Stretch, offsets_in};
use super::segment::Segment;
use crate::store::{Aborted, Extent};

/// Bytes at which another stretch begins.
const STRETCH_BYTES: u64 = 1 << 20;

/// One partition in its stream.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) high_watermark: Offset,
    /// By offset, without overlap.
    pub(super) spans: VecDeque<Span>,
    pub(super) bytes: u64,
    /// Segments with markers that aborted something, by offset.
    pub(super) aborted: VecDeque<AbortedIn>,
    /// Of all spans.
    pub(super) records: u64,
    pub(super) compacted: Compacted,
}

/// Where the index of a segment says what was aborted.
#[derive(Debug, Clone)]
pub(super) struct AbortedIn {
    pub(super) segment: Arc<Segment>,
    /// The first marker.
    pub(super) first: Offset,
    /// Behind the last marker that counts: what the index says of later ones was truncated.
    pub(super) next: Offset,
}

/// How far a partition was compacted since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Compacted {
    /// Everything below was.
    pub(super) to: Offset,
    /// When the next tombstone goes.
    pub(super) tombstones_until: Option<Timestamp>,
    /// What is under way.
    pub(super) pass: Option<Pass>,
}

/// Compaction goes over a partition's segments from the oldest on, some at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    /// It has come to here.
    pub(super) next: Offset,
    /// It ends here.
    pub(super) end: Offset,
}

/// A stretch of batches in one segment.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) segment: Arc<Segment>,
    pub(super) first: Offset,
    pub(super) next: Offset,
    pub(super) bytes: u64,
    pub(super) appended: Timestamp,
    pub(super) largest: Timestamp,
    pub(super) records: u32,
    /// It was cut at a boundary within one of its places.
    pub(super) cut: bool,
}

impl Span {
    pub(super) fn of(segment: &Arc<Segment>, stretch: Stretch) -> Self {
        Self {
            segment: Arc::clone(segment),
            first: stretch.first,
            next: stretch.next,
            bytes: stretch.bytes,
            appended: stretch.appended,
            largest: stretch.largest,
            records: stretch.records,
            cut: false,
        }
    }

    /// Records in [from, end). If that cuts a span with gaps, as many as there may be at most.
    fn records_in(&self, from: Offset, end: Offset) -> u32 {
        let inside = offsets_in(self.first.max(from), self.next.min(end));
        self.records.min(inside)
    }
}

impl Held {
    /// Takes up batches behind all others.
    pub(super) fn push(&mut self, segment: &Arc<Segment>, place: &Place, appended: Timestamp) {
        let bytes = u64::from(place.bytes);
        self.end = place.next;
        self.bytes += bytes;
        self.records += u64::from(place.records);
        if let Some(last) = self.spans.back_mut() {
            let fits = last.segment.id == segment.id
                && !last.cut
                && last.next == place.first
                && last.bytes + bytes <= STRETCH_BYTES;
            if fits {
                last.next = place.next;
                last.bytes += bytes;
                last.records = last.records.saturating_add(place.records);
                last.appended = last.appended.max(appended);
                last.largest = last.largest.max(place.largest);
                return;
            }
        }
        self.spans.push_back(Span {
            segment: Arc::clone(segment),
            first: place.first,
            next: place.next,
            bytes,
            appended,
            largest: place.largest,
            records: place.records,
            cut: false,
        });
    }

    /// Takes up a stretch behind all others.
    pub(super) fn push_span(&mut self, span: Span) {
        self.end = self.end.max(span.next);
        self.bytes += span.bytes;
        self.records += u64::from(span.records);
        self.spans.push_back(span);
    }

    /// Takes up what the index of a segment says was aborted, or what was added to it.
    pub(super) fn take_aborted(&mut self, segment: &Arc<Segment>, ranges: &[Aborted]) {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return;
        };
        let (first, next) = (first.last, last.last.plus(1));
        if next <= self.start {
            return;
        }
        let mut known = self.aborted.iter_mut().rev();
        if let Some(known) = known.find(|known| known.segment.id == segment.id) {
            known.first = known.first.min(first);
            known.next = known.next.max(next);
            return;
        }
        let at = self.aborted.partition_point(|known| known.first < first);
        let segment = Arc::clone(segment);
        let new = AbortedIn {
            segment,
            first,
            next,
        };
        self.aborted.insert(at, new);
    }

    /// The first segment with something aborted at or above `from`.
    pub(super) fn aborted_from(&self, from: Offset) -> Option<&AbortedIn> {
        let at = self.aborted.partition_point(|known| known.next <= from);
        self.aborted.get(at)
    }

    /// What lies below is no longer wanted.
    pub(super) fn raise_start(&mut self, start: Offset) {
        self.start = self.start.max(start);
        self.end = self.end.max(self.start);
        self.high_watermark = self.high_watermark.max(self.start);
        while let Some(span) = self.spans.pop_front_if(|span| span.next <= start) {
            self.drop_span(&span);
        }
        while let Some(_gone) = self.aborted.pop_front_if(|known| known.next <= start) {}
    }

    /// Whether the log starts within a stretch that is counted whole.
    pub(super) fn starts_within(&self) -> bool {
        self.spans.front().is_some_and(|s| s.first < self.start)
    }

    /// What lies at or above is gone.
    pub(super) fn truncate(&mut self, end: Offset) {
        while let Some(span) = self.spans.pop_back_if(|span| span.first >= end) {
            self.drop_span(&span);
        }
        if let Some(last) = self.spans.back_mut().filter(|last| last.next > end) {
            last.next = end;
            last.cut = true;
            let records = last.records.min(offsets_in(last.first, end));
            let less = u64::from(last.records - records);
            last.records = records;
            self.records = self.records.saturating_sub(less);
        }
        while let Some(_gone) = self.aborted.pop_back_if(|known| known.first >= end) {}
        if let Some(last) = self.aborted.back_mut() {
            last.next = last.next.min(end);
        }
        self.end = end.max(self.start);
        self.high_watermark = self.high_watermark.min(self.end);
    }

    /// Begins anew.
    pub(super) fn reset(&mut self, start: Offset) {
        for span in std::mem::take(&mut self.spans) {
            self.drop_span(&span);
        }
        self.aborted.clear();
        self.start = start;
        self.end = start;
        self.high_watermark = start;
    }

    fn drop_span(&mut self, span: &Span) {
        self.bytes = self.bytes.saturating_sub(span.bytes);
        self.records = self.records.saturating_sub(u64::from(span.records));
        span.segment.forget(span.bytes);
    }

    /// The segments that compaction below an offset wants to rewrite next: some of those that can be,
    /// if so many of a hundred bytes in them came since the last time, or a tombstone goes.
    pub(super) fn dirty(
        &mut self,
        below: Offset,
        segments: &HashSet<u64>,
        percent: u64,
        now: Timestamp,
    ) -> Vec<u64> {
        let all = self.spans.iter().filter(|span| span.first < below);
        let all: Vec<&Span> = all.filter(|s| segments.contains(&s.segment.id)).collect();
        let pass = self.compacted.pass.or_else(|| {
            let end = all.last()?.next.min(below);
            let bytes: u64 = all.iter().map(|span| span.bytes).sum();
            let new = all
                .iter()
                .filter(|span| span.next.min(below) > self.compacted.to);
            let new: u64 = new.map(|span| span.bytes).sum();
            let due = self
                .compacted
                .tombstones_until
                .is_some_and(|until| now > until);
            let worth = new > 0 && new * 100 >= bytes * percent;
            let next = self.start;
            (worth || due).then_some(Pass { next, end })
        });
        let Some(pass) = pass else { return Vec::new() };
        let begun_before = self.compacted.pass.is_some();
        if !begun_before {
            self.compacted.tombstones_until = None;
        }
        let wanted = all
            .iter()
            .filter(|s| s.next > pass.next && s.first < pass.end);
        let wanted: Vec<u64> = wanted.map(|span| span.segment.id).collect();
        self.compacted.pass = Some(pass);
        if wanted.is_empty() {
            self.compacted.to = self.compacted.to.max(pass.end);
            self.compacted.pass = None;
            if begun_before {
                // What was closed meanwhile may be worth another one.
                return self.dirty(below, segments, percent, now);
            }
        }
        wanted
    }

    /// Some segments, the newest of which holds what lies below `next`, were compacted.
    pub(super) fn compacted_to(&mut self, next: Offset, tombstones_until: Option<Timestamp>) {
        if let Some(pass) = &mut self.compacted.pass {
            pass.next = pass.next.max(next);
            let known = self.compacted.tombstones_until.into_iter();
            self.compacted.tombstones_until = known.chain(tombstones_until).min();
        }
    }

    /// The span that holds `from`, or the first after it.
    pub(super) fn find(&self, from: Offset) -> usize {
        self.spans.partition_point(|span| span.next <= from)
    }

    /// Records from the start to below `end`; costs what the spans cut by either do.
    pub(super) fn records_below(&self, end: Offset) -> u64 {
        let from = self.start;
        let front = self.spans.iter().take_while(|s| s.first < from).count();
        let rest = self.spans.iter().skip(front).rev();
        let back = rest.take_while(|s| s.next > end);
        let cut = self.spans.iter().take(front).chain(back);
        cut.fold(self.records, |records, span| {
            let inside = u64::from(span.records_in(from, end));
            records.saturating_sub(u64::from(span.records)) + inside
        })
    }

    pub(super) fn extents(&self) -> Vec<Extent> {
        let extents = self.spans.iter().map(|span| Extent {
            first: span.first,
            next: span.next,
            bytes: span.bytes,
            appended: span.appended,
            largest: span.largest,
        });
        extents.collect()
    }
}
