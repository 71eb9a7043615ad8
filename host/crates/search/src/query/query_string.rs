//! `query_string`: the tree of a query text against fields.

use std::ops::Bound;

use jiff::tz::TimeZone;
use serde_json::Value;
use tantivy::query::{AllQuery, BooleanQuery, ConstScoreQuery, Occur, Query};

use super::compound::best_of;
use super::leaves::{End, wildcard};
use super::parser::{self, Node, Occurs};
use super::text::names;
use super::values::Number;
use super::words::Match;
use super::{Compiled, Context, boost_of, object, scalar_text};
use crate::error::SearchError;

impl Context<'_> {
    pub(super) fn query_string(&self, body: &Value) -> Result<Compiled, SearchError> {
        let options = object("query_string", body)?;
        let text = options.get("query").and_then(scalar_text).ok_or_else(|| {
            SearchError::parsing("[query_string] must be provided with a [query]")
        })?;
        let mut fields = names(options.get("fields"));
        fields.extend(options.get("default_field").and_then(scalar_text));
        let operator = options
            .get("default_operator")
            .and_then(Value::as_str)
            .unwrap_or("OR");
        let compiled = self.query_text(&text, &fields, operator.eq_ignore_ascii_case("and"))?;
        Ok(compiled.boost(boost_of(body)))
    }

    /// A query text as it stands in a URL or a `query_string`.
    pub(crate) fn query_text(
        &self,
        text: &str,
        fields: &[String],
        and: bool,
    ) -> Result<Compiled, SearchError> {
        if text.trim().is_empty() {
            return Ok(Compiled::none());
        }
        let tree = parser::parse(text, and).map_err(|reason| {
            let mut error = SearchError::new(
                400,
                "query_shard_exception",
                format!("Failed to parse query [{text}]"),
            )
            .in_shard()
            .because(
                "parse_exception",
                format!("Cannot parse '{text}': {reason}"),
            );
            error.index = Some(self.index.to_owned());
            error
        })?;
        let fields: Vec<String> = fields
            .iter()
            .filter(|field| *field != "*")
            .cloned()
            .collect();
        self.node(&tree, &fields)
    }

    pub(super) fn simple_query_string(&self, body: &Value) -> Result<Compiled, SearchError> {
        let options = object("simple_query_string", body)?;
        let text = options
            .get("query")
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::parsing("[simple_query_string] query text missing"))?;
        let fields = names(options.get("fields"));
        let operator = options
            .get("default_operator")
            .and_then(Value::as_str)
            .unwrap_or("OR");
        let and = operator.eq_ignore_ascii_case("and");
        // This form of the language never fails: what cannot be read is taken as words.
        self.query_text(&text, &fields, and).or_else(|_| {
            let how = if and { Match::All } else { Match::Any(1) };
            self.text_in_fields(&fields, &text, how)
        })
    }

    fn node(&self, node: &Node, fields: &[String]) -> Result<Compiled, SearchError> {
        match node {
            Node::Clauses(clauses) => self.clauses(clauses, fields),
            Node::Everything => Ok(Compiled::all()),
            Node::Boost(node, boost) => Ok(self.node(node, fields)?.boost(Some(*boost))),
            Node::Field(name, node) if name == "*" => self.node(node, &[]),
            Node::Field(name, node) => {
                let fields = self.expand(name)?;
                if fields.is_empty() {
                    return Ok(Compiled::none());
                }
                self.node(node, &fields)
            }
            // Several words without quotes, such as TV-MA, are meant as they stand.
            Node::Word(text) => self.text_in_fields(fields, text, Match::Phrase(0)),
            Node::Phrase { text, slop } => self.text_in_fields(fields, text, Match::Phrase(*slop)),
            Node::Exists if fields.is_empty() => Ok(Compiled::all()),
            Node::Exists => self.each(fields, |field| self.exists(field)),
            Node::Wildcard(text) => {
                let (pattern, prefix) = wildcard(text);
                self.word_pattern(&pattern, &prefix, fields)
            }
            Node::Regex(pattern) => self.word_pattern(pattern, "", fields),
            Node::Fuzzy { word, distance } => {
                let word = word.to_lowercase();
                self.each_text(fields, |field| self.fuzzy_word(field, &word, distance))
            }
            Node::Range(lower, upper) => {
                let end = |bound: &Bound<String>| {
                    bound.as_ref().map(|text| End {
                        text: text.clone(),
                        is_text: true,
                        // The text says nothing of types: 5 means the number.
                        compares_text: Number::parse(text).is_none(),
                    })
                };
                self.each_text(fields, |field| {
                    self.between(field, end(lower), end(upper), "", &TimeZone::UTC)
                })
            }
        }
    }

    fn clauses(
        &self,
        clauses: &[(Occurs, Node)],
        fields: &[String],
    ) -> Result<Compiled, SearchError> {
        let mut queries: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let mut scored = clauses.len() > 1;
        for (occurs, node) in clauses {
            let compiled = self.node(node, fields)?;
            scored |= compiled.scored;
            queries.push(match occurs {
                Occurs::Must => (Occur::Must, compiled.query),
                Occurs::Should => (Occur::Should, compiled.query),
                Occurs::MustNot => (
                    Occur::MustNot,
                    Box::new(ConstScoreQuery::new(compiled.query, 0.0)),
                ),
            });
        }
        if clauses.iter().all(|(occurs, _)| *occurs == Occurs::MustNot) {
            queries.push((Occur::Must, Box::new(AllQuery)));
            scored = false;
        }
        Ok(Compiled {
            query: Box::new(BooleanQuery::new(queries)),
            scored,
        })
    }

    fn each(
        &self,
        fields: &[String],
        query: impl Fn(&str) -> Result<Compiled, SearchError>,
    ) -> Result<Compiled, SearchError> {
        let queries: Result<Vec<Compiled>, SearchError> = fields
            .iter()
            .map(|field| query(field.split('^').next().unwrap_or(field)))
            .collect();
        Ok(best_of(queries?))
    }

    /// For each field, or for every field that holds text if none is named.
    fn each_text(
        &self,
        fields: &[String],
        query: impl Fn(&str) -> Result<Compiled, SearchError>,
    ) -> Result<Compiled, SearchError> {
        if !fields.is_empty() {
            return self.each(fields, query);
        }
        let paths = self.snapshot.text_paths()?;
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.replace(crate::document::PATH_SEPARATOR, "."))
            .collect();
        self.each(&names, query)
    }

    /// A pattern for words, which are lower-case, or for whole values as they are.
    fn word_pattern(
        &self,
        pattern: &str,
        prefix: &str,
        fields: &[String],
    ) -> Result<Compiled, SearchError> {
        self.each_text(fields, |field| {
            let whole = self.pattern_query(field, pattern, prefix.to_owned(), false, false)?;
            let lower = self.pattern_query(
                field,
                &pattern.to_lowercase(),
                prefix.to_lowercase(),
                false,
                true,
            )?;
            Ok(best_of(vec![whole, lower]))
        })
    }
}
