//! Which records compaction leaves: of each key the last one, at the offset it has.
//!
//! Pure functions over batches, for every store alike. A pass shows all batches from the log start in
//! order to `LastOffsets::note`, as far as it answers `true`, and then puts each of them through
//! `filter`. Only records of plain batches (not compressed, no transaction, no marker) are dropped,
//! and only for the sake of a later record in a plain batch below the bound; records without a key
//! stay.
//!
//! A tombstone goes when it has been kept for long enough and hides nothing: what it hides is dropped
//! by the same pass, so a pass must take effect as one step, or from the oldest batch on. A caller
//! that filters only a part of the log says that tombstones are kept for `i64::MAX`. A batch whose
//! records cannot be judged may hold what a tombstone hides, so all tombstones behind it stay.
//! A tombstone whose time is not known stays too.
//!
//! It decompresses nothing and knows neither aborted transactions nor a store.

use std::collections::HashMap;

use wstream_record::{ByteSize, Compression, Offset, RecordBatch, StoredRecord, Timestamp};

use super::Cleanup;

/// Bytes of keys that a pass remembers, with what it takes to remember them.
pub(crate) const KEYS_BYTES_MAX: ByteSize = ByteSize::mib(64);
/// What a key takes besides its bytes: its slot in a table that may be half empty, and its allocation.
const KEY_OVERHEAD_BYTES: u64 = 80;

/// Where each key was written last, as far as a pass has seen.
///
/// It takes no further batch once it holds `bytes_max`, so at most the keys of one batch more. The
/// pass then ends at `noted_to`, drops what it knows to be superseded, and the next pass begins there:
/// each record is noted by one of the passes, so every superseded one is dropped in the end.
#[derive(Debug)]
pub(crate) struct LastOffsets {
    offsets: HashMap<Box<[u8]>, Offset>,
    bytes: u64,
    bytes_max: ByteSize,
    from: Offset,
    below: Offset,
    noted_to: Offset,
    /// The first batch whose records cannot be judged.
    opaque: Option<Offset>,
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Whole,
    /// Some records, at their offsets.
    Rewritten(RecordBatch),
    /// Nothing.
    Gone,
}

impl LastOffsets {
    /// Remembers the keys of records in [from, below). `from` is where the pass before came to, or the
    /// log start.
    pub(crate) fn new(from: Offset, below: Offset, bytes_max: ByteSize) -> Self {
        Self {
            offsets: HashMap::new(),
            bytes: 0,
            bytes_max,
            from,
            below,
            noted_to: Offset(0),
            opaque: None,
        }
    }

    /// Takes note of a batch. Batches come in order, from the log start on, also below `from`.
    /// `false` when this one was not noted, and so none behind it may be: it reaches above `below`, or
    /// as many keys are known as may be.
    #[must_use]
    pub(crate) fn note(&mut self, batch: &RecordBatch) -> bool {
        let header = batch.header();
        if header.next_offset() > self.below || self.bytes >= self.bytes_max.0 {
            return false;
        }
        if header.next_offset() > self.from && is_plain(batch) {
            match batch.records() {
                Ok(records) => records.iter().for_each(|r| self.note_record(r)),
                Err(_) => self.note_opaque(header.base_offset),
            }
        } else if !is_plain(batch) && !header.is_control() {
            self.note_opaque(header.base_offset);
        }
        self.noted_to = header.next_offset();
        true
    }

    /// Where the next pass begins, unless this one has come to its bound.
    pub(crate) fn noted_to(&self) -> Offset {
        self.noted_to
    }

    fn note_record(&mut self, stored: &StoredRecord) {
        let Some(key) = stored
            .record
            .key
            .as_ref()
            .filter(|_| stored.offset >= self.from)
        else {
            return;
        };
        if let Some(last) = self.offsets.get_mut(&key[..]) {
            *last = (*last).max(stored.offset);
        } else {
            // A copy: a slice would hold the whole batch.
            self.offsets.insert(Box::from(&key[..]), stored.offset);
            self.bytes += KEY_OVERHEAD_BYTES + key.len() as u64;
        }
    }

    fn note_opaque(&mut self, at: Offset) {
        self.opaque.get_or_insert(at);
    }

    fn keeps(&self, stored: &StoredRecord, tombstones_go: bool) -> bool {
        let last = stored
            .record
            .key
            .as_ref()
            .and_then(|k| self.offsets.get(&k[..]));
        let Some(&last) = last else {
            return true;
        };
        if stored.offset != last {
            return stored.offset > last;
        }
        let hides_nothing = self.opaque.is_none_or(|opaque| stored.offset < opaque);
        stored.record.value.is_some() || !tombstones_go || !hides_nothing
    }
}

/// What compaction leaves of a batch. One that `last` has not noted stays whole, and so does one that
/// does not read.
pub(crate) fn filter(
    batch: &RecordBatch,
    last: &LastOffsets,
    now: Timestamp,
    cleanup: Cleanup,
) -> Kept {
    let next = batch.header().next_offset();
    let below = cleanup
        .compact_below
        .map_or(Offset(0), |b| b.min(last.noted_to));
    if next > below || !is_plain(batch) {
        return Kept::Whole;
    }
    let tombstones_go = tombstones_until(batch, cleanup).is_some_and(|until| now > until);
    match batch.retain(|r| last.keeps(r, tombstones_go)) {
        Ok(Some(kept)) if kept.header().records < batch.header().records => Kept::Rewritten(kept),
        Ok(None) => Kept::Gone,
        Ok(Some(_)) | Err(_) => Kept::Whole,
    }
}

/// Until when the tombstones of a batch are kept; `None` if for ever.
pub(crate) fn tombstones_until(batch: &RecordBatch, cleanup: Cleanup) -> Option<Timestamp> {
    let largest = batch.header().max_timestamp;
    let until = largest.0.checked_add(cleanup.tombstones_kept)?;
    (largest != Timestamp::NONE).then_some(Timestamp(until))
}

/// Whether a batch holds a tombstone that compaction may remove.
pub(crate) fn holds_tombstone(batch: &RecordBatch) -> bool {
    let is_tombstone = |r: &StoredRecord| r.record.key.is_some() && r.record.value.is_none();
    is_plain(batch)
        && batch
            .records()
            .is_ok_and(|all| all.iter().any(is_tombstone))
}

/// Whether the records can be read here and count for certain.
fn is_plain(batch: &RecordBatch) -> bool {
    let header = batch.header();
    header.compression == Compression::None && !header.is_control() && !header.is_transactional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wstream_record::{BatchBuilder, LeaderEpoch, Record};

    const EVER: i64 = i64::MAX;

    /// A batch at `base` whose records have these keys and, if not tombstones, values.
    fn batch(base: i64, time: i64, records: &[(&str, bool)]) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        for (key, has_value) in records {
            builder.push(&Record {
                timestamp: Timestamp(time),
                key: Some(Bytes::copy_from_slice(key.as_bytes())),
                value: has_value.then(|| Bytes::from_static(b"v")),
                headers: Vec::new(),
            });
        }
        let batch = builder.finish(None).unwrap();
        batch.at(Offset(base), LeaderEpoch(1))
    }

    fn cleanup(below: i64, tombstones_kept: i64) -> Cleanup {
        Cleanup {
            compact_below: Some(Offset(below)),
            tombstones_kept,
        }
    }

    /// Passes over `log` until one is not full; answers how many it took.
    fn compact(log: &mut Vec<RecordBatch>, now: i64, cleanup: Cleanup, bytes_max: u64) -> usize {
        let mut from = Offset(0);
        for pass in 1.. {
            let below = cleanup.compact_below.unwrap();
            let mut last = LastOffsets::new(from, below, ByteSize(bytes_max));
            let full = log
                .iter()
                .any(|b| !last.note(b) && b.header().next_offset() <= below);
            let kept = log
                .iter()
                .filter_map(|b| match filter(b, &last, Timestamp(now), cleanup) {
                    Kept::Whole => Some(b.clone()),
                    Kept::Rewritten(rest) => Some(rest),
                    Kept::Gone => None,
                });
            *log = kept.collect();
            if !full {
                return pass;
            }
            assert!(last.noted_to() > from, "every pass comes further");
            from = last.noted_to();
        }
        unreachable!()
    }

    fn offsets(log: &[RecordBatch]) -> Vec<i64> {
        let records = log.iter().flat_map(|b| b.records().unwrap());
        records.map(|r| r.offset.0).collect()
    }

    #[test]
    fn a_bound_on_keys_takes_more_passes_and_leaves_the_same() {
        let names: Vec<String> = (0..40).map(|n| format!("k{}", n * 7 % 23)).collect();
        let whole: Vec<_> = (0..)
            .zip(&names)
            .map(|(n, name)| batch(n * 2, 5, &[(name, true), ("hot", true)]))
            .collect();
        let mut once = whole.clone();
        assert_eq!(compact(&mut once, 9, cleanup(80, EVER), 1 << 20), 1);
        assert_eq!(offsets(&once).len(), 24);
        for bytes_max in [1, 300, 1_000] {
            let mut bounded = whole.clone();
            let passes = compact(&mut bounded, 9, cleanup(80, EVER), bytes_max);
            assert!(passes > 1);
            assert_eq!(bounded, once, "{bytes_max}");
        }
    }

    #[test]
    fn keys_take_bounded_memory() {
        let bound = 10 * KEY_OVERHEAD_BYTES;
        let mut last = LastOffsets::new(Offset(0), Offset(1_000), ByteSize(bound));
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let taken = (0..)
            .zip(&names)
            .take_while(|(n, name)| last.note(&batch(*n, 1, &[(name, true)])))
            .count();
        assert!(taken <= 10 && last.bytes <= bound + KEY_OVERHEAD_BYTES + 2);
    }

    #[test]
    fn tombstones_go_by_age() {
        let rows = [
            // time, now, kept for, whether it stays
            (1_000, 1_500, 500, true),
            (1_000, 1_501, 500, false),
            (1_000, i64::MAX, EVER, true),
            (0, i64::MAX, 0, false),
            // A time that is not known, and one that is long to come.
            (-1, 1_000_000, 0, true),
            (i64::MAX, 5, 10, true),
        ];
        for (time, now, kept_for, stays) in rows {
            let mut log = vec![batch(0, time, &[("a", true), ("a", false)])];
            compact(&mut log, now, cleanup(2, kept_for), 1 << 20);
            let expected: &[i64] = if stays { &[1] } else { &[] };
            assert_eq!(offsets(&log), expected, "{time} {now} {kept_for}");
        }
    }

    #[test]
    fn a_tombstone_never_goes_before_what_it_hides() {
        // The pass is full before it has noted the tombstone, then begins behind what that hides.
        let mut log = vec![
            batch(0, 1, &[("a", true)]),
            batch(1, 1, &[("b", true)]),
            batch(2, 1, &[("a", false)]),
        ];
        let mut last = LastOffsets::new(Offset(0), Offset(3), ByteSize(2 * KEY_OVERHEAD_BYTES));
        let full = log.iter().any(|b| !last.note(b));
        assert!(full);
        for b in &log {
            assert_eq!(
                filter(b, &last, Timestamp(1 << 40), cleanup(3, 0)),
                Kept::Whole
            );
        }
        compact(&mut log, 1 << 40, cleanup(3, 0), 1);
        assert_eq!(offsets(&log), [1]);
    }

    #[test]
    fn a_batch_that_reaches_above_the_bound_stays_and_supersedes_nothing() {
        let whole = vec![
            batch(0, 1, &[("a", true)]),
            batch(1, 1, &[("a", true), ("a", true)]),
        ];
        for (below, left) in [(0, 3), (1, 3), (2, 3), (3, 1)] {
            let mut log = whole.clone();
            compact(&mut log, 9, cleanup(below, EVER), 1 << 20);
            assert_eq!(offsets(&log).len(), left, "{below}");
        }
    }
}
