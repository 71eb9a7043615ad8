//! Replaces what nobody behind this point should read: named fields of JSON records, and text that
//! matches a pattern, wherever it stands in a value.
//!
//! `{ fields = ["user.email"], patterns = ['\b\d{16}\b'], with = "***" }`. A field that is there is
//! replaced whole, whatever it holds. Patterns apply to every string at any depth, not to names
//! and numbers. What is not touched keeps its bytes. A value that is not a JSON object fails, so
//! nothing passes unread; a record without a value passes. Keys and headers are not looked at.

use regex_lite::Regex;
use serde::Deserialize;
use wstream_guest::json::{Object, map_strings};
use wstream_guest::{Failure, Output, Outputs, Record, Transform, export};

const BAD_VALUE: u16 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Fields to replace; a dot goes into an object, and into each object of an array.
    #[serde(default)]
    fields: Vec<String>,
    /// Regular expressions whose matches are replaced in every string.
    #[serde(default)]
    patterns: Vec<String>,
    /// What stands there instead.
    #[serde(default = "stars")]
    with: String,
}

#[derive(Debug)]
pub struct Redact {
    fields: Vec<Vec<String>>,
    patterns: Vec<Regex>,
    with: String,
    /// The value with its fields replaced, before the patterns.
    buffer: Vec<u8>,
}

fn stars() -> String {
    "***".to_owned()
}

impl Transform for Redact {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        if config.fields.is_empty() && config.patterns.is_empty() {
            return Err(Failure::message(
                "nothing to redact: give fields or patterns",
            ));
        }
        if let Some(field) = config
            .fields
            .iter()
            .find(|f| f.split('.').any(str::is_empty))
        {
            return Err(Failure::message(format!(
                "fields has an empty name: \"{field}\""
            )));
        }
        let fields = config
            .fields
            .iter()
            .map(|f| f.split('.').map(str::to_owned).collect());
        let compiled = config.patterns.iter().map(|pattern| {
            Regex::new(pattern).map_err(|error| {
                Failure::message(format!("\"{pattern}\" is no regular expression: {error}"))
            })
        });
        Ok(Self {
            fields: fields.collect(),
            patterns: compiled.collect::<Result<_, _>>()?,
            with: config.with,
            buffer: Vec::new(),
        })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        let Some(value) = record.value() else {
            out.send(Output::of(record));
            return Ok(());
        };
        let mut object =
            Object::parse(value).map_err(|e| Failure::new(BAD_VALUE, e.to_string()))?;
        for path in &self.fields {
            object.edit_at(path, &mut |inner, name| {
                let is_there = inner.contains(name);
                if is_there {
                    inner.set(name, &self.with);
                }
                is_there
            });
        }
        if self.patterns.is_empty() {
            out.send(Output::of(record).json(&object));
            return Ok(());
        }
        self.buffer.clear();
        object.write(&mut self.buffer);
        let (json, patterns, with) = (&self.buffer, &self.patterns, self.with.as_str());
        Ok(out.send_with(Output::of(record), |frame| {
            map_strings(json, frame, |text| replace_all(text, patterns, with))
        })?)
    }
}

/// The text without what the patterns match; nothing if they match nothing.
fn replace_all(text: &str, patterns: &[Regex], with: &str) -> Option<String> {
    let mut replaced = None;
    for pattern in patterns {
        let current = replaced.as_deref().unwrap_or(text);
        if pattern.is_match(current) {
            let new = pattern
                .replace_all(current, regex_lite::NoExpand(with))
                .into_owned();
            replaced = Some(new);
        }
    }
    replaced
}

export!(Redact);

#[cfg(test)]
mod tests {
    use wstream_guest::testing::{check_cases, make};

    use super::*;

    #[test]
    fn cases_come_out_as_written() {
        check_cases::<Redact>("cases.jsonl");
    }

    #[test]
    fn a_configuration_that_cannot_work_says_why() {
        let rows = [
            ("{}", "nothing to redact"),
            (r#"{"fields":["a."]}"#, "fields has an empty name: \"a.\""),
            (r#"{"patterns":["("]}"#, "\"(\" is no regular expression"),
            (r#"{"field":["a"]}"#, "unknown field `field`"),
        ];
        for (config, message) in rows {
            let error = make::<Redact>(config).unwrap_err().to_string();
            assert!(error.contains(message), "{config}: {error}");
        }
    }
}
