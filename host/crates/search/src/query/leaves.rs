//! Queries on whole values: term, terms, range, exists, ids, prefix, wildcard, regexp, fuzzy.

use std::ops::Bound;
use std::sync::Arc;

use jiff::tz::TimeZone;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use tantivy::Term;
use tantivy::query::{BooleanQuery, FuzzyTermQuery, Occur, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use super::compound::best_of;
use super::values::{Literal, Number, Range, Test};
use super::words::{LongEqual, WordPattern, long_string, word_term};
use super::{ColumnQuery, Compiled, Context, boost_of, flag, object, one_field, scalar_text};
use crate::document::PATH_SEPARATOR;
use crate::error::SearchError;
use crate::schema::COLUMN_STRING_BYTES_MAX;
use crate::snapshot::{FieldRef, Kind};
use crate::time;

/// Most values of a `terms` query.
const TERMS_MAX: usize = 65_536;
/// Memory of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;
const DATE_FORMAT: &str = "strict_date_optional_time||epoch_millis";

impl Context<'_> {
    /// A test of the columns at a field.
    pub(super) fn columns(&self, field: FieldRef, test: Test) -> ColumnQuery {
        ColumnQuery {
            snapshot: Arc::clone(self.snapshot),
            fields: vec![field],
            below: false,
            test,
        }
    }

    pub(super) fn term(&self, body: &Value) -> Result<Compiled, SearchError> {
        let (field, value) = one_field("term", body)?;
        let (value, options) = match value {
            Value::Object(options) => (options.get("value").or_else(|| options.get("term")), value),
            plain => (Some(plain), body),
        };
        let text = value
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::argument("value cannot be null"))?;
        if flag(options, "case_insensitive") {
            return self.pattern_query(field, &regex::escape(&text), String::new(), true, false);
        }
        self.equal(field, &[text])
    }

    pub(super) fn terms(&self, body: &Value) -> Result<Compiled, SearchError> {
        let (field, values) = one_field("terms", body)?;
        let values = values.as_array().ok_or_else(|| {
            SearchError::parsing("[terms] query does not support a value that is not an array")
        })?;
        if values.len() > TERMS_MAX {
            return Err(SearchError::argument(format!(
                "The number of terms [{}] used in the Terms Query request has exceeded the allowed maximum of [{TERMS_MAX}]",
                values.len()
            )));
        }
        let texts: Vec<String> = values.iter().filter_map(scalar_text).collect();
        self.equal(field, &texts)
    }

    /// Documents with one of these values at a field.
    pub(super) fn equal(&self, name: &str, texts: &[String]) -> Result<Compiled, SearchError> {
        if name == "_index" {
            let here = texts
                .iter()
                .any(|text| crate::catalog::matches(text, self.index));
            return Ok(if here {
                Compiled::all()
            } else {
                Compiled::none()
            });
        }
        let (field, _) = self.snapshot.resolve(name)?;
        if field == FieldRef::Id {
            return Ok(self.ids(texts));
        }
        let literals: Arc<[Literal]> = texts
            .iter()
            .map(|t| Literal::of_text(t, self.now))
            .collect();
        let mut queries = Vec::new();
        if let FieldRef::Path(path) = &field {
            for text in texts
                .iter()
                .filter(|text| text.len() > COLUMN_STRING_BYTES_MAX)
            {
                let query = LongEqual::new(self.snapshot.fields, path, text);
                queries.push(Compiled::constant(query));
            }
        }
        queries.push(Compiled::constant(
            self.columns(field, Test::Equal(literals)),
        ));
        Ok(best_of(queries))
    }

    pub(super) fn range(&self, body: &Value) -> Result<Compiled, SearchError> {
        let (field, ends) = one_field("range", body)?;
        let (mut lower, mut upper) = (Bound::Unbounded, Bound::Unbounded);
        let (mut format, mut zone) = ("", TimeZone::UTC);
        for (name, value) in object("range", ends)? {
            let text = scalar_text(value);
            let end = |wrap: fn(End) -> Bound<End>| match &text {
                Some(text) => wrap(End {
                    text: text.clone(),
                    is_text: value.is_string(),
                    compares_text: value.is_string(),
                }),
                None => Bound::Unbounded,
            };
            match name.as_str() {
                "gte" => lower = end(Bound::Included),
                "gt" => lower = end(Bound::Excluded),
                "lte" => upper = end(Bound::Included),
                "lt" => upper = end(Bound::Excluded),
                "from" => lower = end(Bound::Included),
                "to" => upper = end(Bound::Included),
                "format" => format = value.as_str().unwrap_or(""),
                "time_zone" => {
                    zone = value.as_str().and_then(time::parse_zone).ok_or_else(|| {
                        SearchError::argument(format!("[range] unknown time zone {value}"))
                    })?;
                }
                "boost" | "relation" | "_name" | "include_lower" | "include_upper" => {}
                other => {
                    return Err(SearchError::parsing(format!(
                        "[range] query does not support [{other}]"
                    )));
                }
            }
        }
        self.between(field, lower, upper, format, &zone)
    }

    /// Documents with a value between two ends.
    pub(super) fn between(
        &self,
        name: &str,
        lower: Bound<End>,
        upper: Bound<End>,
        format: &str,
        zone: &TimeZone,
    ) -> Result<Compiled, SearchError> {
        let (field, _) = self.snapshot.resolve(name)?;
        let date = |end: &End, up: bool| self.date_of(end, up, format, zone);
        let dates = bound(&lower, |end| date(end, matches!(lower, Bound::Excluded(_))))
            .zip(bound(&upper, |end| {
                date(end, matches!(upper, Bound::Included(_)))
            }));
        if dates.is_none() && self.holds_only_dates(&field)? {
            let culprit = [&lower, &upper]
                .into_iter()
                .filter_map(|end| match end {
                    Bound::Included(end) | Bound::Excluded(end) => Some(end),
                    Bound::Unbounded => None,
                })
                .find(|end| date(end, false).is_none())
                .map_or(String::new(), |end| end.text.clone());
            let format = if format.is_empty() {
                DATE_FORMAT
            } else {
                format
            };
            let reason = format!("failed to parse date field [{culprit}] with format [{format}]");
            let mut error = SearchError::new(400, "parse_exception", reason).in_shard();
            error.index = Some(self.index.to_owned());
            return Err(error);
        }
        let number = |end: &End| Number::parse(&end.text);
        let texts = [&lower, &upper].into_iter().all(|end| match end {
            Bound::Included(end) | Bound::Excluded(end) => end.compares_text,
            Bound::Unbounded => true,
        });
        let range = Range {
            number: bound(&lower, number).zip(bound(&upper, number)),
            date: dates,
            compares_text: texts,
            text: (lower.map(|end| end.text), upper.map(|end| end.text)),
        };
        Ok(Compiled::constant(
            self.columns(field, Test::Range(Arc::new(range))),
        ))
    }

    fn date_of(&self, end: &End, up: bool, format: &str, zone: &TimeZone) -> Option<i64> {
        match format {
            "epoch_second" => end.text.parse::<i64>().ok()?.checked_mul(1000),
            "epoch_millis" if end.text.parse::<i64>().is_ok() => end.text.parse().ok(),
            _ if !end.is_text => end.text.parse().ok(),
            _ => time::parse_math(&end.text, self.now, up, zone),
        }
    }

    fn holds_only_dates(&self, field: &FieldRef) -> Result<bool, SearchError> {
        let mut dates = false;
        for segment in &self.snapshot.segments {
            for column in segment.columns(field)? {
                if !matches!(column.kind, Kind::Date) {
                    return Ok(false);
                }
                dates = true;
            }
        }
        Ok(dates)
    }

    pub(super) fn exists_query(&self, body: &Value) -> Result<Compiled, SearchError> {
        let field = object("exists", body)?
            .get("field")
            .and_then(Value::as_str)
            .ok_or_else(|| SearchError::argument("[exists] must be provided with a [field]"))?;
        self.exists(field)
    }

    /// Documents with any value at a field or below it.
    pub(super) fn exists(&self, name: &str) -> Result<Compiled, SearchError> {
        let (field, _) = self.snapshot.resolve(name)?;
        let FieldRef::Path(path) = &field else {
            return Ok(Compiled::all());
        };
        let below = format!("{path}{PATH_SEPARATOR}");
        let mut long = vec![path.clone()];
        for segment in &self.snapshot.segments {
            for (known, kind) in segment.paths(self.snapshot.fields)?.iter() {
                if kind.is_none() && known.starts_with(&below) && !long.contains(known) {
                    long.push(known.clone());
                }
            }
        }
        let mut queries: Vec<Box<dyn Query>> = long
            .iter()
            .map(|path| long_string(self.snapshot.fields, path))
            .collect();
        queries.push(Box::new(ColumnQuery {
            below: true,
            ..self.columns(field, Test::Any)
        }));
        Ok(Compiled::constant(BooleanQuery::union(queries)))
    }

    pub(super) fn ids_query(&self, body: &Value) -> Result<Compiled, SearchError> {
        let values = match object("ids", body)?.get("values") {
            Some(Value::Array(values)) => values.iter().filter_map(scalar_text).collect::<Vec<_>>(),
            Some(one) => scalar_text(one).into_iter().collect(),
            None => {
                return Err(SearchError::parsing(
                    "[ids] requires providing a values array",
                ));
            }
        };
        Ok(self.ids(&values))
    }

    /// Documents by id: a key, or topic, partition, offset and number of a record.
    pub(crate) fn ids(&self, ids: &[String]) -> Compiled {
        let fields = self.snapshot.fields;
        let mut queries: Vec<Box<dyn Query>> = Vec::new();
        for id in ids {
            let key = Term::from_field_text(fields.id, id);
            queries.push(Box::new(TermQuery::new(key, IndexRecordOption::Basic)));
            for (number, (topic, partition)) in self.sources.iter().enumerate() {
                let prefix = format!("{topic}-{partition}-");
                let Some((offset, n)) = id.strip_prefix(&prefix).and_then(parse_place) else {
                    continue;
                };
                let keyed = self.columns(FieldRef::Id, Test::Any);
                queries.push(Box::new(BooleanQuery::new(vec![
                    (Occur::Must, number_is(fields.off, offset)),
                    (Occur::Must, number_is(fields.src, number as u64)),
                    (Occur::Must, number_is(fields.n, n)),
                    (Occur::MustNot, Box::new(keyed)),
                ])));
            }
        }
        Compiled::constant(BooleanQuery::union(queries))
    }

    pub(super) fn pattern(&self, kind: &str, body: &Value) -> Result<Compiled, SearchError> {
        let (field, value) = one_field(kind, body)?;
        let text = match value {
            Value::Object(options) => options.get("value").or_else(|| options.get(kind)),
            plain => Some(plain),
        };
        let text = text
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::argument("value cannot be null"))?;
        let insensitive = flag(value, "case_insensitive");
        let (pattern, prefix) = match kind {
            "prefix" => (format!("{}.*", regex::escape(&text)), text),
            "wildcard" => wildcard(&text),
            _ => (text, String::new()),
        };
        let compiled = self.pattern_query(field, &pattern, prefix, insensitive, true)?;
        Ok(compiled.boost(boost_of(value)))
    }

    /// Documents with a string, or if `words` a word of one, that fits a pattern.
    pub(super) fn pattern_query(
        &self,
        name: &str,
        pattern: &str,
        prefix: String,
        insensitive: bool,
        words: bool,
    ) -> Result<Compiled, SearchError> {
        let (field, exact) = self.snapshot.resolve(name)?;
        let regex = Arc::new(anchored(pattern, insensitive)?);
        let prefix = if insensitive { String::new() } else { prefix };
        let mut queries = Vec::new();
        if let (true, false, FieldRef::Path(path)) = (words, exact, &field) {
            queries.push(Compiled::constant(WordPattern {
                fields: self.snapshot.fields,
                paths: vec![path.clone()],
                regex: Arc::clone(&regex),
                prefix: prefix.clone(),
            }));
        }
        queries.push(Compiled::constant(
            self.columns(field, Test::Pattern { regex, prefix }),
        ));
        Ok(best_of(queries))
    }

    pub(super) fn fuzzy(&self, body: &Value) -> Result<Compiled, SearchError> {
        let (field, value) = one_field("fuzzy", body)?;
        let text = match value {
            Value::Object(options) => options.get("value"),
            plain => Some(plain),
        };
        let text = text
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::argument("value cannot be null"))?;
        let distance = value.get("fuzziness").and_then(scalar_text);
        self.fuzzy_word(field, &text, distance.as_deref().unwrap_or("AUTO"))
    }

    /// Documents with a word a few edits away.
    pub(super) fn fuzzy_word(
        &self,
        name: &str,
        word: &str,
        distance: &str,
    ) -> Result<Compiled, SearchError> {
        let (field, _) = self.snapshot.resolve(name)?;
        let FieldRef::Path(path) = field else {
            return self.equal(name, &[word.to_owned()]);
        };
        let distance = match distance.parse::<u8>() {
            Ok(distance) => distance.min(2),
            Err(_) => match word.chars().count() {
                0..=2 => 0,
                3..=5 => 1,
                _ => 2,
            },
        };
        let term = word_term(self.snapshot.fields.text, &path, word);
        Ok(Compiled::constant(FuzzyTermQuery::new(
            term, distance, true,
        )))
    }
}

/// One end of a range as it was written.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) text: String,
    /// Whether it was a JSON string.
    pub(super) is_text: bool,
    /// Whether it compares with strings.
    pub(super) compares_text: bool,
}

/// Maps what a bound holds; `None` if that cannot be mapped.
fn bound<T>(bound: &Bound<End>, map: impl Fn(&End) -> Option<T>) -> Option<Bound<T>> {
    Some(match bound {
        Bound::Included(end) => Bound::Included(map(end)?),
        Bound::Excluded(end) => Bound::Excluded(map(end)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

fn number_is(field: Field, n: u64) -> Box<dyn Query> {
    let term = || Bound::Included(Term::from_field_u64(field, n));
    Box::new(RangeQuery::new(term(), term()))
}

/// `17` or `17-2` behind topic and partition.
fn parse_place(text: &str) -> Option<(u64, u64)> {
    match text.split_once('-') {
        Some((offset, n)) => Some((offset.parse().ok()?, n.parse().ok()?)),
        None => Some((text.parse().ok()?, 0)),
    }
}

/// A wildcard as a pattern, and the text before its first special character.
pub(super) fn wildcard(text: &str) -> (String, String) {
    let (mut pattern, mut prefix, mut literal) = (String::new(), String::new(), true);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '*' | '?' => {
                literal = false;
                pattern.push_str(if c == '*' { ".*" } else { "." });
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        };
        if literal {
            prefix.push(c);
        }
        pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
    (pattern, prefix)
}

fn anchored(pattern: &str, insensitive: bool) -> Result<Regex, SearchError> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .case_insensitive(insensitive)
        .dot_matches_new_line(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| SearchError::argument(format!("invalid pattern [{pattern}]: {error}")))
}
