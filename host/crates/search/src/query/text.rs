//! Queries on the words of text: match, phrases, several fields.

use serde_json::Value;

use super::compound::{best_of, minimum};
use super::values::{Literal, Test};
use super::words::{Match, text_query};
use super::{Compiled, Context, boost_of, object, one_field, scalar_text};
use crate::error::SearchError;
use crate::query::ColumnQuery;
use crate::snapshot::FieldRef;
use crate::tokenizer::words;

impl Context<'_> {
    pub(super) fn match_query(&self, kind: &str, body: &Value) -> Result<Compiled, SearchError> {
        let (field, value) = one_field(kind, body)?;
        let (text, options) = match value {
            Value::Object(options) => (options.get("query"), value),
            plain => (Some(plain), &Value::Null),
        };
        let text = text
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::argument(format!("[{kind}] requires a query value")))?;
        if let Some(distance) = options.get("fuzziness").and_then(scalar_text) {
            let fuzzy: Result<Vec<Compiled>, SearchError> = words(&text)
                .iter()
                .map(|(_, word)| self.fuzzy_word(field, word, &distance))
                .collect();
            return Ok(best_of(fuzzy?));
        }
        let how = how_to_match(kind == "match_phrase", options, &text)?;
        Ok(self.text_in(field, &text, how)?.boost(boost_of(options)))
    }

    /// A text in a field: its words, or the value itself where the field is not text.
    pub(super) fn text_in(
        &self,
        name: &str,
        text: &str,
        how: Match,
    ) -> Result<Compiled, SearchError> {
        let (field, exact) = self.snapshot.resolve(name)?;
        let FieldRef::Path(path) = &field else {
            return self.equal(name, &[text.to_owned()]);
        };
        if exact || name == "_index" {
            return self.equal(name, &[text.to_owned()]);
        }
        let mut queries = Vec::new();
        if let Some(query) = text_query(self.snapshot.fields, path, text, how) {
            queries.push(Compiled::scored(query));
        }
        let literal = Literal::of_text(text, self.now);
        let typed = literal.number.is_some() || literal.boolean.is_some() || literal.date.is_some();
        if typed || queries.is_empty() {
            queries.push(Compiled::constant(
                self.columns(field, Test::Equal([literal].into())),
            ));
        }
        Ok(best_of(queries))
    }

    /// A text in every field that holds text or, if it is a number, numbers.
    pub(super) fn text_anywhere(&self, text: &str, how: Match) -> Result<Compiled, SearchError> {
        let mut queries = Vec::new();
        for path in self.snapshot.text_paths()? {
            let query = text_query(self.snapshot.fields, &path, text, how);
            queries.extend(query.map(Compiled::scored));
        }
        let literal = Literal::of_text(text, self.now);
        if literal.number.is_some() {
            let paths = self.snapshot.number_paths()?;
            queries.push(Compiled::constant(ColumnQuery {
                fields: paths.into_iter().map(FieldRef::Path).collect(),
                ..self.columns(FieldRef::Timestamp, Test::Equal([literal].into()))
            }));
        }
        Ok(best_of(queries))
    }

    pub(super) fn multi_match(&self, body: &Value) -> Result<Compiled, SearchError> {
        let options = object("multi_match", body)?;
        let text = options
            .get("query")
            .and_then(scalar_text)
            .ok_or_else(|| SearchError::argument("No text specified for multi_match query"))?;
        let kind = options
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("best_fields");
        let how = how_to_match(kind.starts_with("phrase"), body, &text)?;
        let fields = names(options.get("fields"));
        Ok(self
            .text_in_fields(&fields, &text, how)?
            .boost(boost_of(body)))
    }

    /// A text in fields named as `title^3` or with `*`; in every field without names.
    pub(super) fn text_in_fields(
        &self,
        fields: &[String],
        text: &str,
        how: Match,
    ) -> Result<Compiled, SearchError> {
        if fields.is_empty() {
            return self.text_anywhere(text, how);
        }
        let mut queries = Vec::new();
        for field in fields {
            let (name, boost) = match field.split_once('^') {
                Some((name, boost)) => (name, boost.parse().ok()),
                None => (field.as_str(), None),
            };
            for name in self.expand(name)? {
                queries.push(self.text_in(&name, text, how)?.boost(boost));
            }
            if name == "*" {
                queries.push(self.text_anywhere(text, how)?);
            }
        }
        Ok(best_of(queries))
    }

    /// The fields that a name with `*` stands for; `*` alone is left to the caller.
    pub(super) fn expand(&self, name: &str) -> Result<Vec<String>, SearchError> {
        if !name.contains('*') {
            return Ok(vec![name.to_owned()]);
        }
        if name == "*" {
            return Ok(Vec::new());
        }
        let mut paths = self.snapshot.text_paths()?;
        paths.extend(self.snapshot.number_paths()?);
        let mut names: Vec<String> = paths
            .iter()
            .map(|path| path.replace(crate::document::PATH_SEPARATOR, "."))
            .filter(|path| crate::catalog::matches(name, path))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

fn how_to_match(phrase: bool, options: &Value, text: &str) -> Result<Match, SearchError> {
    if phrase {
        let slop = options.get("slop").and_then(Value::as_u64).unwrap_or(0);
        return Ok(Match::Phrase(u32::try_from(slop).unwrap_or(u32::MAX)));
    }
    let operator = options
        .get("operator")
        .and_then(Value::as_str)
        .unwrap_or("or");
    if operator.eq_ignore_ascii_case("and") {
        return Ok(Match::All);
    }
    Ok(Match::Any(match options.get("minimum_should_match") {
        Some(value) => minimum(value, words(text).len())?,
        None => 1,
    }))
}

/// Names in an array or one string.
pub(super) fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(names)) => names.iter().filter_map(scalar_text).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    }
}
