//! The file as a tree in which every key and value knows its bytes, so that every problem, of
//! syntax, shape or meaning, has an exact place.
//!
//! `toml`'s spanned tree keeps places through interpolation and through removal of wrong parts;
//! deserializing straight into structs would lose them behind tagged enums.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::interpolate::interpolate;
use super::problem::{Position, Problem};

/// A table whose parts know their places.
pub(super) type Table<'a> = DeTable<'a>;
/// A value whose parts know their places.
pub(super) type Value<'a> = DeValue<'a>;

/// The text of a file and what it says.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    pub(super) root: Table<'a>,
}

impl<'a> Document<'a> {
    /// Reads the text and fills in variables. Reading goes on behind an error where it can.
    pub(super) fn parse(
        text: &'a str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> (Self, Vec<Problem>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut root = root.into_inner();
        let mut document = Self {
            text,
            root: Table::new(),
        };
        let mut problems: Vec<Problem> =
            errors.iter().map(|error| document.syntax(error)).collect();
        if problems.is_empty() {
            for (_, value) in root.iter_mut() {
                fill(value, &document, variable, &mut problems);
            }
        }
        document.root = root;
        (document, problems)
    }

    /// A problem at byte `at`.
    pub(super) fn problem(
        &self,
        at: Option<usize>,
        message: String,
        hint: Option<String>,
    ) -> Problem {
        let position = at.map(|at| Position::of(self.text, at));
        Problem {
            position,
            message,
            hint,
        }
    }

    /// What the parser says, with the text it says it of.
    fn syntax(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or_default();
        let (message, hint) = match (error.message(), self.source(span.clone()).lines().next()) {
            ("duplicate key", Some(key)) => (
                format!("`{key}` is here twice"),
                "remove one, or merge the two",
            ),
            (message, Some(source)) if !source.is_empty() => (
                format!("{message}, found `{source}`"),
                "see https://toml.io for the syntax",
            ),
            (message, _) => (message.to_owned(), "see https://toml.io for the syntax"),
        };
        self.problem(Some(span.start), message, Some(hint.to_owned()))
    }

    /// Where the value at `path` begins; items of arrays are named by their number.
    /// If it is not there, where the nearest part around it is.
    pub(super) fn at(&self, path: &[&str]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let (key, value) = self.root.get_key_value(*first)?;
        let mut found = start_of(key.span(), value);
        let mut value = value.get_ref();
        for step in rest {
            value = match value {
                DeValue::Table(table) => {
                    let Some((key, inner)) = table.get_key_value(*step) else {
                        break;
                    };
                    found = start_of(key.span(), inner);
                    inner.get_ref()
                }
                DeValue::Array(items) => {
                    let item = step.parse().ok().and_then(|n: usize| items.get(n));
                    let Some(inner) = item else { break };
                    found = inner.span().start;
                    inner.get_ref()
                }
                _ => break,
            };
        }
        Some(found)
    }

    /// The text of the value at `span`, as it stands in the file.
    pub(super) fn source(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }
}

/// A table stands where its name is: its own span would be a header or everything in braces.
fn start_of(key: Range<usize>, value: &Spanned<Value<'_>>) -> usize {
    if value.get_ref().is_table() {
        key.start
    } else {
        value.span().start
    }
}

/// Fills variables in every string below `value`; dates become strings, since JSON has none.
fn fill(
    value: &mut Spanned<Value<'_>>,
    document: &Document<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => match interpolate(text, variable) {
            Ok(filled) => *text = filled.into(),
            Err(failures) => {
                let literal = document.source(span.clone());
                for failure in failures {
                    let at = span.start + nth_variable(literal, failure.nth).unwrap_or(0);
                    problems.push(document.problem(Some(at), failure.message, Some(failure.hint)));
                }
            }
        },
        DeValue::Datetime(date) => {
            let text = date.to_string();
            *value.get_mut() = DeValue::String(text.into());
        }
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                fill(item, document, variable, problems);
            }
        }
        DeValue::Table(table) => {
            for (_, inner) in table.iter_mut() {
                fill(inner, document, variable, problems);
            }
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {}
    }
}

/// Where the `${` of that number stands in a literal; escapes such as `\u0024` hide one.
fn nth_variable(literal: &str, nth: usize) -> Option<usize> {
    let mut seen = 0;
    let mut from = 0;
    while let Some(at) = literal[from..].find('$').map(|at| from + at) {
        let after = &literal[at + 1..];
        if after.starts_with('{') {
            if seen == nth {
                return Some(at);
            }
            seen += 1;
        }
        from = at + 1 + usize::from(after.starts_with('$'));
    }
    None
}
