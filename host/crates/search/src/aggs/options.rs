//! The options that each kind of aggregation knows: a misspelt one is refused rather than passed
//! over. What is known and changes nothing here is listed, too.

use serde_json::{Map, Value};

use crate::error::SearchError;

/// Options of every aggregation over a field.
const FIELD: &[&str] = &["field", "missing", "format", "value_type"];
const TERMS: &[&str] = &[
    "size",
    "shard_size",
    "show_term_doc_count_error",
    "order",
    "min_doc_count",
    "shard_min_doc_count",
    "include",
    "exclude",
    "collect_mode",
    "execution_hint",
];
const HISTOGRAM: &[&str] = &[
    "interval",
    "offset",
    "min_doc_count",
    "extended_bounds",
    "hard_bounds",
    "keyed",
    "order",
];
const DATE_HISTOGRAM: &[&str] = &["calendar_interval", "fixed_interval", "time_zone"];
const RANGE: &[&str] = &["ranges", "keyed", "time_zone"];
const FILTERS: &[&str] = &["filters", "other_bucket", "other_bucket_key", "keyed"];
const CARDINALITY: &[&str] = &["precision_threshold", "rehash", "execution_hint"];

/// Refuses an option that aggregations of this kind do not have.
pub(super) fn check(kind: &str, options: &Map<String, Value>) -> Result<(), SearchError> {
    let known: &[&[&str]] = match kind {
        "terms" => &[FIELD, TERMS],
        "histogram" => &[FIELD, HISTOGRAM],
        "date_histogram" => &[FIELD, HISTOGRAM, DATE_HISTOGRAM],
        "range" | "date_range" => &[FIELD, RANGE],
        "filters" => &[FILTERS],
        "cardinality" => &[FIELD, CARDINALITY],
        "missing" | "avg" | "sum" | "min" | "max" | "stats" | "value_count" => &[FIELD],
        // An unknown kind is refused by its name.
        _ => return Ok(()),
    };
    let unknown = |name: &&String| !known.iter().any(|list| list.contains(&name.as_str()));
    match options.keys().find(unknown) {
        Some(name) => Err(SearchError::new(
            400,
            "x_content_parse_exception",
            format!("[{kind}] unknown field [{name}]"),
        )),
        None => Ok(()),
    }
}
