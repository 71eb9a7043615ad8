//! Reads Elasticsearch's aggregations objects.

use std::sync::Arc;

use jiff::tz::TimeZone;
use regex::Regex;
use serde_json::{Map, Value};

use super::interval::{Interval, Rounding, parse_duration};
use super::partial::Partial;
use crate::error::SearchError;
use crate::time;

/// Deepest nesting of aggregations.
const DEPTH_MAX: usize = 20;
/// Most aggregations in one request.
const AGGREGATIONS_MAX: usize = 512;

/// Fewest terms that a segment tells of.
const KEPT_MIN: usize = 1_000;

/// One aggregation of a request.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    /// Elasticsearch's name of the kind, for `typed_keys`.
    pub(crate) kind_name: String,
    pub(crate) kind: Kind,
    pub(crate) subs: Vec<Spec>,
    pub(crate) meta: Option<Value>,
}

/// What an aggregation computes.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Terms(Terms),
    Histogram(Histogram),
    DateHistogram(DateHistogram),
    Range(Ranges),
    /// One bucket.
    Filter(Value),
    Filters(Filters),
    /// One bucket of the documents without the field.
    Missing(String),
    Metric(Metric),
}

#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) field: String,
    pub(crate) size: usize,
    pub(crate) order: Vec<Order>,
    pub(crate) min_doc_count: u64,
    pub(crate) missing: Option<Value>,
    pub(crate) include: Option<Names>,
    pub(crate) exclude: Option<Names>,
    pub(crate) format: Option<String>,
    /// Most terms that a segment tells of; without it, all.
    pub(crate) kept_max: Option<usize>,
}

/// Keys that are let through or kept out.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    Fit(Arc<Regex>),
    Are(Vec<String>),
}

impl Names {
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::Fit(regex) => regex.is_match(name),
            Self::Are(names) => names.iter().any(|known| known == name),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) by: OrderBy,
    pub(crate) ascending: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum OrderBy {
    Count,
    Key,
    /// A metric among the sub-aggregations, and which of its values.
    Metric(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    pub(crate) field: String,
    pub(crate) interval: f64,
    pub(crate) offset: f64,
    pub(crate) shape: Shape,
    pub(crate) extended: Option<(f64, f64)>,
    pub(crate) hard: Option<(f64, f64)>,
    pub(crate) missing: Option<f64>,
}

#[derive(Debug, Clone)]
pub(crate) struct DateHistogram {
    pub(crate) field: String,
    pub(crate) rounding: Rounding,
    pub(crate) format: String,
    pub(crate) shape: Shape,
    /// Milliseconds.
    pub(crate) extended: Option<(i64, i64)>,
    pub(crate) hard: Option<(i64, i64)>,
    pub(crate) missing: Option<i64>,
}

/// What both histograms share.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) min_doc_count: u64,
    pub(crate) keyed: bool,
    pub(crate) order: Vec<Order>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ranges {
    pub(crate) field: String,
    pub(crate) ranges: Vec<RangeBucket>,
    pub(crate) keyed: bool,
    /// Set for dates: the ends are milliseconds.
    pub(crate) format: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct RangeBucket {
    pub(crate) key: Option<String>,
    pub(crate) from: Option<f64>,
    pub(crate) to: Option<f64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Filters {
    pub(crate) queries: Vec<(String, Value)>,
    pub(crate) keyed: bool,
    /// The name of the bucket of all other documents.
    pub(crate) other: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) field: String,
    pub(crate) what: What,
    pub(crate) missing: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Avg,
    Sum,
    Min,
    Max,
    Stats,
    ValueCount,
    Cardinality,
}

/// Reads an `aggs` object.
pub(crate) fn parse(aggs: &Value, now: i64) -> Result<Vec<Spec>, SearchError> {
    let mut count = 0;
    Reader { now }.all(aggs, 0, &mut count)
}

/// Lets segments leave out rare terms where the most frequent are wanted and nothing of each but
/// its count. Answers whether there is such a place.
pub(crate) fn keep_frequent(specs: &mut [Spec]) -> bool {
    let mut any = false;
    for spec in specs.iter_mut().filter(|spec| spec.subs.is_empty()) {
        if let Kind::Terms(terms) = &mut spec.kind
            && terms.order.is_empty()
            && terms.include.is_none()
            && terms.exclude.is_none()
            && terms.missing.is_none()
        {
            terms.kept_max = Some(terms.size.saturating_mul(4).max(KEPT_MIN));
            any = true;
        }
    }
    any
}

/// Whether the answer is exact although segments may have left out rare terms.
pub(crate) fn is_certain(specs: &[Spec], partials: &[Partial]) -> bool {
    let mut each = specs.iter().zip(partials);
    each.all(|(spec, partial)| match &spec.kind {
        Kind::Terms(terms) if terms.kept_max.is_some() => partial.is_certain(terms.size),
        _ => true,
    })
}

struct Reader {
    now: i64,
}

impl Reader {
    fn all(&self, aggs: &Value, depth: usize, count: &mut usize) -> Result<Vec<Spec>, SearchError> {
        let aggs = aggs
            .as_object()
            .ok_or_else(|| SearchError::parsing("aggregations must be an object"))?;
        *count += aggs.len();
        if depth > DEPTH_MAX || *count > AGGREGATIONS_MAX {
            return Err(SearchError::argument(format!(
                "more than {AGGREGATIONS_MAX} aggregations, or nested deeper than {DEPTH_MAX}"
            )));
        }
        aggs.iter()
            .map(|(name, body)| self.one(name, body, depth, count))
            .collect()
    }

    fn one(
        &self,
        name: &str,
        body: &Value,
        depth: usize,
        count: &mut usize,
    ) -> Result<Spec, SearchError> {
        if name.contains(['[', ']', '>']) {
            return Err(SearchError::parsing(format!(
                "Invalid aggregation name [{name}]. Aggregation names can contain any character except '[', ']', and '>'"
            )));
        }
        let parts = body.as_object().ok_or_else(|| {
            SearchError::parsing(format!("aggregation [{name}] must be an object"))
        })?;
        let (mut kind, mut subs, mut meta) = (None, Vec::new(), None);
        for (part, value) in parts {
            match part.as_str() {
                "aggs" | "aggregations" => subs = self.all(value, depth + 1, count)?,
                "meta" => meta = Some(value.clone()),
                _ if kind.is_some() => {
                    return Err(SearchError::parsing(format!(
                        "Found two aggregation type definitions in [{name}]: [{part}]"
                    )));
                }
                _ => kind = Some((part.clone(), self.kind(name, part, value)?)),
            }
        }
        let Some((kind_name, kind)) = kind else {
            return Err(SearchError::parsing(format!(
                "Missing definition for aggregation [{name}]"
            )));
        };
        if matches!(kind, Kind::Metric(_)) && !subs.is_empty() {
            return Err(SearchError::new(
                400,
                "aggregation_initialization_exception",
                format!("Aggregator [{name}] of type [{kind_name}] cannot accept sub-aggregations"),
            ));
        }
        Ok(Spec {
            name: name.to_owned(),
            kind_name,
            kind,
            subs,
            meta,
        })
    }

    fn kind(&self, name: &str, kind: &str, body: &Value) -> Result<Kind, SearchError> {
        if kind == "filter" {
            return Ok(Kind::Filter(body.clone()));
        }
        let o = body.as_object().ok_or_else(|| {
            SearchError::parsing(format!("[{kind}] in [{name}] must be an object"))
        })?;
        super::options::check(kind, o)?;
        let metric = |what| {
            Ok(Kind::Metric(Metric {
                field: field(name, o)?,
                what,
                missing: o.get("missing").and_then(number),
            }))
        };
        match kind {
            "terms" => terms(name, o),
            "histogram" => histogram(name, o),
            "date_histogram" => self.date_histogram(name, o),
            "range" => self.ranges(name, o, false),
            "date_range" => self.ranges(name, o, true),
            "filters" => filters(name, o),
            "missing" => Ok(Kind::Missing(field(name, o)?)),
            "avg" => metric(What::Avg),
            "sum" => metric(What::Sum),
            "min" => metric(What::Min),
            "max" => metric(What::Max),
            "stats" => metric(What::Stats),
            "value_count" => metric(What::ValueCount),
            "cardinality" => metric(What::Cardinality),
            _ => Err(
                SearchError::parsing(format!("Unknown aggregation type [{kind}]")).because(
                    "named_object_not_found_exception",
                    format!("unknown field [{kind}]"),
                ),
            ),
        }
    }

    fn date_histogram(&self, name: &str, o: &Map<String, Value>) -> Result<Kind, SearchError> {
        let text = |key: &str| o.get(key).and_then(Value::as_str);
        let interval = if let Some(text) = text("fixed_interval") {
            Interval::fixed(text)
        } else if let Some(text) = text("calendar_interval") {
            Interval::calendar(text)
        } else if let Some(value) = o.get("interval") {
            let text = crate::query::scalar_text(value).unwrap_or_default();
            Interval::calendar(&text).or_else(|| Interval::fixed(&text))
        } else {
            return Err(SearchError::argument(format!(
                "Invalid interval specified for aggregation [{name}], must be non-null and non-empty"
            )));
        };
        let interval = interval.ok_or_else(|| {
            SearchError::argument(format!(
                "The supplied interval of aggregation [{name}] could not be parsed"
            ))
        })?;
        let zone = match text("time_zone") {
            Some(zone) => time::parse_zone(zone)
                .ok_or_else(|| SearchError::argument(format!("Unknown time-zone ID: {zone}")))?,
            None => TimeZone::UTC,
        };
        let offset = match o.get("offset") {
            Some(Value::String(text)) => parse_duration(text)
                .ok_or_else(|| SearchError::argument(format!("failed to parse offset [{text}]")))?,
            Some(value) => value.as_i64().unwrap_or(0),
            None => 0,
        };
        Ok(Kind::DateHistogram(DateHistogram {
            field: field(name, o)?,
            rounding: Rounding {
                interval,
                zone,
                offset,
            },
            format: text("format")
                .unwrap_or("strict_date_optional_time")
                .to_owned(),
            shape: shape(o)?,
            extended: self.date_bounds(o.get("extended_bounds")),
            hard: self.date_bounds(o.get("hard_bounds")),
            missing: o.get("missing").and_then(|value| self.date(value, false)),
        }))
    }

    fn date(&self, value: &Value, up: bool) -> Option<i64> {
        match value {
            Value::String(text) => time::parse_math(text, self.now, up, &TimeZone::UTC),
            Value::Number(_) => number(value).map(to_millis),
            _ => None,
        }
    }

    fn date_bounds(&self, bounds: Option<&Value>) -> Option<(i64, i64)> {
        let bounds = bounds?;
        self.date(bounds.get("min")?, false)
            .zip(self.date(bounds.get("max")?, false))
    }

    fn ranges(&self, name: &str, o: &Map<String, Value>, dates: bool) -> Result<Kind, SearchError> {
        let ranges = o.get("ranges").and_then(Value::as_array).ok_or_else(|| {
            SearchError::argument(format!(
                "No [ranges] specified for the [{name}] aggregation"
            ))
        })?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of real dates are exact in f64"
        )]
        let end = |range: &Value, key: &str| {
            let value = range.get(key).filter(|value| !value.is_null())?;
            if dates {
                self.date(value, false).map(|millis| millis as f64)
            } else {
                number(value)
            }
        };
        let ranges = ranges.iter().map(|range| RangeBucket {
            key: range.get("key").and_then(Value::as_str).map(str::to_owned),
            from: end(range, "from"),
            to: end(range, "to"),
        });
        let format = o
            .get("format")
            .and_then(Value::as_str)
            .unwrap_or("strict_date_optional_time");
        Ok(Kind::Range(Ranges {
            field: field(name, o)?,
            ranges: ranges.collect(),
            keyed: o.get("keyed").and_then(Value::as_bool).unwrap_or(false),
            format: dates.then(|| format.to_owned()),
        }))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn to_millis(n: f64) -> i64 {
    n as i64
}

/// A number, also one written as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn field(name: &str, o: &Map<String, Value>) -> Result<String, SearchError> {
    match o.get("field") {
        Some(Value::String(field)) => Ok(field.clone()),
        _ => Err(SearchError::argument(format!(
            "Required one of fields [field, script], but none were specified for aggregation [{name}]"
        ))),
    }
}

fn terms(name: &str, o: &Map<String, Value>) -> Result<Kind, SearchError> {
    let size = match o.get("size") {
        None => 10,
        Some(size) => size
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or_else(|| {
                SearchError::argument(format!(
                    "[size] must be greater than 0. Found [{size}] in [{name}]"
                ))
            })?,
    };
    Ok(Kind::Terms(Terms {
        field: field(name, o)?,
        size: size.min(super::BUCKETS_MAX),
        order: order(o.get("order"))?,
        min_doc_count: o
            .get("min_doc_count")
            .and_then(Value::as_u64)
            .unwrap_or(1)
            .max(1),
        missing: o.get("missing").filter(|value| !value.is_null()).cloned(),
        include: listed(o.get("include"))?,
        exclude: listed(o.get("exclude"))?,
        format: o.get("format").and_then(Value::as_str).map(str::to_owned),
        kept_max: None,
    }))
}

fn listed(value: Option<&Value>) -> Result<Option<Names>, SearchError> {
    Ok(Some(match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(pattern)) => {
            let regex = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
                .size_limit(1 << 20)
                .build()
                .map_err(|error| {
                    SearchError::argument(format!("invalid pattern [{pattern}]: {error}"))
                })?;
            Names::Fit(Arc::new(regex))
        }
        Some(Value::Array(names)) => {
            Names::Are(names.iter().filter_map(crate::query::scalar_text).collect())
        }
        Some(other) => {
            return Err(SearchError::argument(format!(
                "unknown form of include or exclude: {other}"
            )));
        }
    }))
}

/// Reads `{"_count": "desc"}` or a list of such.
fn order(value: Option<&Value>) -> Result<Vec<Order>, SearchError> {
    let one = |by: &str, direction: &Value| {
        let ascending = match direction.as_str() {
            Some("asc") => true,
            Some("desc") => false,
            _ => {
                return Err(SearchError::parsing(format!(
                    "Unknown order direction [{direction}]"
                )));
            }
        };
        let by = match by {
            "_count" => OrderBy::Count,
            "_key" | "_term" | "_time" => OrderBy::Key,
            path => OrderBy::Metric(path.split(['.', '>']).map(str::to_owned).collect()),
        };
        Ok(Order { by, ascending })
    };
    let objects: Vec<&Value> = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(value) => vec![value],
    };
    let mut orders = Vec::new();
    for object in objects {
        let object = object
            .as_object()
            .ok_or_else(|| SearchError::parsing("Order must be an object"))?;
        for (by, direction) in object {
            orders.push(one(by, direction)?);
        }
    }
    Ok(orders)
}

fn shape(o: &Map<String, Value>) -> Result<Shape, SearchError> {
    Ok(Shape {
        min_doc_count: o.get("min_doc_count").and_then(Value::as_u64).unwrap_or(0),
        keyed: o.get("keyed").and_then(Value::as_bool).unwrap_or(false),
        order: order(o.get("order"))?,
    })
}

fn histogram(name: &str, o: &Map<String, Value>) -> Result<Kind, SearchError> {
    let interval = o.get("interval").and_then(number).unwrap_or(0.0);
    if interval <= 0.0 || !interval.is_finite() {
        return Err(SearchError::argument(format!(
            "[interval] must be >0 for histogram aggregation [{name}]"
        )));
    }
    let bounds = |key: &str| {
        let bounds = o.get(key)?;
        bounds
            .get("min")
            .and_then(number)
            .zip(bounds.get("max").and_then(number))
    };
    Ok(Kind::Histogram(Histogram {
        field: field(name, o)?,
        interval,
        offset: o.get("offset").and_then(number).unwrap_or(0.0),
        shape: shape(o)?,
        extended: bounds("extended_bounds"),
        hard: bounds("hard_bounds"),
        missing: o.get("missing").and_then(number),
    }))
}

fn filters(name: &str, o: &Map<String, Value>) -> Result<Kind, SearchError> {
    let (queries, keyed) = match o.get("filters") {
        Some(Value::Object(named)) => (
            named
                .iter()
                .map(|(name, query)| (name.clone(), query.clone()))
                .collect(),
            true,
        ),
        Some(Value::Array(list)) => (
            list.iter()
                .map(|query| (String::new(), query.clone()))
                .collect(),
            false,
        ),
        _ => {
            return Err(SearchError::parsing(format!(
                "[filters] is missing in aggregation [{name}]"
            )));
        }
    };
    let other = match (o.get("other_bucket_key"), o.get("other_bucket")) {
        (Some(Value::String(key)), _) => Some(key.clone()),
        (_, Some(Value::Bool(true))) => Some("_other_".to_owned()),
        _ => None,
    };
    Ok(Kind::Filters(Filters {
        queries,
        keyed,
        other,
    }))
}
