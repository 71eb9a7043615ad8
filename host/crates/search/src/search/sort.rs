//! Sorts hits by several keys. Each segment keeps its best by the order of its own columns; only
//! those are compared by value.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use tantivy::columnar::TermOrdHit;
use tantivy::query::Weight;
use tantivy::{DocId, DocSet, TERMINATED, f64_to_u64, i64_to_u64, u64_to_f64, u64_to_i64};

use super::View;
use super::hits::Hit;
use super::request::Request;
use super::top::{Best, Rank};
use crate::aggs::to_f64;
use crate::error::SearchError;
use crate::query::{Number, scalar_text};
use crate::snapshot::{FieldRef, Kind, SegmentView, Snapshot, TypedColumn};

/// Most sort keys.
const KEYS_MAX: usize = 16;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// One key of a sort.
#[derive(Debug, Clone)]
pub(super) struct SortKey {
    by: By,
    descending: bool,
    missing_first: bool,
    /// Of several values, the largest counts; else the smallest.
    largest: bool,
    unmapped: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Score,
    Document,
    Field(String),
}

/// What a hit is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SortValue {
    Missing,
    Int(i64),
    Number(f64),
    Text(String),
}

impl SortValue {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Missing => Value::Null,
            Self::Int(n) => json!(n),
            Self::Number(n) => json!(n),
            Self::Text(text) => json!(text),
        }
    }

    /// Numbers go before strings.
    #[expect(
        clippy::cast_precision_loss,
        reason = "only mixed types compare as doubles"
    )]
    fn compare(&self, other: &Self) -> Ordering {
        let number = |value: &Self| match value {
            Self::Int(n) => *n as f64,
            Self::Number(n) => *n,
            _ => f64::INFINITY,
        };
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Text(_), _) => Ordering::Greater,
            (_, Self::Text(_)) => Ordering::Less,
            (a, b) => number(a).total_cmp(&number(b)),
        }
    }
}

pub(super) fn needs_scores(keys: &[SortKey]) -> bool {
    keys.iter().any(|key| key.by == By::Score)
}

/// Reads the `sort` of a body.
pub(super) fn from_body(value: Option<&Value>) -> Result<Vec<SortKey>, SearchError> {
    let list: Vec<&Value> = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    };
    let mut keys = Vec::new();
    for item in list {
        match item {
            Value::String(name) => keys.push(key(name, None, None)?),
            Value::Object(fields) => {
                for (name, options) in fields {
                    keys.push(match options {
                        Value::Object(options) => key(
                            name,
                            options.get("order").and_then(Value::as_str),
                            Some(options),
                        )?,
                        plain => key(name, plain.as_str(), None)?,
                    });
                }
            }
            _ => {
                return Err(SearchError::argument(
                    "malformed sort format, within the sort array, an object, or an actual string are allowed",
                ));
            }
        }
    }
    checked(keys)
}

/// Reads the `sort` of a URL.
pub(super) fn from_url(text: &str) -> Result<Vec<SortKey>, SearchError> {
    let keys: Result<Vec<SortKey>, SearchError> = text
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| match part.rsplit_once(':') {
            Some((name, order)) => key(name, Some(order), None),
            None => key(part, None, None),
        })
        .collect();
    checked(keys?)
}

/// By score alone is what a search does anyway.
fn checked(keys: Vec<SortKey>) -> Result<Vec<SortKey>, SearchError> {
    if keys.len() > KEYS_MAX {
        return Err(SearchError::argument(format!(
            "more than {KEYS_MAX} sort keys"
        )));
    }
    if let [only] = &keys[..]
        && only.by == By::Score
        && only.descending
    {
        return Ok(Vec::new());
    }
    Ok(keys)
}

fn key(
    name: &str,
    order: Option<&str>,
    options: Option<&Map<String, Value>>,
) -> Result<SortKey, SearchError> {
    let by = match name {
        "_score" => By::Score,
        "_doc" | "_shard_doc" => By::Document,
        field => By::Field(field.to_owned()),
    };
    let descending = match order {
        None => by == By::Score,
        Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            return Err(SearchError::argument(format!(
                "Unknown SortOrder [{other}]"
            )));
        }
    };
    let text = |name: &str| options.and_then(|o| o.get(name)).and_then(scalar_text);
    let largest = match text("mode").as_deref() {
        None => descending,
        Some("max") => true,
        Some("min") => false,
        Some(other) => {
            return Err(SearchError::argument(format!(
                "sort mode [{other}] is not supported; use min or max"
            )));
        }
    };
    Ok(SortKey {
        by,
        descending,
        missing_first: text("missing").as_deref() == Some("_first"),
        largest,
        unmapped: text("unmapped_type").is_some(),
    })
}

/// Refuses a sort by a field that no document has, as Elasticsearch does without a mapping.
pub(super) fn check_mapped<'a>(
    keys: &[SortKey],
    snapshots: impl Iterator<Item = (&'a Snapshot, &'a str)> + Clone,
) -> Result<(), SearchError> {
    for key in keys.iter().filter(|key| !key.unmapped) {
        let By::Field(name) = &key.by else {
            continue;
        };
        for (snapshot, index) in snapshots.clone() {
            let known = match snapshot.resolve(name)?.0 {
                FieldRef::Path(path) => snapshot.has_path(&path)?,
                _ => true,
            };
            if !known && snapshot.searcher.num_docs() > 0 {
                let reason = format!("No mapping found for [{name}] in order to sort on");
                let mut error = SearchError::new(400, "query_shard_exception", reason).in_shard();
                error.index = Some(index.to_owned());
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Sorts by the keys, then by index and place.
pub(super) fn sort_hits(hits: &mut [Hit], keys: &[SortKey]) {
    hits.sort_by(|a, b| {
        let mut ordering = Ordering::Equal;
        if keys.is_empty() {
            let score = |hit: &Hit| hit.score.unwrap_or(0.0);
            ordering = score(b).total_cmp(&score(a));
        }
        for (key, (a, b)) in keys.iter().zip(a.values.iter().zip(&b.values)) {
            ordering = ordering.then_with(|| compare(key, a, b));
        }
        let place = |hit: &Hit| (hit.index, hit.segment, hit.document);
        ordering.then_with(|| place(a).cmp(&place(b)))
    });
}

fn compare(key: &SortKey, a: &SortValue, b: &SortValue) -> Ordering {
    let missing = if key.missing_first {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    match (a, b) {
        (SortValue::Missing, SortValue::Missing) => Ordering::Equal,
        (SortValue::Missing, _) => missing,
        (_, SortValue::Missing) => missing.reverse(),
        (a, b) if key.descending => b.compare(a),
        (a, b) => a.compare(b),
    }
}

/// The best documents of one segment.
pub(super) struct SegmentTop<'r> {
    keys: Vec<SegmentKey<'r>>,
    /// Only what ranks behind this is wanted.
    after: Option<Vec<Rank>>,
    best: Best,
    wanted: usize,
    ranks: Vec<Rank>,
}

struct SegmentKey<'r> {
    key: &'r SortKey,
    columns: Vec<TypedColumn>,
    /// With several types of numbers, they compare as doubles.
    doubles: bool,
}

impl<'r> SegmentTop<'r> {
    pub(super) fn new(
        request: &'r Request,
        view: &View<'_>,
        segment: &SegmentView,
        place: usize,
    ) -> Result<Self, SearchError> {
        let (keys, wanted) = (&request.sort, request.from + request.size);
        let mut segment_keys = Vec::with_capacity(keys.len());
        for key in keys {
            let columns = match &key.by {
                By::Field(name) => segment.columns(&view.snapshot.resolve(name)?.0)?,
                By::Score | By::Document => Vec::new(),
            };
            let numbers = columns
                .iter()
                .filter(|column| !matches!(column.kind, Kind::Str(_)));
            segment_keys.push(SegmentKey {
                key,
                doubles: numbers.count() > 1,
                columns,
            });
        }
        let after = match &request.search_after {
            Some(values) => {
                let ranks = segment_keys.iter().zip(values);
                Some(
                    ranks
                        .map(|(key, value)| key.rank_of(value, place))
                        .collect::<Result<_, _>>()?,
                )
            }
            None => None,
        };
        Ok(Self {
            keys: segment_keys,
            after,
            best: Best::new(wanted, keys.len()),
            wanted,
            ranks: Vec::new(),
        })
    }

    pub(super) fn take(&mut self, documents: &[DocId]) {
        if self.keys.is_empty() && self.best.len() >= self.wanted {
            return;
        }
        for document in documents {
            self.offer(*document, 0.0);
        }
    }

    /// Takes documents with their scores.
    pub(super) fn take_scored(
        &mut self,
        segment: &SegmentView,
        weight: &dyn Weight,
    ) -> Result<(), SearchError> {
        let alive = segment.reader.alive_bitset();
        let mut scorer = weight.scorer(&segment.reader, 1.0)?;
        while scorer.doc() != TERMINATED {
            let document = scorer.doc();
            if alive.is_none_or(|alive| alive.is_alive(document)) {
                let score = scorer.score();
                self.offer(document, score);
            }
            scorer.advance();
        }
        Ok(())
    }

    fn offer(&mut self, document: DocId, score: f32) {
        self.ranks.clear();
        for key in &self.keys {
            self.ranks.push(key.rank(document, score));
            // Most documents lose by their first key.
            if !self.best.may_take(&self.ranks) {
                return;
            }
        }
        let behind = |after: &Vec<Rank>| self.ranks > *after;
        if self.after.as_ref().is_none_or(behind) {
            self.best.take(&self.ranks, document);
        }
    }

    pub(super) fn finish(self, index: usize, segment: usize) -> Result<Vec<Hit>, SearchError> {
        let Self { keys, best, .. } = self;
        let mut hits = Vec::with_capacity(best.len());
        for (ranks, document) in best.finish() {
            let mut values = Vec::with_capacity(keys.len());
            let mut score = None;
            for (key, rank) in keys.iter().zip(&ranks) {
                let value = match &key.key.by {
                    By::Document => place(segment, document),
                    _ => key.value(*rank)?,
                };
                if let (By::Score, SortValue::Number(n)) = (&key.key.by, &value) {
                    #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
                    {
                        score = Some(*n as f32);
                    }
                }
                values.push(value);
            }
            hits.push(Hit {
                index,
                segment,
                document,
                score: if keys.is_empty() { Some(1.0) } else { score },
                values,
            });
        }
        Ok(hits)
    }
}

/// Classes of values, smaller is better.
const MISSING_FIRST: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const MISSING_LAST: u8 = 4;

impl SegmentKey<'_> {
    fn rank(&self, document: DocId, score: f32) -> Rank {
        let (class, raw) = match &self.key.by {
            By::Score => (NUMBER, f64_to_u64(f64::from(score))),
            By::Document => (NUMBER, u64::from(document)),
            By::Field(_) => match self.best_value(document) {
                Some(found) => found,
                None if self.key.missing_first => return (MISSING_FIRST, 0),
                None => return (MISSING_LAST, 0),
            },
        };
        if self.key.descending {
            (NUMBER + TEXT - class, !raw)
        } else {
            (class, raw)
        }
    }

    /// The rank of a value that a client gives back. A string that is not in the segment ranks
    /// between its neighbours: ranks of strings are odd.
    fn rank_of(&self, value: &Value, segment: usize) -> Result<Rank, SearchError> {
        let number = Number::parse(&scalar_text(value).unwrap_or_default());
        let turned = |class: u8, raw: u64| {
            if self.key.descending {
                (NUMBER + TEXT - class, !raw)
            } else {
                (class, raw)
            }
        };
        if value.is_null() {
            let class = if self.key.missing_first {
                MISSING_FIRST
            } else {
                MISSING_LAST
            };
            return Ok((class, 0));
        }
        match &self.key.by {
            By::Score => {
                return Ok(turned(
                    NUMBER,
                    f64_to_u64(number.map_or(0.0, Number::as_f64)),
                ));
            }
            By::Document => {
                let at = value.as_i64().unwrap_or(0);
                let here = i64::try_from(segment).unwrap_or(0);
                let document = match (at >> 32).cmp(&here) {
                    Ordering::Less => return Ok((0, 0)),
                    Ordering::Equal => at & 0xFFFF_FFFF,
                    Ordering::Greater => return Ok((u8::MAX, 0)),
                };
                return Ok(turned(NUMBER, u64::try_from(document).unwrap_or(0)));
            }
            By::Field(_) => {}
        }
        for column in &self.columns {
            match (&column.kind, value, number) {
                (Kind::Str(strings), Value::String(text), _) => {
                    let rank = match strings.dictionary().term_ord_or_next(text.as_bytes())? {
                        TermOrdHit::Exact(rank) => rank * 2 + 1,
                        TermOrdHit::Next(rank) => rank.saturating_mul(2),
                    };
                    return Ok(turned(TEXT, rank));
                }
                (Kind::Str(_), ..) | (_, _, None) => {}
                (kind, _, Some(number)) => {
                    let raw = if self.doubles {
                        f64_to_u64(number.as_f64())
                    } else {
                        raw_of(kind, number, self.key.descending)
                    };
                    return Ok(turned(NUMBER, raw));
                }
            }
        }
        let class = if value.is_string() { TEXT } else { NUMBER };
        Ok(turned(class, 0))
    }

    fn best_value(&self, document: DocId) -> Option<(u8, u64)> {
        let mut best: Option<(u8, u64)> = None;
        for column in &self.columns {
            let class = if matches!(column.kind, Kind::Str(_)) {
                TEXT
            } else {
                NUMBER
            };
            for raw in column.values.values_for_doc(document) {
                let raw = if class == TEXT { raw * 2 + 1 } else { raw };
                let raw = if class == NUMBER && self.doubles {
                    f64_to_u64(to_f64(&column.kind, raw))
                } else {
                    raw
                };
                let found = (class, raw);
                best = Some(match best {
                    None => found,
                    Some(best) if self.key.largest => best.max(found),
                    Some(best) => best.min(found),
                });
            }
        }
        best
    }

    fn value(&self, (class, raw): Rank) -> Result<SortValue, SearchError> {
        if class == MISSING_FIRST || class == MISSING_LAST {
            return Ok(SortValue::Missing);
        }
        let (class, raw) = if self.key.descending {
            (NUMBER + TEXT - class, !raw)
        } else {
            (class, raw)
        };
        if self.key.by == By::Score {
            return Ok(SortValue::Number(u64_to_f64(raw)));
        }
        for column in &self.columns {
            match (&column.kind, class) {
                (Kind::Str(strings), TEXT) => {
                    let mut text = String::new();
                    strings.ord_to_str(raw / 2, &mut text)?;
                    return Ok(SortValue::Text(text));
                }
                (Kind::Str(_), _) | (_, TEXT) => {}
                _ if self.doubles => return Ok(SortValue::Number(u64_to_f64(raw))),
                (kind, _) => return Ok(number(kind, raw)),
            }
        }
        Ok(SortValue::Missing)
    }
}

/// A number in a column's own order; for a date the whole millisecond is passed.
fn raw_of(kind: &Kind, number: Number, descending: bool) -> u64 {
    let whole = match number {
        Number::Int(n) => i64::try_from(n).unwrap_or(i64::MAX),
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        Number::Float(n) => n as i64,
    };
    match kind {
        Kind::I64 => i64_to_u64(whole),
        Kind::Date if descending => i64_to_u64(whole.saturating_mul(NANOS_PER_MILLI)),
        Kind::Date => i64_to_u64(
            whole
                .saturating_mul(NANOS_PER_MILLI)
                .saturating_add(NANOS_PER_MILLI - 1),
        ),
        Kind::F64 => f64_to_u64(number.as_f64()),
        Kind::U64 | Kind::Bool | Kind::Str(_) => u64::try_from(whole).unwrap_or(0),
    }
}

/// A document's place in its index.
fn place(segment: usize, document: DocId) -> SortValue {
    let segment = i64::try_from(segment).unwrap_or(0);
    SortValue::Int((segment << 32) | i64::from(document))
}

fn number(kind: &Kind, raw: u64) -> SortValue {
    match kind {
        Kind::I64 => SortValue::Int(u64_to_i64(raw)),
        Kind::Date => SortValue::Int(u64_to_i64(raw).div_euclid(NANOS_PER_MILLI)),
        Kind::U64 | Kind::Bool => {
            i64::try_from(raw).map_or_else(|_| SortValue::Number(to_f64(kind, raw)), SortValue::Int)
        }
        Kind::F64 | Kind::Str(_) => SortValue::Number(u64_to_f64(raw)),
    }
}
