//! Elasticsearch's query language over the fixed schema.
//!
//! Whole values (`term`, `range`, `exists`, ...) are asked of columns, words (`match`, phrases) of
//! the field `t`. Nothing goes through tantivy's own query parser, which refuses paths that are
//! not in postings.

mod columns;
mod compound;
mod leaves;
mod parser;
mod query_string;
mod text;
mod values;
mod words;

use std::sync::Arc;

use serde_json::{Map, Value};
use tantivy::query::{AllQuery, BoostQuery, EmptyQuery, Query};

pub(crate) use columns::ColumnQuery;
pub(crate) use parser::parse as parse_text;
pub(crate) use values::Number;

use crate::error::SearchError;
use crate::snapshot::Snapshot;

/// Deepest nesting of queries.
const QUERY_DEPTH_MAX: usize = 50;

/// What a query is compiled for.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Arc<Snapshot>,
    /// Topic and partition by source number.
    pub(crate) sources: &'a [(String, i32)],
    /// The index's name.
    pub(crate) index: &'a str,
    /// Milliseconds since 1970.
    pub(crate) now: i64,
}

/// A query for tantivy.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) query: Box<dyn Query>,
    /// Whether scores differ between documents.
    pub(crate) scored: bool,
}

impl Compiled {
    fn constant(query: impl Query) -> Self {
        Self {
            query: Box::new(query),
            scored: false,
        }
    }

    fn scored(query: Box<dyn Query>) -> Self {
        Self {
            query,
            scored: true,
        }
    }

    pub(crate) fn all() -> Self {
        Self::constant(AllQuery)
    }

    fn none() -> Self {
        Self::constant(EmptyQuery)
    }

    fn boost(self, boost: Option<f32>) -> Self {
        match boost {
            Some(boost) if self.scored => {
                Self::scored(Box::new(BoostQuery::new(self.query, boost)))
            }
            _ => self,
        }
    }
}

impl Context<'_> {
    /// Compiles a query; `null` matches everything.
    pub(crate) fn compile(&self, query: &Value) -> Result<Compiled, SearchError> {
        self.compile_at(query, 0)
    }

    fn compile_at(&self, query: &Value, depth: usize) -> Result<Compiled, SearchError> {
        if depth > QUERY_DEPTH_MAX {
            return Err(SearchError::argument(format!(
                "The nested depth of the query exceeds the maximum nested depth for queries set in [{QUERY_DEPTH_MAX}]"
            )));
        }
        let clauses = match query {
            Value::Null => return Ok(Compiled::all()),
            Value::Object(clauses) => clauses,
            _ => {
                return Err(SearchError::parsing(
                    "[_na] query malformed, must start with start_object",
                ));
            }
        };
        let mut clauses_left = clauses.iter();
        let Some((kind, body)) = clauses_left.next() else {
            return Err(SearchError::argument("query malformed, empty clause found"));
        };
        if let Some((other, _)) = clauses_left.next() {
            return Err(SearchError::parsing(format!(
                "[{kind}] malformed query, expected [END_OBJECT] but found [FIELD_NAME] [{other}]"
            )));
        }
        self.compile_kind(kind, body, depth)
    }

    fn compile_kind(
        &self,
        kind: &str,
        body: &Value,
        depth: usize,
    ) -> Result<Compiled, SearchError> {
        match kind {
            "match_all" => Ok(Compiled::all()),
            "match_none" => Ok(Compiled::none()),
            "bool" => self.boolean(body, depth),
            "constant_score" => self.constant_score(body, depth),
            "dis_max" => self.dis_max(body, depth),
            "term" => self.term(body),
            "terms" => self.terms(body),
            "range" => self.range(body),
            "exists" => self.exists_query(body),
            "ids" => self.ids_query(body),
            "prefix" | "wildcard" | "regexp" => self.pattern(kind, body),
            "fuzzy" => self.fuzzy(body),
            "match" | "match_phrase" => self.match_query(kind, body),
            "multi_match" => self.multi_match(body),
            "query_string" => self.query_string(body),
            "simple_query_string" => self.simple_query_string(body),
            _ => Err(
                SearchError::parsing(format!("unknown query [{kind}]")).because(
                    "named_object_not_found_exception",
                    format!("unknown field [{kind}]"),
                ),
            ),
        }
    }
}

fn object<'v>(kind: &str, body: &'v Value) -> Result<&'v Map<String, Value>, SearchError> {
    body.as_object().ok_or_else(|| {
        SearchError::parsing(format!(
            "[{kind}] query malformed, no start_object after query name"
        ))
    })
}

/// The field of a query like `{"field": ...}`, and what is asked of it.
fn one_field<'v>(kind: &str, body: &'v Value) -> Result<(&'v str, &'v Value), SearchError> {
    let mut fields = object(kind, body)?
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
    let (field, value) = fields
        .next()
        .ok_or_else(|| SearchError::argument("fieldName must not be null or empty"))?;
    if let Some((other, _)) = fields.next() {
        return Err(SearchError::parsing(format!(
            "[{kind}] query doesn't support multiple fields, found [{field}] and [{other}]"
        )));
    }
    Ok((field, value))
}

fn boost_of(body: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "tantivy's scores are f32")]
    body.get("boost")
        .and_then(Value::as_f64)
        .map(|boost| boost as f32)
}

/// `true` or `"true"`.
fn flag(body: &Value, name: &str) -> bool {
    match body.get(name) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// Text of a JSON scalar, as it is searched for.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
