//! One column of an aggregation by key: which bucket does each value fall into?

use std::collections::BTreeMap;

use serde_json::Value;
use tantivy::columnar::StrColumn;
use tantivy::{DocId, i64_to_u64, u64_to_f64, u64_to_i64};

use super::super::interval::Rounding;
use super::super::partial::{Bucket, Buckets, Key, Partial, Rest};
use super::super::request::{DateHistogram, Histogram, Kind, Ranges, Terms};
use super::super::slots::Slots;
use super::super::strings::StringCounts;
use super::super::{BUCKETS_COLLECTED_MAX, BUCKETS_MAX, too_many_buckets};
use super::filled::Filled;
use super::{Block, Node, Pairs, finish_all, for_each_pair};
use crate::error::SearchError;
use crate::query::Number;
use crate::snapshot::{Kind as ColumnKind, TypedColumn};
use crate::time::timestamp_nanos;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// The key of a bucket in its own column's terms.
#[derive(Debug, Clone)]
pub(super) enum LaneKey {
    Term(Key),
    Step(i64),
    Place(usize),
}

/// How values become the numbers that [`Slots`] tell apart.
enum Map {
    Raw,
    /// The number of the interval.
    Steps {
        interval: f64,
        offset: f64,
    },
    Dates(DateMap),
    /// The places of the ranges that a number lies in.
    Ranges(Vec<(f64, f64)>),
}

/// One column.
pub(super) struct Lane<'p> {
    column: TypedColumn,
    block: Block,
    map: Map,
    filled: Filled,
    children: Vec<Node<'p>>,
}

/// The number that a column's value stands for; milliseconds for dates.
#[expect(
    clippy::cast_precision_loss,
    reason = "Elasticsearch computes in doubles"
)]
pub(crate) fn to_f64(kind: &ColumnKind, raw: u64) -> f64 {
    match kind {
        ColumnKind::I64 => u64_to_i64(raw) as f64,
        ColumnKind::F64 => u64_to_f64(raw),
        ColumnKind::Date => u64_to_i64(raw).div_euclid(NANOS_PER_MILLI) as f64,
        ColumnKind::U64 | ColumnKind::Bool | ColumnKind::Str(_) => raw as f64,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn step(value: f64, interval: f64, offset: f64) -> i64 {
    ((value - offset) / interval).floor() as i64
}

impl<'p> Lane<'p> {
    /// A lane, unless the column's type has no place in the aggregation.
    pub(super) fn new(
        kind: &Kind,
        column: TypedColumn,
        children: Vec<Node<'p>>,
        root: bool,
    ) -> Result<Option<Self>, SearchError> {
        let (min, max) = (column.values.min_value(), column.values.max_value());
        let number = |raw| to_f64(&column.kind, raw);
        let text = matches!(column.kind, ColumnKind::Str(_));
        let (map, slots) = match kind {
            Kind::Histogram(_) | Kind::Range(_) if text => return Ok(None),
            Kind::Histogram(histogram) => {
                let (interval, offset) = (histogram.interval, histogram.offset);
                let step = |raw| i64_to_u64(step(number(raw), interval, offset));
                (
                    Map::Steps { interval, offset },
                    Slots::new(step(min), step(max), root),
                )
            }
            Kind::DateHistogram(histogram) => {
                let dates = DateMap::new(&histogram.rounding, &column)?;
                let last = dates.last_index;
                (Map::Dates(dates), Slots::new(0, last, root))
            }
            Kind::Range(ranges) => {
                let ends = ranges.ranges.iter().map(|range| {
                    (
                        range.from.unwrap_or(f64::NEG_INFINITY),
                        range.to.unwrap_or(f64::INFINITY),
                    )
                });
                (
                    Map::Ranges(ends.collect()),
                    Slots::new(0, ranges.ranges.len() as u64, root),
                )
            }
            _ => (Map::Raw, Slots::new(min, max, root)),
        };
        Ok(Some(Self {
            column,
            block: Block::default(),
            map,
            filled: Filled::new(slots, !children.is_empty(), root),
            children,
        }))
    }

    /// Whether the document at a place of the last block has no value here.
    pub(super) fn is_empty_at(&self, place: usize) -> bool {
        self.block.of(place).is_empty()
    }

    pub(super) fn collect(
        &mut self,
        documents: &[DocId],
        pairs: Pairs<'_>,
    ) -> Result<(), SearchError> {
        self.block.load(&self.column, documents);
        self.filled.clear();
        let (kind, filled) = (&self.column.kind, &mut self.filled);
        match (self.block.single(), &mut self.map) {
            (Some(values), Map::Raw) if pairs.is_none() && filled.is_direct() => {
                filled.count(values.iter().copied());
            }
            (Some(values), Map::Dates(dates)) if pairs.is_none() && filled.is_direct() => {
                filled.count(values.iter().filter_map(|value| dates.index(*value)));
            }
            (Some(values), Map::Raw) => for_each_pair(documents.len(), pairs, |place, parent| {
                filled.put(place, parent, values[place]);
            }),
            (Some(values), Map::Dates(dates)) => {
                for_each_pair(documents.len(), pairs, |place, parent| {
                    if let Some(index) = dates.index(values[place]) {
                        filled.put(place, parent, index);
                    }
                });
            }
            (_, map) => {
                let block = &self.block;
                let mut mapped: Vec<u64> = Vec::new();
                for_each_pair(documents.len(), pairs, |place, parent| {
                    mapped.clear();
                    for value in block.of(place) {
                        map.apply(kind, *value, &mut mapped);
                    }
                    // A document counts once in a bucket, however many of its values lie there.
                    if mapped.len() > 1 {
                        mapped.sort_unstable();
                        mapped.dedup();
                    }
                    for value in &mapped {
                        filled.put(place, parent, *value);
                    }
                });
            }
        }
        if self.filled.len() > BUCKETS_COLLECTED_MAX {
            return Err(too_many_buckets(BUCKETS_COLLECTED_MAX));
        }
        for child in &mut self.children {
            child.collect(documents, Some(self.filled.documents()))?;
        }
        Ok(())
    }

    /// Adds the lane's buckets to those of each parent.
    pub(super) fn finish(self, kind: &Kind, partials: &mut [Partial]) -> Result<(), SearchError> {
        let (mut pairs, mut counts) = self.filled.finish();
        let mut rest = Rest::default();
        if let (Kind::Terms(terms), [partial]) = (kind, &mut *partials)
            && let Some(kept_max) = terms.kept_max
        {
            match (&self.column.kind, partial) {
                (ColumnKind::Str(column), Partial::Terms { strings, .. }) => {
                    if let Some(segment) = StringCounts::of(column, &pairs, &counts) {
                        strings.push(segment);
                        return Ok(());
                    }
                }
                _ => rest = Rest::cut(&mut pairs, &mut counts, kept_max),
            }
        }
        let values: Vec<u64> = pairs.iter().map(|(_, value)| *value).collect();
        let keys = keys(&self.map, kind, &self.column.kind, values)?;
        let subs = finish_all(self.children, counts.len())?;
        for (((parent, _), key), (count, subs)) in
            pairs.iter().zip(keys).zip(counts.into_iter().zip(subs))
        {
            if let Some(key) = key {
                let bucket = Bucket {
                    count,
                    subs,
                    covered: rest.largest,
                };
                put(&mut partials[*parent as usize], key, bucket);
            }
        }
        let is_float = matches!(self.column.kind, ColumnKind::F64) && !pairs.is_empty();
        for partial in partials {
            if let Partial::Terms {
                floats, rest: all, ..
            } = partial
            {
                *floats |= is_float;
                all.add(rest);
            }
        }
        Ok(())
    }
}

fn keys(
    map: &Map,
    kind: &Kind,
    column: &ColumnKind,
    values: Vec<u64>,
) -> Result<Vec<Option<LaneKey>>, SearchError> {
    Ok(match (map, kind) {
        (Map::Raw, Kind::Terms(terms)) => term_keys(terms, column, values)?,
        (Map::Steps { .. }, Kind::Histogram(histogram)) => values
            .into_iter()
            .map(|value| within_steps(histogram, u64_to_i64(value)).map(LaneKey::Step))
            .collect(),
        (Map::Dates(dates), Kind::DateHistogram(histogram)) => values
            .into_iter()
            .map(|value| within_dates(histogram, dates.start(value)).map(LaneKey::Step))
            .collect(),
        _ => values
            .into_iter()
            .map(|value| usize::try_from(value).ok().map(LaneKey::Place))
            .collect(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "keys of histograms are doubles")]
fn within_steps(histogram: &Histogram, step: i64) -> Option<i64> {
    let key = step as f64 * histogram.interval + histogram.offset;
    let inside = histogram
        .hard
        .is_none_or(|(min, max)| key + histogram.interval > min && key <= max);
    inside.then_some(step)
}

fn within_dates(histogram: &DateHistogram, start: i64) -> Option<i64> {
    let inside = histogram
        .hard
        .is_none_or(|(min, max)| histogram.rounding.next(start) > min && start <= max);
    inside.then_some(start)
}

impl Map {
    #[inline]
    fn apply(&mut self, kind: &ColumnKind, raw: u64, mapped: &mut Vec<u64>) {
        match self {
            Self::Raw => mapped.push(raw),
            Self::Steps { interval, offset } => {
                mapped.push(i64_to_u64(step(to_f64(kind, raw), *interval, *offset)));
            }
            Self::Dates(dates) => mapped.extend(dates.index(raw)),
            Self::Ranges(ranges) => {
                let value = to_f64(kind, raw);
                let inside = ranges.iter().enumerate();
                mapped.extend(
                    inside
                        .filter(|(_, (from, to))| value >= *from && value < *to)
                        .map(|(place, _)| place as u64),
                );
            }
        }
    }
}

/// Numbers the buckets of a date histogram from the column's first.
struct DateMap {
    /// Milliseconds of each string of the dictionary that is a date.
    strings: Option<Vec<Option<i64>>>,
    /// How many units of the column are a millisecond.
    unit: i64,
    floats: bool,
    first: i64,
    length: Option<i64>,
    /// Starts of all buckets, if they differ in length.
    starts: Vec<i64>,
    last_index: u64,
    /// The bucket found last: values of a log follow each other in time.
    cached: (i64, i64, u64),
}

impl DateMap {
    fn new(rounding: &Rounding, column: &TypedColumn) -> Result<Self, SearchError> {
        let mut map = Self {
            strings: None,
            unit: if matches!(column.kind, ColumnKind::Date) {
                NANOS_PER_MILLI
            } else {
                1
            },
            floats: matches!(column.kind, ColumnKind::F64),
            first: 0,
            length: rounding.fixed_length(),
            starts: Vec::new(),
            last_index: 0,
            cached: (0, 0, 0),
        };
        let (min, max) = if let ColumnKind::Str(strings) = &column.kind {
            let dates = dates_of(strings)?;
            let known = || dates.iter().flatten().copied();
            let ends = (known().min().unwrap_or(0), known().max().unwrap_or(0));
            map.strings = Some(dates);
            ends
        } else {
            (
                map.millis(column.values.min_value()),
                map.millis(column.values.max_value()),
            )
        };
        map.first = rounding.floor(min);
        if let Some(length) = map.length {
            map.last_index = u64::try_from((max - map.first).div_euclid(length)).unwrap_or(0);
            return Ok(map);
        }
        let mut start = map.first;
        while start <= max {
            map.starts.push(start);
            if map.starts.len() > BUCKETS_MAX {
                return Err(too_many_buckets(BUCKETS_MAX));
            }
            start = rounding.next(start);
        }
        map.starts.push(start);
        map.last_index = map.starts.len() as u64;
        Ok(map)
    }

    fn millis(&self, raw: u64) -> i64 {
        if self.floats {
            #[expect(clippy::cast_possible_truncation, reason = "saturates")]
            return u64_to_f64(raw) as i64;
        }
        u64_to_i64(raw).div_euclid(self.unit)
    }

    #[inline]
    fn index(&mut self, raw: u64) -> Option<u64> {
        let millis = match &self.strings {
            Some(strings) => (*strings.get(usize::try_from(raw).ok()?)?)?,
            None if self.floats => self.millis(raw),
            None => {
                let value = u64_to_i64(raw);
                let (from, to, index) = self.cached;
                if value >= from && value < to {
                    return Some(index);
                }
                value.div_euclid(self.unit)
            }
        };
        Some(self.find(millis))
    }

    fn find(&mut self, millis: i64) -> u64 {
        let (start, end, index) = if let Some(length) = self.length {
            let index = (millis - self.first).div_euclid(length);
            let start = self.first + index * length;
            (start, start + length, index)
        } else {
            let index = self.starts.partition_point(|start| *start <= millis).max(1) - 1;
            let end = self.starts.get(index + 1).copied().unwrap_or(millis + 1);
            (self.starts[index], end, i64::try_from(index).unwrap_or(0))
        };
        let index = u64::try_from(index).unwrap_or(0);
        self.cached = (
            start.saturating_mul(self.unit),
            end.saturating_mul(self.unit),
            index,
        );
        index
    }

    fn start(&self, index: u64) -> i64 {
        match self.length {
            Some(length) => self.first + i64::try_from(index).unwrap_or(0) * length,
            None => self
                .starts
                .get(usize::try_from(index).unwrap_or(0))
                .copied()
                .unwrap_or(self.first),
        }
    }
}

fn dates_of(strings: &StrColumn) -> Result<Vec<Option<i64>>, SearchError> {
    let mut dates = Vec::with_capacity(strings.dictionary().num_terms());
    let mut stream = strings.dictionary().stream()?;
    while stream.advance() {
        let nanos = std::str::from_utf8(stream.key())
            .ok()
            .and_then(timestamp_nanos);
        dates.push(nanos.map(|nanos| nanos.div_euclid(NANOS_PER_MILLI)));
    }
    Ok(dates)
}

fn term_keys(
    terms: &Terms,
    kind: &ColumnKind,
    values: Vec<u64>,
) -> Result<Vec<Option<LaneKey>>, SearchError> {
    let keys: Vec<Key> = match kind {
        ColumnKind::Str(strings) => text_keys(strings, &values)?,
        ColumnKind::I64 => values
            .into_iter()
            .map(|raw| Key::Int(u64_to_i64(raw)))
            .collect(),
        ColumnKind::U64 => values.into_iter().map(unsigned_key).collect(),
        ColumnKind::F64 => values
            .into_iter()
            .map(|raw| float_key(u64_to_f64(raw)))
            .collect(),
        ColumnKind::Bool => values.into_iter().map(|raw| Key::Bool(raw != 0)).collect(),
        ColumnKind::Date => values
            .into_iter()
            .map(|raw| Key::Date(u64_to_i64(raw).div_euclid(NANOS_PER_MILLI)))
            .collect(),
    };
    let wanted = |key: &Key| {
        if terms.include.is_none() && terms.exclude.is_none() {
            return true;
        }
        let text = key.text();
        terms
            .include
            .as_ref()
            .is_none_or(|names| names.contain(&text))
            && !terms
                .exclude
                .as_ref()
                .is_some_and(|names| names.contain(&text))
    };
    Ok(keys
        .into_iter()
        .map(|key| wanted(&key).then_some(LaneKey::Term(key)))
        .collect())
}

fn unsigned_key(raw: u64) -> Key {
    i64::try_from(raw).map_or(Key::Big(raw), Key::Int)
}

/// Whole numbers of a column of floats are the same key as those of a column of integers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked both ways"
)]
fn float_key(value: f64) -> Key {
    let whole = value as i64;
    if whole as f64 == value && whole.abs() < 1 << 53 {
        Key::Int(whole)
    } else {
        Key::Float(tantivy::f64_to_u64(value))
    }
}

/// The strings of ranks, in one pass through the dictionary.
fn text_keys(strings: &StrColumn, ranks: &[u64]) -> Result<Vec<Key>, SearchError> {
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_unstable_by_key(|at| ranks[*at]);
    let mut distinct: Vec<u64> = order.iter().map(|at| ranks[*at]).collect();
    distinct.dedup();
    let mut found: Vec<Box<str>> = Vec::with_capacity(distinct.len());
    strings
        .dictionary()
        .sorted_ords_to_term_cb(&distinct, |term| {
            found.push(String::from_utf8_lossy(term).into());
        })?;
    let mut keys = vec![Key::Bool(false); ranks.len()];
    let mut at = 0;
    for place in order {
        if distinct.get(at) != Some(&ranks[place]) {
            at += 1;
        }
        if let Some(text) = found.get(at) {
            keys[place] = Key::Str(text.clone());
        }
    }
    Ok(keys)
}

/// The key of documents without a value, if the request gives one.
pub(super) fn missing_key(kind: &Kind) -> Option<LaneKey> {
    match kind {
        Kind::Terms(terms) => Some(LaneKey::Term(match terms.missing.as_ref()? {
            Value::Bool(value) => Key::Bool(*value),
            Value::Number(number) => match Number::parse(&number.to_string())? {
                Number::Int(n) => i64::try_from(n).map_or(Key::Int(i64::MAX), Key::Int),
                Number::Float(n) => float_key(n),
            },
            Value::String(text) => Key::Str(text.as_str().into()),
            _ => return None,
        })),
        Kind::Histogram(h) => Some(LaneKey::Step(step(h.missing?, h.interval, h.offset))),
        Kind::DateHistogram(h) => Some(LaneKey::Step(h.rounding.floor(h.missing?))),
        _ => None,
    }
}

/// The contribution of no documents.
pub(super) fn empty(kind: &Kind) -> Partial {
    match kind {
        Kind::Terms(_) => Partial::Terms {
            buckets: Buckets::default(),
            floats: false,
            rest: Rest::default(),
            strings: Vec::new(),
        },
        Kind::Range(Ranges { ranges, .. }) => {
            Partial::Places(vec![Bucket::default(); ranges.len()])
        }
        _ => Partial::Steps(BTreeMap::new()),
    }
}

/// Adds a bucket to a contribution.
pub(super) fn put(partial: &mut Partial, key: LaneKey, bucket: Bucket) {
    match (partial, key) {
        (Partial::Terms { buckets, .. }, LaneKey::Term(key)) => {
            buckets.entry(key).or_default().merge(bucket);
        }
        (Partial::Steps(buckets), LaneKey::Step(key)) => {
            buckets.entry(key).or_default().merge(bucket)
        }
        (Partial::Places(buckets), LaneKey::Place(place)) => {
            if let Some(known) = buckets.get_mut(place) {
                known.merge(bucket);
            }
        }
        (partial, key) => unreachable!("a lane of one kind: {partial:?} and {key:?}"),
    }
}
