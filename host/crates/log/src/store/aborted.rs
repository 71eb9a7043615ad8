//! Ranges of aborted transactions: each is kept with the segment that holds its marker, for as long as
//! that is there, and found again by the offsets that a reader was given.
//!
//! In a segment they lie in the order of their markers. `stable` lets a search stop: what ends behind
//! begins there or later.

use wstream_record::{Offset, ProducerId};

use crate::numbers::{Reader, put, put_above, put_count};

/// Bytes of an encoded range at least.
const BYTES_MIN: usize = 4;

/// An aborted transaction: the producer's transactional batches from `first` to `last` do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// Whose.
    pub producer: ProducerId,
    /// Its first offset, or the log start where that was raised above it.
    pub first: Offset,
    /// The marker's offset.
    pub last: Offset,
    /// Every transaction that ends behind this one begins here or later: a search can stop.
    pub(crate) stable: Offset,
}

/// Adds those that overlap [from, next) to `found`; `true` if none behind them does.
pub(crate) fn overlapping(
    ranges: &[Aborted],
    from: Offset,
    next: Offset,
    found: &mut Vec<Aborted>,
) -> bool {
    let begin = ranges.partition_point(|range| range.last < from);
    for range in ranges.get(begin..).unwrap_or_default() {
        if range.first < next {
            found.push(*range);
        }
        if range.stable >= next {
            return true;
        }
    }
    false
}

/// Puts a range where its marker belongs; one of the same marker is replaced.
pub(crate) fn insert(ranges: &mut Vec<Aborted>, range: Aborted) {
    let at = ranges.partition_point(|known| known.last < range.last);
    match ranges.get_mut(at) {
        Some(known) if known.last == range.last => *known = range,
        _ => ranges.insert(at, range),
    }
}

/// Drops those that end at or above `end`.
pub(crate) fn truncate(ranges: &mut Vec<Aborted>, end: Offset) {
    ranges.truncate(ranges.partition_point(|range| range.last < end));
}

pub(crate) fn encode(ranges: &[Aborted], out: &mut Vec<u8>) {
    put_count(out, ranges.len());
    let mut before = Offset(0);
    for range in ranges {
        put_above(out, range.last.0, before.0);
        put_above(out, range.last.0, range.first.0);
        put(out, range.producer.0);
        put_above(out, range.last.plus(1).0, range.stable.0);
        before = range.last;
    }
}

pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Vec<Aborted>, String> {
    let count = input.count(BYTES_MIN)?;
    let mut ranges = Vec::with_capacity(count);
    let mut before = Offset(0);
    for _ in 0..count {
        let last = input.offset(before)?;
        ranges.push(Aborted {
            first: input.offset_below(last)?,
            producer: input.above(0, 0, "a producer's id").map(ProducerId)?,
            last,
            stable: input.offset_below(last.plus(1))?,
        });
        before = last;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(producer: i64, first: i64, last: i64, stable: i64) -> Aborted {
        Aborted {
            producer: ProducerId(producer),
            first: Offset(first),
            last: Offset(last),
            stable: Offset(stable),
        }
    }

    #[test]
    fn those_that_overlap_are_found_and_the_search_stops() {
        let ranges = [range(1, 0, 20, 15), range(3, 15, 40, 35)];
        let rows: [(i64, i64, &[i64], bool); 6] = [
            (0, 15, &[1], true),
            (0, 16, &[1, 3], true),
            (20, 21, &[1, 3], true),
            (21, 22, &[3], true),
            (40, 99, &[3], false),
            (41, 99, &[], false),
        ];
        for (from, next, found, ended) in rows {
            let mut into = Vec::new();
            let said = overlapping(&ranges, Offset(from), Offset(next), &mut into);
            let producers: Vec<i64> = into.iter().map(|range| range.producer.0).collect();
            assert_eq!((&producers[..], said), (found, ended), "[{from}, {next})");
        }
    }

    #[test]
    fn one_of_the_same_marker_is_replaced() {
        let mut ranges = Vec::new();
        for (producer, last) in [(1, 20), (2, 10), (3, 30), (4, 20)] {
            insert(&mut ranges, range(producer, 5, last, 7));
        }
        let producers: Vec<i64> = ranges.iter().map(|range| range.producer.0).collect();
        assert_eq!(producers, [2, 4, 3]);
        truncate(&mut ranges, Offset(20));
        assert_eq!(ranges, [range(2, 5, 10, 7)]);
    }
}
