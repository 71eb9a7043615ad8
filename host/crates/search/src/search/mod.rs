//! Answers searches as Elasticsearch does.

use std::sync::Arc;

use serde_json::{Value, json};
use wstream_record::Timestamp;

use crate::error::SearchError;
use crate::index::Shared;

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

/// What a client puts into the URL of a search.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// Which indices may be missing.
    pub target: Target,
}

pub(crate) fn search(
    indices: &[Arc<Shared>],
    _body: &Value,
    _options: &SearchOptions,
    _now: Timestamp,
) -> Result<Value, SearchError> {
    let total: u64 = indices.iter().map(|i| i.reader.searcher().num_docs()).sum();
    Ok(json!({
        "took": 0,
        "timed_out": false,
        "_shards": {"total": indices.len(), "successful": indices.len(), "skipped": 0, "failed": 0},
        "hits": {"total": {"value": total, "relation": "eq"}, "max_score": null, "hits": []},
    }))
}

pub(crate) fn count(
    indices: &[Arc<Shared>],
    _body: &Value,
    _options: &SearchOptions,
    _now: Timestamp,
) -> Result<Value, SearchError> {
    let total: u64 = indices.iter().map(|i| i.reader.searcher().num_docs()).sum();
    Ok(json!({"count": total}))
}

pub(crate) fn get(
    index: &Arc<Shared>,
    id: &str,
    _options: &SearchOptions,
    _now: Timestamp,
) -> Result<(bool, Value), SearchError> {
    Ok((
        false,
        json!({"_index": index.name, "_id": id, "found": false}),
    ))
}
