//! Answers that carry documents as the texts that were stored: a number keeps its digits and a
//! repeated key stays repeated.
//!
//! They are written with `serde`; only as JSON, because the documents are spliced in as text.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The answer to `_search`.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Milliseconds that the search took.
    pub took: u64,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Value,
    hits: Hits,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregations: Option<Value>,
}

#[derive(Debug, Clone, Serialize)]
struct Hits {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Value>,
    max_score: Option<f32>,
    hits: Vec<HitAnswer>,
}

/// One document of an answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct HitAnswer {
    #[serde(rename = "_index")]
    pub(super) index: String,
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_score")]
    pub(super) score: Option<f32>,
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sort: Vec<Value>,
}

/// The answer to `_doc/{id}`.
#[derive(Debug, Clone, Serialize)]
pub struct DocumentAnswer {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version", skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(rename = "_seq_no", skip_serializing_if = "Option::is_none")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term", skip_serializing_if = "Option::is_none")]
    primary_term: Option<u64>,
    /// Whether there is such a document.
    pub found: bool,
    #[serde(rename = "_source", skip_serializing_if = "Option::is_none")]
    source: Option<Box<RawValue>>,
}

impl Answer {
    pub(super) fn new(
        shards: Value,
        total: Option<Value>,
        max_score: Option<f32>,
        hits: Vec<HitAnswer>,
        aggregations: Option<Value>,
    ) -> Self {
        Self {
            took: 0,
            timed_out: false,
            shards,
            hits: Hits {
                total,
                max_score,
                hits,
            },
            aggregations,
        }
    }

    /// The answer as a value, for whoever reads it rather than passing it on: numbers of documents
    /// become numbers.
    #[must_use]
    pub fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl DocumentAnswer {
    pub(super) fn missing(index: &str, id: &str) -> Self {
        Self {
            index: index.to_owned(),
            id: id.to_owned(),
            version: None,
            seq_no: None,
            primary_term: None,
            found: false,
            source: None,
        }
    }

    /// Versions are not kept: every document is its first.
    pub(super) fn of(hit: HitAnswer) -> Self {
        Self {
            index: hit.index,
            id: hit.id,
            version: Some(1),
            seq_no: Some(0),
            primary_term: Some(1),
            found: true,
            source: hit.source,
        }
    }

    /// As [`Answer::into_value`].
    #[must_use]
    pub fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
