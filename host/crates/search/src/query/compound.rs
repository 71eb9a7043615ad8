//! Queries made of queries.

use serde_json::Value;
use tantivy::query::{AllQuery, BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, Occur, Query};

use super::{Compiled, Context, boost_of, object};
use crate::error::SearchError;

/// Most clauses of one query.
const CLAUSES_MAX: usize = 4096;

impl Context<'_> {
    pub(super) fn boolean(&self, body: &Value, depth: usize) -> Result<Compiled, SearchError> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let (mut scored, mut positive, mut optional) = (false, false, 0);
        for (name, value) in object("bool", body)? {
            let occur = match name.as_str() {
                "must" | "filter" => Occur::Must,
                "should" => Occur::Should,
                "must_not" | "mustNot" => Occur::MustNot,
                "minimum_should_match" | "boost" | "_name" | "adjust_pure_negative" => continue,
                other => {
                    return Err(SearchError::parsing(format!(
                        "[bool] query does not support [{other}]"
                    )));
                }
            };
            let queries: Vec<&Value> = match value {
                Value::Array(queries) => queries.iter().collect(),
                one => vec![one],
            };
            for query in queries {
                let compiled = self.compile_at(query, depth + 1)?;
                let counts = matches!(name.as_str(), "must" | "should");
                scored |= counts && compiled.scored;
                positive |= name == "must" || name == "filter";
                optional += usize::from(occur == Occur::Should);
                let query = if counts {
                    compiled.query
                } else {
                    Box::new(ConstScoreQuery::new(compiled.query, 0.0))
                };
                clauses.push((occur, query));
            }
        }
        if clauses.len() > CLAUSES_MAX {
            return Err(SearchError::argument(format!(
                "maxClauseCount is set to {CLAUSES_MAX}"
            )));
        }
        if clauses.is_empty() {
            return Ok(Compiled::all());
        }
        let least = match body.get("minimum_should_match") {
            Some(value) => minimum(value, optional)?,
            None => usize::from(!positive && optional > 0),
        };
        if least > optional {
            return Ok(Compiled::none());
        }
        if !positive && least == 0 {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        let query = BooleanQuery::with_minimum_required_clauses(clauses, least);
        let compiled = Compiled {
            query: Box::new(query),
            // A clause that may be missing makes scores differ.
            scored: scored || (optional > 1 || (optional > 0 && positive)),
        };
        Ok(compiled.boost(boost_of(body)))
    }

    pub(super) fn constant_score(
        &self,
        body: &Value,
        depth: usize,
    ) -> Result<Compiled, SearchError> {
        let filter = object("constant_score", body)?
            .get("filter")
            .ok_or_else(|| SearchError::parsing("[constant_score] requires a 'filter' element"))?;
        let compiled = self.compile_at(filter, depth + 1)?;
        let score = boost_of(body).unwrap_or(1.0);
        // Scored, so that the answer shows the boost.
        Ok(Compiled::scored(Box::new(ConstScoreQuery::new(
            compiled.query,
            score,
        ))))
    }

    pub(super) fn dis_max(&self, body: &Value, depth: usize) -> Result<Compiled, SearchError> {
        let queries = object("dis_max", body)?
            .get("queries")
            .and_then(Value::as_array)
            .ok_or_else(|| {
                SearchError::parsing("[dis_max] requires 'queries' field with at least one clause")
            })?;
        let compiled: Result<Vec<Compiled>, SearchError> = queries
            .iter()
            .map(|query| self.compile_at(query, depth + 1))
            .collect();
        Ok(best_of(compiled?).boost(boost_of(body)))
    }
}

/// The union of queries, each document with its best score.
pub(super) fn best_of(mut queries: Vec<Compiled>) -> Compiled {
    match queries.len() {
        0 => Compiled::none(),
        1 => queries.swap_remove(0),
        _ => {
            let scored = queries.iter().any(|query| query.scored);
            let queries: Vec<Box<dyn Query>> =
                queries.into_iter().map(|query| query.query).collect();
            let query: Box<dyn Query> = if scored {
                Box::new(DisjunctionMaxQuery::new(queries))
            } else {
                Box::new(BooleanQuery::union(queries))
            };
            Compiled { query, scored }
        }
    }
}

/// `minimum_should_match`: a count, how many may miss (negative), or a percentage.
pub(super) fn minimum(value: &Value, of: usize) -> Result<usize, SearchError> {
    let wrong =
        || SearchError::argument(format!("Invalid value for [minimum_should_match]: {value}"));
    let count = i64::try_from(of).map_err(|_| wrong())?;
    let text = super::scalar_text(value).ok_or_else(wrong)?;
    let least = match text.strip_suffix('%') {
        Some(percent) => {
            let percent: i64 = percent.trim().parse().map_err(|_| wrong())?;
            let part = count * percent.abs() / 100;
            if percent < 0 { count - part } else { part }
        }
        None => {
            let n: i64 = text.trim().parse().map_err(|_| wrong())?;
            if n < 0 { count + n } else { n }
        }
    };
    Ok(usize::try_from(least.max(0)).unwrap_or(usize::MAX))
}
