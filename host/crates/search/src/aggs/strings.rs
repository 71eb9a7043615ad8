//! The most frequent strings of several segments, exactly, without holding them all: dictionaries
//! are in order, so they are walked side by side and only strings that may be shown are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tantivy::columnar::{StrColumn, Streamer};

use super::partial::{Bucket, Buckets, Key, Partial};
use super::request::{Kind, Spec, Terms};
use crate::error::SearchError;

/// A dictionary is walked where at least one of so many strings was counted; else they are looked
/// up one by one.
const WALKED_PART: usize = 8;

/// Counts of the strings of one segment.
#[derive(Debug, Clone)]
pub(crate) struct StringCounts {
    strings: StrColumn,
    /// By rank.
    counts: Vec<u64>,
}

impl StringCounts {
    /// Of pairs of parent and rank with their counts; `None` where few strings were counted.
    pub(super) fn of(strings: &StrColumn, pairs: &[(u32, u64)], counts: &[u64]) -> Option<Self> {
        let known = strings.dictionary().num_terms();
        if pairs.len().saturating_mul(WALKED_PART) < known {
            return None;
        }
        let mut by_rank = vec![0; known];
        for ((_, rank), count) in pairs.iter().zip(counts) {
            *by_rank.get_mut(usize::try_from(*rank).ok()?)? += count;
        }
        Some(Self {
            strings: strings.clone(),
            counts: by_rank,
        })
    }

    /// Calls `each` with every string that was counted, in order.
    fn each(&self, mut each: impl FnMut(&[u8], u64)) -> Result<(), SearchError> {
        let mut stream = self.strings.dictionary().stream()?;
        let mut counts = self.counts.iter();
        while let (true, Some(count)) = (stream.advance(), counts.next()) {
            if *count > 0 {
                each(stream.key(), *count);
            }
        }
        Ok(())
    }
}

/// Turns what segments counted into the buckets that are shown.
pub(super) fn settle(specs: &[Spec], partials: &mut [Partial]) -> Result<(), SearchError> {
    for (spec, partial) in specs.iter().zip(partials) {
        let (
            Kind::Terms(terms),
            Partial::Terms {
                buckets,
                strings,
                rest,
                ..
            },
        ) = (&spec.kind, partial)
        else {
            continue;
        };
        if strings.is_empty() {
            continue;
        }
        let counted = std::mem::take(strings);
        if buckets.keys().all(|key| matches!(key, Key::Str(_))) {
            let listed = listed(buckets);
            let (shown, left_out) = most_frequent(&counted, listed, terms)?;
            rest.count += left_out;
            buckets.extend(shown);
        } else {
            // Keys of several types are told apart by their text: that needs all of them.
            for segment in &counted {
                segment.each(|text, count| {
                    let (key, bucket) = bucket(text, count);
                    buckets.entry(key).or_default().merge(bucket);
                })?;
            }
        }
    }
    Ok(())
}

fn bucket(text: &[u8], count: u64) -> (Key, Bucket) {
    let bucket = Bucket {
        count,
        ..Bucket::default()
    };
    (Key::Str(String::from_utf8_lossy(text).into()), bucket)
}

/// Takes the strings that were looked up one by one, in order.
fn listed(buckets: &mut Buckets) -> Vec<(Box<str>, u64)> {
    let mut listed: Vec<(Box<str>, u64)> = buckets
        .drain()
        .filter_map(|(key, bucket)| match key {
            Key::Str(text) => Some((text, bucket.count)),
            _ => None,
        })
        .collect();
    listed.sort_unstable();
    listed
}

/// The most frequent strings, and the count of all others that come often enough.
fn most_frequent(
    segments: &[StringCounts],
    listed: Vec<(Box<str>, u64)>,
    terms: &Terms,
) -> Result<(Vec<(Key, Bucket)>, u64), SearchError> {
    let mut streams = Vec::with_capacity(segments.len());
    for segment in segments {
        let stream = segment.strings.dictionary().stream()?;
        let mut source = (stream, segment.counts.iter());
        if next(&mut source) {
            streams.push(source);
        }
    }
    let mut listed = listed.into_iter().peekable();
    let mut best: BinaryHeap<(Reverse<u64>, Box<[u8]>)> = BinaryHeap::new();
    let (mut counted, mut least, mut key) = (0, 0, Vec::new());
    loop {
        let of_list = listed.peek().map(|(text, _)| text.as_bytes());
        let lowest = streams.iter().map(|(s, _)| s.key()).chain(of_list).min();
        let Some(lowest) = lowest else {
            break;
        };
        key.clear();
        key.extend_from_slice(lowest);
        let mut total = 0;
        streams.retain_mut(|source| {
            if source.0.key() != key {
                return true;
            }
            total += source.1.as_slice().first().copied().unwrap_or(0);
            source.1.next();
            next(source)
        });
        if let Some((_, count)) = listed.next_if(|(text, _)| text.as_bytes() == key) {
            total += count;
        }
        if total < terms.min_doc_count {
            continue;
        }
        counted += total;
        // Of equal counts the string that comes first stays.
        if best.len() < terms.size || total > least {
            if best.len() == terms.size {
                best.pop();
            }
            best.push((Reverse(total), key.clone().into()));
            least = best.peek().map_or(0, |(count, _)| count.0);
        }
    }
    let shown: u64 = best.iter().map(|(count, _)| count.0).sum();
    let best = best.into_iter().map(|(count, text)| bucket(&text, count.0));
    Ok((best.collect(), counted - shown))
}

/// Goes to the next string that was counted; the first of the counts is its own then.
fn next((stream, counts): &mut (Streamer<'_>, std::slice::Iter<'_, u64>)) -> bool {
    while stream.advance() {
        match counts.as_slice().first() {
            Some(0) => {
                counts.next();
            }
            Some(_) => return true,
            None => return false,
        }
    }
    false
}
