//! Orders, cuts and words the buckets as Elasticsearch does.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::partial::{Bucket, Buckets, Key, Partial, Stats};
use super::request::{
    DateHistogram, Filters, Histogram, Kind, Order, OrderBy, RangeBucket, Ranges, Spec, Terms, What,
};
use super::sketch::Sketch;
use super::{BUCKETS_MAX, strings, too_many_buckets};
use crate::error::SearchError;
use crate::time::{format_in, format_millis};

/// The answer to aggregations. `typed` puts the kind before each name, as `typed_keys` asks.
pub(crate) fn answer(
    specs: &[Spec],
    partials: Vec<Partial>,
    typed: bool,
) -> Result<Value, SearchError> {
    let mut partials = partials;
    strings::settle(specs, &mut partials)?;
    let mut writer = Writer { typed, buckets: 0 };
    Ok(Value::Object(writer.all(specs, partials)?))
}

struct Writer {
    typed: bool,
    /// Buckets written so far.
    buckets: usize,
}

impl Key {
    /// The key as text: keys of mixed types are told apart by it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Big(n) => n.to_string(),
            Self::Float(n) => tantivy::u64_to_f64(*n).to_string(),
            Self::Date(millis) => format_millis(*millis),
            Self::Str(text) => text.to_string(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "for comparison and printing")]
    fn number(&self) -> f64 {
        match self {
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Int(n) | Self::Date(n) => *n as f64,
            Self::Big(n) => *n as f64,
            Self::Float(n) => tantivy::u64_to_f64(*n),
            Self::Str(_) => f64::NAN,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) | (Self::Date(a), Self::Date(b)) => a.cmp(b),
            _ => self.number().total_cmp(&other.number()),
        }
    }
}

/// How the kind is named before the aggregation's name.
fn type_name(spec: &Spec, terms_key: Option<&Key>, floats: bool) -> String {
    match (&spec.kind, terms_key) {
        (Kind::Terms(_), Some(Key::Str(_))) => "sterms".to_owned(),
        (Kind::Terms(_), Some(_)) => if floats { "dterms" } else { "lterms" }.to_owned(),
        (Kind::Terms(_), None) => "umterms".to_owned(),
        _ => spec.kind_name.clone(),
    }
}

impl Writer {
    fn all(
        &mut self,
        specs: &[Spec],
        partials: Vec<Partial>,
    ) -> Result<Map<String, Value>, SearchError> {
        let mut partials = partials.into_iter();
        let mut all = Map::new();
        for spec in specs {
            let partial = partials.next();
            let mut type_key = (None, false);
            if let Some(Partial::Terms {
                buckets, floats, ..
            }) = &partial
            {
                let text = buckets.keys().find(|key| matches!(key, Key::Str(_)));
                type_key = (text.or_else(|| buckets.keys().next()).cloned(), *floats);
            }
            let mut body = self.one(spec, partial)?;
            if let (Some(meta), Some(body)) = (&spec.meta, body.as_object_mut()) {
                body.insert("meta".to_owned(), meta.clone());
            }
            let name = if self.typed {
                format!(
                    "{}#{}",
                    type_name(spec, type_key.0.as_ref(), type_key.1),
                    spec.name
                )
            } else {
                spec.name.clone()
            };
            all.insert(name, body);
        }
        Ok(all)
    }

    fn one(&mut self, spec: &Spec, partial: Option<Partial>) -> Result<Value, SearchError> {
        match (&spec.kind, partial) {
            (Kind::Terms(terms), partial) => {
                let (buckets, floats, rest) = match partial {
                    Some(Partial::Terms {
                        buckets,
                        floats,
                        rest,
                        ..
                    }) => (buckets, floats, rest.count),
                    _ => (Buckets::default(), false, 0),
                };
                self.terms(spec, terms, buckets, (floats, rest))
            }
            (Kind::Histogram(histogram), partial) => {
                self.histogram(spec, histogram, steps(partial))
            }
            (Kind::DateHistogram(histogram), partial) => {
                self.date_histogram(spec, histogram, steps(partial))
            }
            (Kind::Range(ranges), partial) => self.ranges(spec, ranges, places(partial)),
            (Kind::Filters(filters), partial) => self.filters(spec, filters, places(partial)),
            (Kind::Filter(_) | Kind::Missing(_), partial) => {
                let bucket = places(partial).into_iter().next().unwrap_or_default();
                Ok(Value::Object(self.bucket(spec, Map::new(), bucket)?))
            }
            (Kind::Metric(metric), Some(Partial::Distinct(sketch))) => {
                Ok(distinct(metric.what, &sketch))
            }
            (Kind::Metric(metric), Some(Partial::Stats(stats))) => {
                Ok(stats_answer(metric.what, &stats))
            }
            (Kind::Metric(metric), _) if metric.what == What::Cardinality => {
                Ok(distinct(metric.what, &Sketch::default()))
            }
            (Kind::Metric(metric), _) => Ok(stats_answer(metric.what, &Stats::default())),
        }
    }

    /// Writes a bucket behind its key.
    fn bucket(
        &mut self,
        spec: &Spec,
        mut body: Map<String, Value>,
        bucket: Bucket,
    ) -> Result<Map<String, Value>, SearchError> {
        self.buckets += 1;
        if self.buckets > BUCKETS_MAX {
            return Err(too_many_buckets(BUCKETS_MAX));
        }
        body.insert("doc_count".to_owned(), json!(bucket.count));
        body.extend(self.all(&spec.subs, bucket.subs)?);
        Ok(body)
    }

    fn terms(
        &mut self,
        spec: &Spec,
        terms: &Terms,
        buckets: Buckets,
        (floats, rest): (bool, u64),
    ) -> Result<Value, SearchError> {
        let mut buckets = fold(buckets);
        buckets.retain(|(_, bucket)| bucket.count >= terms.min_doc_count);
        let counted: u64 = buckets.iter().map(|(_, bucket)| bucket.count).sum();
        for order in &terms.order {
            check_order(spec, order)?;
        }
        let compare = |a: &(Key, Bucket), b: &(Key, Bucket)| {
            let mut ordering = Ordering::Equal;
            if terms.order.is_empty() {
                ordering = b.1.count.cmp(&a.1.count);
            }
            for order in &terms.order {
                let by = match &order.by {
                    OrderBy::Count => a.1.count.cmp(&b.1.count),
                    OrderBy::Key => a.0.compare(&b.0),
                    OrderBy::Metric(path) => {
                        let (a, b) = (metric_of(spec, &a.1, path), metric_of(spec, &b.1, path));
                        compare_metrics(a, b, order.ascending)
                    }
                };
                ordering = ordering.then(if order.ascending { by } else { by.reverse() });
            }
            ordering.then_with(|| a.0.compare(&b.0))
        };
        if buckets.len() > terms.size {
            buckets.select_nth_unstable_by(terms.size, compare);
            buckets.truncate(terms.size);
        }
        buckets.sort_by(compare);
        let shown: u64 = buckets.iter().map(|(_, bucket)| bucket.count).sum();
        let mut written = Vec::with_capacity(buckets.len());
        for (key, bucket) in buckets {
            let body = term_key(&key, floats, terms.format.as_deref());
            written.push(Value::Object(self.bucket(spec, body, bucket)?));
        }
        Ok(json!({
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": rest + counted - shown,
            "buckets": written,
        }))
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "keys of histograms are doubles"
    )]
    fn histogram(
        &mut self,
        spec: &Spec,
        histogram: &Histogram,
        mut buckets: BTreeMap<i64, Bucket>,
    ) -> Result<Value, SearchError> {
        if histogram.shape.min_doc_count == 0 {
            let step =
                |value: f64| ((value - histogram.offset) / histogram.interval).floor() as i64;
            let extended = histogram.extended.map(|(min, max)| (step(min), step(max)));
            fill(&mut buckets, extended, |step| step.saturating_add(1))?;
        }
        let mut written = Vec::new();
        for (step, bucket) in ordered(
            spec,
            buckets,
            histogram.shape.min_doc_count,
            &histogram.shape.order,
        )? {
            let key = step as f64 * histogram.interval + histogram.offset;
            let body = Map::from_iter([("key".to_owned(), json!(key))]);
            written.push((
                json!(key).to_string(),
                Value::Object(self.bucket(spec, body, bucket)?),
            ));
        }
        Ok(list_or_map(written, histogram.shape.keyed))
    }

    fn date_histogram(
        &mut self,
        spec: &Spec,
        histogram: &DateHistogram,
        mut buckets: BTreeMap<i64, Bucket>,
    ) -> Result<Value, SearchError> {
        let rounding = &histogram.rounding;
        if histogram.shape.min_doc_count == 0 {
            let extended = histogram
                .extended
                .map(|(min, max)| (rounding.floor(min), rounding.floor(max)));
            fill(&mut buckets, extended, |start| rounding.next(start))?;
        }
        let mut written = Vec::new();
        for (start, bucket) in ordered(
            spec,
            buckets,
            histogram.shape.min_doc_count,
            &histogram.shape.order,
        )? {
            let text = format_in(start, &rounding.zone, &histogram.format);
            let body = Map::from_iter([
                ("key_as_string".to_owned(), json!(text)),
                ("key".to_owned(), json!(start)),
            ]);
            written.push((text, Value::Object(self.bucket(spec, body, bucket)?)));
        }
        Ok(list_or_map(written, histogram.shape.keyed))
    }

    fn ranges(
        &mut self,
        spec: &Spec,
        ranges: &Ranges,
        buckets: Vec<Bucket>,
    ) -> Result<Value, SearchError> {
        let mut buckets = buckets.into_iter();
        let mut written = Vec::new();
        for range in &ranges.ranges {
            let bucket = buckets.next().unwrap_or_default();
            let (key, body) = range_key(range, ranges.format.as_deref());
            written.push((range.from, range.to, key, self.bucket(spec, body, bucket)?));
        }
        written.sort_by(|a, b| {
            let from = |from: Option<f64>| from.unwrap_or(f64::NEG_INFINITY);
            let to = |to: Option<f64>| to.unwrap_or(f64::INFINITY);
            from(a.0)
                .total_cmp(&from(b.0))
                .then(to(a.1).total_cmp(&to(b.1)))
        });
        let written = written.into_iter().map(|(_, _, key, mut body)| {
            if ranges.keyed {
                body.remove("key");
            }
            (key, Value::Object(body))
        });
        Ok(list_or_map(written.collect(), ranges.keyed))
    }

    fn filters(
        &mut self,
        spec: &Spec,
        filters: &Filters,
        buckets: Vec<Bucket>,
    ) -> Result<Value, SearchError> {
        let mut buckets = buckets.into_iter();
        let names = filters
            .queries
            .iter()
            .map(|(name, _)| name)
            .chain(&filters.other);
        let mut written = Vec::new();
        for name in names {
            let bucket = buckets.next().unwrap_or_default();
            written.push((
                name.clone(),
                Value::Object(self.bucket(spec, Map::new(), bucket)?),
            ));
        }
        Ok(list_or_map(written, filters.keyed))
    }
}

fn steps(partial: Option<Partial>) -> BTreeMap<i64, Bucket> {
    match partial {
        Some(Partial::Steps(buckets)) => buckets,
        _ => BTreeMap::new(),
    }
}

fn places(partial: Option<Partial>) -> Vec<Bucket> {
    match partial {
        Some(Partial::Places(buckets)) => buckets,
        _ => Vec::new(),
    }
}

/// Brings keys of mixed types to one: if some are text, all are.
fn fold(buckets: Buckets) -> Vec<(Key, Bucket)> {
    let text = buckets.keys().any(|key| matches!(key, Key::Str(_)));
    let others = buckets.keys().any(|key| !matches!(key, Key::Str(_)));
    if !(text && others) {
        return buckets.into_iter().collect();
    }
    let mut folded: Buckets = Buckets::default();
    for (key, bucket) in buckets {
        let key = match key {
            Key::Str(_) => key,
            other => Key::Str(other.text().into()),
        };
        folded.entry(key).or_default().merge(bucket);
    }
    folded.into_iter().collect()
}

fn term_key(key: &Key, floats: bool, format: Option<&str>) -> Map<String, Value> {
    let (key, text) = match key {
        Key::Bool(value) => (json!(u8::from(*value)), Some(value.to_string())),
        Key::Date(millis) => {
            let format = format.unwrap_or("strict_date_optional_time");
            (
                json!(millis),
                Some(format_in(*millis, &TimeZone::UTC, format)),
            )
        }
        Key::Int(_) if floats => (json!(key.number()), None),
        Key::Int(n) => (json!(n), None),
        Key::Big(n) => (json!(n), None),
        Key::Float(_) => (json!(key.number()), None),
        Key::Str(text) => (json!(text), None),
    };
    let mut body = Map::from_iter([("key".to_owned(), key)]);
    if let Some(text) = text {
        body.insert("key_as_string".to_owned(), json!(text));
    }
    body
}

fn range_key(range: &RangeBucket, format: Option<&str>) -> (String, Map<String, Value>) {
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let text = |end: Option<f64>| match (end, format) {
        (None, _) => "*".to_owned(),
        (Some(end), Some(format)) => format_in(end as i64, &TimeZone::UTC, format),
        (Some(end), None) => format!("{end:?}"),
    };
    let name = format!("{}-{}", text(range.from), text(range.to));
    let key = range.key.clone().unwrap_or(name);
    let mut body = Map::from_iter([("key".to_owned(), json!(key))]);
    for (name, end) in [("from", range.from), ("to", range.to)] {
        if let Some(value) = end {
            body.insert(name.to_owned(), json!(value));
            if format.is_some() {
                body.insert(format!("{name}_as_string"), json!(text(end)));
            }
        }
    }
    (key, body)
}

/// Adds the empty buckets between the first and the last, and out to the extended bounds.
fn fill(
    buckets: &mut BTreeMap<i64, Bucket>,
    extended: Option<(i64, i64)>,
    next: impl Fn(i64) -> i64,
) -> Result<(), SearchError> {
    let ends = buckets
        .keys()
        .next()
        .copied()
        .zip(buckets.keys().last().copied());
    let (first, last) = match (ends, extended) {
        (None, None) => return Ok(()),
        (Some(ends), None) => ends,
        (None, Some(bounds)) => bounds,
        (Some((first, last)), Some((min, max))) => (first.min(min), last.max(max)),
    };
    let mut key = first;
    while key <= last {
        buckets.entry(key).or_default();
        if buckets.len() > BUCKETS_MAX {
            return Err(too_many_buckets(BUCKETS_MAX));
        }
        key = next(key);
    }
    Ok(())
}

fn ordered(
    spec: &Spec,
    buckets: BTreeMap<i64, Bucket>,
    least: u64,
    order: &[Order],
) -> Result<Vec<(i64, Bucket)>, SearchError> {
    let mut buckets: Vec<(i64, Bucket)> = buckets
        .into_iter()
        .filter(|(_, b)| b.count >= least)
        .collect();
    for order in order {
        check_order(spec, order)?;
    }
    buckets.sort_by(|a, b| {
        let mut ordering = Ordering::Equal;
        for order in order {
            let by = match &order.by {
                OrderBy::Count => a.1.count.cmp(&b.1.count),
                OrderBy::Key => a.0.cmp(&b.0),
                OrderBy::Metric(path) => compare_metrics(
                    metric_of(spec, &a.1, path),
                    metric_of(spec, &b.1, path),
                    order.ascending,
                ),
            };
            ordering = ordering.then(if order.ascending { by } else { by.reverse() });
        }
        ordering
    });
    Ok(buckets)
}

fn check_order(spec: &Spec, order: &Order) -> Result<(), SearchError> {
    let OrderBy::Metric(path) = &order.by else {
        return Ok(());
    };
    let known = path
        .first()
        .is_some_and(|name| spec.subs.iter().any(|sub| sub.name == *name));
    if known {
        return Ok(());
    }
    Err(SearchError::new(
        400,
        "aggregation_execution_exception",
        format!(
            "Invalid aggregation order path [{}]. The provided aggregation [{}] either does not exist, or is a pipeline aggregation and cannot be used to sort the buckets.",
            path.join("."),
            path.first().map_or("", String::as_str),
        ),
    )
    .in_shard())
}

/// The value of a sub-aggregation that buckets are ordered by.
#[expect(clippy::cast_precision_loss, reason = "for comparison")]
fn metric_of(spec: &Spec, bucket: &Bucket, path: &[String]) -> Option<f64> {
    let (name, rest) = path.split_first()?;
    let place = spec.subs.iter().position(|sub| sub.name == *name)?;
    let sub = &spec.subs[place];
    match (&sub.kind, bucket.subs.get(place)?) {
        (Kind::Metric(metric), Partial::Stats(stats)) => {
            let what = rest.first().map(String::as_str);
            if metric.what == What::ValueCount || what == Some("count") {
                return Some(stats.count as f64);
            }
            if stats.count == 0 {
                return None;
            }
            Some(match (metric.what, what) {
                (What::Sum, _) | (_, Some("sum")) => stats.sum(),
                (What::Min, _) | (_, Some("min")) => stats.min,
                (What::Max, _) | (_, Some("max")) => stats.max,
                _ => stats.avg(),
            })
        }
        (_, Partial::Distinct(sketch)) => Some(sketch.count() as f64),
        (_, Partial::Places(places)) => {
            let inner = places.first()?;
            if rest.is_empty() || rest[0] == "_count" {
                return Some(inner.count as f64);
            }
            metric_of(sub, inner, rest)
        }
        _ => None,
    }
}

/// Buckets without a value come last, whatever the direction.
fn compare_metrics(a: Option<f64>, b: Option<f64>, ascending: bool) -> Ordering {
    let last = if ascending {
        f64::INFINITY
    } else {
        f64::NEG_INFINITY
    };
    a.unwrap_or(last).total_cmp(&b.unwrap_or(last))
}

fn list_or_map(buckets: Vec<(String, Value)>, keyed: bool) -> Value {
    if keyed {
        json!({"buckets": Map::from_iter(buckets)})
    } else {
        let list: Vec<Value> = buckets.into_iter().map(|(_, bucket)| bucket).collect();
        json!({"buckets": list})
    }
}

fn distinct(_: What, sketch: &Sketch) -> Value {
    json!({"value": sketch.count()})
}

fn stats_answer(what: What, stats: &Stats) -> Value {
    let some = |value: f64| {
        if stats.count == 0 {
            Value::Null
        } else {
            json!(value)
        }
    };
    let value = match what {
        What::ValueCount | What::Cardinality => return json!({"value": stats.count}),
        What::Stats => {
            let mut body = json!({
                "count": stats.count,
                "min": some(stats.min),
                "max": some(stats.max),
                "avg": some(stats.avg()),
                "sum": stats.sum(),
            });
            if let (true, Some(body)) = (stats.dates, body.as_object_mut()) {
                for (name, value) in [("min", stats.min), ("max", stats.max), ("avg", stats.avg())]
                {
                    body.insert(format!("{name}_as_string"), json!(date_text(value)));
                }
            }
            return body;
        }
        What::Avg => some(stats.avg()),
        What::Sum => json!(stats.sum()),
        What::Min => some(stats.min),
        What::Max => some(stats.max),
    };
    match value.as_f64() {
        Some(number) if stats.dates => {
            json!({"value": number, "value_as_string": date_text(number)})
        }
        _ => json!({"value": value}),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn date_text(millis: f64) -> String {
    format_millis(millis as i64)
}
