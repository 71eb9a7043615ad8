//! Reads the body and the URL of a search.

use serde_json::{Map, Value, json};

use super::sort::{self, SortKey};
use super::source::SourceFilter;
use crate::aggs::{self, Spec};
use crate::error::SearchError;
use crate::query::{Compiled, Context, scalar_text};

/// Deepest hit that can be asked for, as in Elasticsearch.
const WINDOW_MAX: usize = 10_000;
/// Hits that are counted exactly unless more is asked for.
const TRACK_TOTAL_HITS: u64 = 10_000;
const SIZE: usize = 10;

/// Parts of a search that change nothing here.
const IGNORED: &[&str] = &[
    "timeout",
    "version",
    "explain",
    "highlight",
    "docvalue_fields",
    "stored_fields",
    "profile",
    "track_scores",
    "terminate_after",
    "seq_no_primary_term",
    "stats",
    "ext",
    "fields",
    "preference",
    "batched_reduce_size",
    "indices_boost",
];

/// Which indices a target may leave out.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Names that do not exist are skipped.
    pub ignore_unavailable: bool,
    /// Patterns may match nothing.
    pub allow_no_indices: bool,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            ignore_unavailable: false,
            allow_no_indices: true,
        }
    }
}

/// How far hits are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalHits {
    /// All of them.
    Exact,
    /// Up to so many; more is answered as "at least".
    UpTo(u64),
    /// Not at all.
    Off,
}

/// What a client puts into the URL of a search. It goes before the body.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// Which indices may be missing.
    pub target: Target,
    /// `q`: a query text.
    pub query_text: Option<String>,
    /// `df`: the field of words without one.
    pub default_field: Option<String>,
    /// `default_operator=AND`.
    pub and: bool,
    /// `size`.
    pub size: Option<i64>,
    /// `from`.
    pub from: Option<i64>,
    /// `sort`: `field:asc,...`.
    pub sort: Option<String>,
    /// `_source`, `_source_includes`, `_source_excludes` as the body would have them.
    pub source: Option<Value>,
    /// `track_total_hits`.
    pub track_total_hits: Option<TotalHits>,
    /// `rest_total_hits_as_int`.
    pub total_hits_as_int: bool,
    /// `typed_keys`.
    pub typed_keys: bool,
}

/// A search.
#[derive(Debug)]
pub(super) struct Request {
    query: Value,
    query_text: Option<(String, Vec<String>, bool)>,
    pub(super) from: usize,
    pub(super) size: usize,
    pub(super) sort: Vec<SortKey>,
    /// The sort values of the hit to go on behind.
    pub(super) search_after: Option<Vec<Value>>,
    pub(super) source: SourceFilter,
    aggregations: Option<Value>,
    total: TotalHits,
    total_as_int: bool,
    pub(super) typed_keys: bool,
}

impl Request {
    pub(super) fn new(body: &Value, options: &SearchOptions) -> Result<Self, SearchError> {
        let empty = Map::new();
        let body = match body {
            Value::Null => &empty,
            Value::Object(body) => body,
            _ => {
                return Err(SearchError::parsing(format!(
                    "Expected [START_OBJECT] but found [{}]",
                    token(body)
                )));
            }
        };
        check_keys(body)?;
        let count = |name: &str, option: Option<i64>, default: usize| {
            let given = match (option, body.get(name)) {
                (Some(n), _) => Some(n),
                (None, Some(value)) => Some(integer(value)?),
                (None, None) => None,
            };
            match given {
                None => Ok(default),
                Some(n) => usize::try_from(n).map_err(|_| {
                    let found = if name == "from" { "but was" } else { "found" };
                    let comma = if name == "from" { "" } else { "," };
                    SearchError::argument(format!(
                        "[{name}] parameter cannot be negative{comma} {found} [{n}]"
                    ))
                }),
            }
        };
        let (from, size) = (
            count("from", options.from, 0)?,
            count("size", options.size, SIZE)?,
        );
        if from.saturating_add(size) > WINDOW_MAX {
            return Err(SearchError::argument(format!(
                "Result window is too large, from + size must be less than or equal to: [{WINDOW_MAX}] but was [{}]. See the scroll api for a more efficient way to request large data sets. This limit can be set by changing the [index.max_result_window] index level setting.",
                from.saturating_add(size)
            ))
            .in_shard());
        }
        let sort = match &options.sort {
            Some(text) => sort::from_url(text)?,
            None => sort::from_body(body.get("sort"))?,
        };
        let search_after = search_after(body, sort.len())?;
        let total = options
            .track_total_hits
            .map_or_else(|| total_hits(body.get("track_total_hits")), Ok)?;
        let fields = options.default_field.iter().cloned().collect();
        Ok(Self {
            query: body.get("query").cloned().unwrap_or(Value::Null),
            query_text: options
                .query_text
                .clone()
                .map(|text| (text, fields, options.and)),
            from,
            size,
            sort,
            search_after,
            source: SourceFilter::new(options.source.as_ref().or_else(|| body.get("_source")))?,
            aggregations: body
                .get("aggs")
                .or_else(|| body.get("aggregations"))
                .cloned(),
            total,
            total_as_int: options.total_hits_as_int,
            typed_keys: options.typed_keys,
        })
    }

    /// The aggregations.
    pub(super) fn specs(&self, now: i64) -> Result<Vec<Spec>, SearchError> {
        match &self.aggregations {
            Some(aggregations) => aggs::parse(aggregations, now),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn compile(&self, context: &Context<'_>) -> Result<Compiled, SearchError> {
        match &self.query_text {
            Some((text, fields, and)) => context.query_text(text, fields, *and),
            None => context.compile(&self.query),
        }
    }

    /// The answer's `hits.total`, if hits are counted.
    pub(super) fn total_answer(&self, total: u64) -> Option<Value> {
        let (value, relation) = match self.total {
            TotalHits::Off => return None,
            TotalHits::UpTo(limit) if total > limit => (limit, "gte"),
            _ => (total, "eq"),
        };
        Some(if self.total_as_int {
            json!(value)
        } else {
            json!({"value": value, "relation": relation})
        })
    }
}

/// A whole number, also one written as text.
fn integer(value: &Value) -> Result<i64, SearchError> {
    let text = scalar_text(value).unwrap_or_else(|| value.to_string());
    text.parse().map_err(|_| {
        let reason = format!("For input string: \"{text}\"");
        SearchError::new(400, "number_format_exception", reason)
    })
}

fn search_after(body: &Map<String, Value>, keys: usize) -> Result<Option<Vec<Value>>, SearchError> {
    let values = body.get("search_after").and_then(Value::as_array).cloned();
    match &values {
        Some(values) if values.len() != keys => Err(SearchError::argument(format!(
            "search_after has {} value(s) but sort has {keys}.",
            values.len()
        ))),
        _ => Ok(values),
    }
}

fn total_hits(value: Option<&Value>) -> Result<TotalHits, SearchError> {
    Ok(match value {
        None | Some(Value::Null) => TotalHits::UpTo(TRACK_TOTAL_HITS),
        Some(Value::Bool(true)) => TotalHits::Exact,
        Some(Value::Bool(false)) => TotalHits::Off,
        Some(value) => match scalar_text(value).as_deref() {
            Some("true" | "-1") => TotalHits::Exact,
            Some("false") => TotalHits::Off,
            text => TotalHits::UpTo(text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                SearchError::argument(format!(
                    "[track_total_hits] parameter must be positive or equals to -1, got {value}"
                ))
            })?),
        },
    })
}

fn check_keys(body: &Map<String, Value>) -> Result<(), SearchError> {
    const KNOWN: &[&str] = &[
        "query",
        "from",
        "size",
        "sort",
        "_source",
        "aggs",
        "aggregations",
        "track_total_hits",
        "search_after",
    ];
    for (key, value) in body {
        if KNOWN.contains(&key.as_str()) || IGNORED.contains(&key.as_str()) {
            continue;
        }
        let kind = token(value);
        return Err(SearchError::parsing(format!(
            "Unknown key for a {kind} in [{key}]."
        )));
    }
    Ok(())
}

/// Elasticsearch's name of the token that a value begins with.
fn token(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "START_OBJECT",
        Value::Array(_) => "START_ARRAY",
        Value::String(_) => "VALUE_STRING",
        Value::Number(_) => "VALUE_NUMBER",
        Value::Bool(_) => "VALUE_BOOLEAN",
        Value::Null => "VALUE_NULL",
    }
}
