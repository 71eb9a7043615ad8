//! Turns a table of the file into a component's struct and finds everything that is wrong with
//! it, not only the first thing.
//!
//! serde stops at its first error. So the part it stopped at is reported, taken out of the table,
//! and the rest is read again, until nothing is wrong or what is missing ends it.
//! What was taken out stays out, so that later checks see only what is right.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::document::{Document, Table, Value};
use super::problem::{Problem, nearest};

/// Most problems that one table can have before reading it is given up.
const PROBLEMS_MAX: usize = 50;

/// Where a table stands and how it is called.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As in `[sources.titles]`.
    pub(super) label: String,
    /// Where its name begins.
    pub(super) at: usize,
}

/// Reads `table` as a `T`, without its wrong parts if it can be.
pub(super) fn decode<T: DeserializeOwned>(
    table: &mut Table<'_>,
    place: &Place,
    document: &Document<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let mut removed: Vec<String> = Vec::new();
    for _ in 0..PROBLEMS_MAX {
        let whole = Spanned::new(place.at..place.at, DeValue::Table(table.clone()));
        let error = match T::deserialize(ValueDeserializer::from(whole)) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if let Some(field) = quoted(error.message().strip_prefix("missing field ")) {
            // What was taken out as wrong, or misspelled, is not missing too.
            if nearest(field, removed.iter().map(String::as_str)).is_none() {
                let at = error.span().map_or(place.at, |span| span.start);
                problems.push(document.problem(
                    Some(at),
                    format!("missing key `{field}` in {}", place.label),
                    Some(format!("add `{field} = ...`")),
                ));
            }
            return None;
        }
        let span = error.span();
        let taken = span.as_ref().and_then(|span| take(table, span));
        let source = span.clone().map(|s| document.source(s)).unwrap_or_default();
        let (message, hint) = explain(error.message(), taken.as_deref(), source, place);
        let at = span.map_or(place.at, |span| span.start);
        problems.push(document.problem(Some(at), message, hint));
        removed.push(taken?);
    }
    None
}

/// Takes the key or value that has exactly this span out of the table; the key is returned.
fn take(table: &mut Table<'_>, span: &Range<usize>) -> Option<String> {
    let here = table
        .iter()
        .find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some(key) = here.map(|(key, _)| key.get_ref().clone().into_owned()) {
        table.remove(key.as_str());
        return Some(key);
    }
    table.iter_mut().find_map(|(key, value)| {
        let inner = take_inside(value.get_mut(), span)?;
        Some(inner.unwrap_or_else(|| key.get_ref().clone().into_owned()))
    })
}

/// `Some(None)` if an item of an array was taken, `Some(Some(key))` if a key of a table was.
fn take_inside(value: &mut Value<'_>, span: &Range<usize>) -> Option<Option<String>> {
    match value {
        DeValue::Table(table) => take(table, span).map(Some),
        DeValue::Array(items) => {
            if items.iter().any(|item| item.span() == *span) {
                let before = std::mem::replace(items, toml::de::DeArray::new());
                *items = before
                    .into_iter()
                    .filter(|item| item.span() != *span)
                    .collect();
                return Some(None);
            }
            items
                .iter_mut()
                .find_map(|item| take_inside(item.get_mut(), span))
        }
        _ => None,
    }
}

/// serde's message in the words of the file, and what to do.
fn explain(
    message: &str,
    key: Option<&str>,
    source: &str,
    place: &Place,
) -> (String, Option<String>) {
    let label = &place.label;
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let name = quoted(Some(rest)).unwrap_or(rest);
        let hint = choices(rest, name, "known keys");
        return (format!("unknown key `{name}` in {label}"), hint);
    }
    let named = key.map_or_else(|| label.clone(), |key| format!("`{key}` in {label}"));
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let name = quoted(Some(rest)).unwrap_or(rest);
        return (
            format!("{named} cannot be \"{name}\""),
            choices(rest, name, "it can be"),
        );
    }
    let wrong = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    if let Some((_, expected)) = wrong.and_then(|rest| rest.split_once(", expected ")) {
        let expected = in_words(expected);
        let kind = expected
            .split([',', '"'])
            .next()
            .unwrap_or(expected)
            .trim_end_matches(" such as ");
        let message = format!("{named} is {}, which is not {kind}", shortened(source));
        return (message, Some(format!("write {expected}")));
    }
    for lead in ["write ", "use "] {
        if let Some((what, advice)) = message.split_once(&format!(": {lead}")) {
            return (format!("{named}: {what}"), Some(format!("{lead}{advice}")));
        }
    }
    (format!("{named}: {message}"), None)
}

/// What serde wants, for people who do not know Rust's types.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list, as in [\"a\", \"b\"]",
        "a boolean" => "true or false",
        "a character" => "one character, as in \";\"",
        "a map" => "a table, as in { key = value }",
        other if other.starts_with("struct ") => "a table, as in { key = value }",
        other => other,
    }
}

/// A value as it stands in the file, its first line and not much of that.
fn shortened(source: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let line = source.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(SHOWN_MAX).collect();
    if cut.len() < source.len() {
        format!("{cut}...")
    } else {
        cut
    }
}

/// The hint out of serde's "expected one of `a`, `b`": the nearest name, else all of them.
fn choices(message: &str, name: &str, lead: &str) -> Option<String> {
    let (_, expected) = message.split_once(", expected ")?;
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => Some(format!("{lead}: {}", names.join(", "))),
    }
}

/// What stands in the first pair of backticks.
fn quoted(text: Option<&str>) -> Option<&str> {
    text?.split('`').nth(1)
}
