//! What a segment contributes to an aggregation; contributions of segments and indices add up.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::sketch::Sketch;
use super::strings::StringCounts;
use crate::hash::Keyed;

/// The key of a term, the same whatever the type of the column it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Big(u64),
    /// A number with a fraction, as tantivy maps it to an order-preserving integer.
    Float(u64),
    /// Milliseconds.
    Date(i64),
    Str(Box<str>),
}

/// Buckets by their keys.
pub(crate) type Buckets = HashMap<Key, Bucket, Keyed>;

/// Documents and what is computed of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bucket {
    pub(crate) count: u64,
    pub(crate) subs: Vec<Partial>,
    /// Of what segments left out at most, the part of those that did count this bucket.
    pub(crate) covered: u64,
}

/// Terms that segments left out because they were rare.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rest {
    /// Counts of all of them.
    pub(crate) count: u64,
    /// The largest count that one of them can have.
    pub(crate) largest: u64,
}

impl Rest {
    /// Keeps the most frequent terms of a segment.
    pub(super) fn cut(pairs: &mut Vec<(u32, u64)>, counts: &mut Vec<u64>, kept_max: usize) -> Self {
        if counts.len() <= kept_max {
            return Self::default();
        }
        let mut places: Vec<usize> = (0..counts.len()).collect();
        places.select_nth_unstable_by_key(kept_max, |place| std::cmp::Reverse(counts[*place]));
        let left_out = places.split_off(kept_max);
        let rest = Self {
            count: left_out.iter().map(|place| counts[*place]).sum(),
            largest: left_out
                .iter()
                .map(|place| counts[*place])
                .max()
                .unwrap_or(0),
        };
        *pairs = places.iter().map(|place| pairs[*place]).collect();
        *counts = places.iter().map(|place| counts[*place]).collect();
        rest
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.largest += other.largest;
    }
}

/// A contribution.
#[derive(Debug, Clone)]
pub(crate) enum Partial {
    Terms {
        buckets: Buckets,
        /// Whether some number came from a column of floats.
        floats: bool,
        rest: Rest,
        /// Of columns of strings, before they become buckets.
        strings: Vec<StringCounts>,
    },
    /// Buckets by the number of their interval, or by the millisecond they start at.
    Steps(BTreeMap<i64, Bucket>),
    /// Buckets by their place in the request.
    Places(Vec<Bucket>),
    Stats(Stats),
    Distinct(Sketch),
}

/// Count, sum, smallest and largest of numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stats {
    pub(crate) count: u64,
    sum: f64,
    /// What the sum lost by rounding.
    lost: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Whether they are milliseconds of dates.
    pub(crate) dates: bool,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0.0,
            lost: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            dates: false,
        }
    }
}

impl Stats {
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.add_sum(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    #[inline]
    fn add_sum(&mut self, value: f64) {
        let value = value - self.lost;
        let sum = self.sum + value;
        self.lost = (sum - self.sum) - value;
        self.sum = sum;
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.add_sum(other.sum);
        self.add_sum(-other.lost);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.dates |= other.dates;
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub(super) fn avg(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Bucket {
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.covered += other.covered;
        if self.subs.is_empty() {
            self.subs = other.subs;
        } else {
            merge_all(&mut self.subs, other.subs);
        }
    }
}

/// Adds contributions to those of the same aggregations.
pub(crate) fn merge_all(into: &mut Vec<Partial>, from: Vec<Partial>) {
    if into.is_empty() {
        *into = from;
        return;
    }
    for (into, from) in into.iter_mut().zip(from) {
        into.merge(from);
    }
}

impl Partial {
    /// Whether the `size` most frequent terms are certain, though segments left out rare ones:
    /// each was counted by every segment, and no other can have come as often.
    pub(super) fn is_certain(&self, size: usize) -> bool {
        let Self::Terms { buckets, rest, .. } = self else {
            return true;
        };
        if rest.largest == 0 {
            return true;
        }
        let mixed = buckets.keys().any(|key| matches!(key, Key::Str(_)))
            && buckets.keys().any(|key| !matches!(key, Key::Str(_)));
        let mut counts: Vec<&Bucket> = buckets.values().collect();
        counts.sort_unstable_by_key(|bucket| std::cmp::Reverse(bucket.count));
        let (shown, others) = counts.split_at(size.min(counts.len()));
        let least = shown.last().map_or(0, |bucket| bucket.count);
        let unknown = |bucket: &Bucket| rest.largest - bucket.covered;
        let highest = others.iter().map(|bucket| bucket.count + unknown(bucket));
        !mixed
            && shown.len() == size
            && shown.iter().all(|bucket| unknown(bucket) == 0)
            && least > highest.max().unwrap_or(0).max(rest.largest)
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (
                Self::Terms {
                    buckets,
                    floats,
                    rest,
                    strings,
                },
                Self::Terms {
                    buckets: theirs,
                    floats: more,
                    rest: other,
                    strings: segments,
                },
            ) => {
                strings.extend(segments);
                *floats |= more;
                rest.add(other);
                if buckets.is_empty() {
                    *buckets = theirs;
                    return;
                }
                for (key, bucket) in theirs {
                    match buckets.entry(key) {
                        Entry::Occupied(mut known) => known.get_mut().merge(bucket),
                        Entry::Vacant(new) => {
                            new.insert(bucket);
                        }
                    }
                }
            }
            (Self::Steps(ours), Self::Steps(theirs)) => {
                for (key, bucket) in theirs {
                    ours.entry(key).or_default().merge(bucket);
                }
            }
            (Self::Places(ours), Self::Places(theirs)) => {
                for (ours, theirs) in ours.iter_mut().zip(theirs) {
                    ours.merge(theirs);
                }
            }
            (Self::Stats(ours), Self::Stats(theirs)) => ours.merge(theirs),
            (Self::Distinct(ours), Self::Distinct(theirs)) => ours.merge(theirs),
            (ours, theirs) => unreachable!("one spec gives one form: {ours:?} and {theirs:?}"),
        }
    }
}
