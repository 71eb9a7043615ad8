//! Keeps the records whose JSON field compares as configured and drops the others, unchanged
//! bytes in, unchanged bytes out.
//!
//! `{ field = "user.age", op = "ge", value = 18 }`: `eq ne lt le gt ge in exists matches`. A number
//! compares with numbers, and with strings that hold one (a CSV's cells); texts compare by bytes.
//! A dot goes into objects, and into each of an array; of several values one that fits is enough.
//! Null is as if it were not there, and what is not there fits `ne` only. A value that is not a
//! JSON object fails; a record without a value passes.

mod compare;

use serde::Deserialize;
use serde_json::Value;
use wstream_guest::json::{Kind, Raw};
use wstream_guest::{Failure, Output, Outputs, Record, Transform, export};

use crate::compare::Test;

const BAD_VALUE: u16 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The field; a dot goes into an object: `user.age`.
    field: String,
    /// How to compare.
    op: Op,
    /// With what: text, number or boolean; a list for `in`; a regular expression for `matches`;
    /// for `exists` nothing, or `false` to keep the records without the field.
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    Exists,
    Matches,
}

#[derive(Debug)]
pub struct Filter {
    path: Vec<String>,
    test: Test,
    /// Whether a record is kept if the test is not met.
    negated: bool,
}

impl Transform for Filter {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Failure> {
        let test = Test::new(config.op, &config.value).map_err(Failure::message)?;
        let negated =
            config.op == Op::Ne || config.value == Value::Bool(false) && config.op == Op::Exists;
        let path: Vec<String> = config.field.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(Failure::message(format!(
                "field has an empty name: \"{}\"",
                config.field
            )));
        }
        Ok(Self {
            path,
            test,
            negated,
        })
    }

    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
        if record.value().is_none() {
            out.send(Output::of(record));
            return Ok(());
        }
        let object = record
            .json()
            .map_err(|error| Failure::new(BAD_VALUE, error.text()))?;
        let fits = object.any_at(&self.path, &mut |value| self.fits(value));
        if fits != self.negated {
            out.send(Output::of(record));
        }
        Ok(())
    }
}

impl Filter {
    fn fits(&self, value: Raw<'_>) -> bool {
        match value.kind() {
            Kind::Null => false,
            Kind::Array if !self.test.is_exists() => value.elements().any(|v| self.test.meets(v)),
            _ => self.test.meets(value),
        }
    }
}

export!(Filter);

#[cfg(test)]
mod tests {
    use wstream_guest::testing::{check_cases, make};

    use super::*;

    #[test]
    fn cases_come_out_as_written() {
        check_cases::<Filter>("cases.jsonl");
    }

    #[test]
    fn a_configuration_that_cannot_work_says_why() {
        let rows = [
            (r"{}", "config: missing field `field`"),
            (
                r#"{"field":"a","op":"is","value":1}"#,
                "unknown variant `is`",
            ),
            (
                r#"{"field":"a..b","op":"eq","value":1}"#,
                "field has an empty name: \"a..b\"",
            ),
            (
                r#"{"field":"a","op":"eq"}"#,
                "eq needs a text, number or boolean as value",
            ),
            (
                r#"{"field":"a","op":"lt","value":[1]}"#,
                "lt needs a text, number or boolean",
            ),
            (
                r#"{"field":"a","op":"in","value":1}"#,
                "in needs a list of texts, numbers or booleans",
            ),
            (
                r#"{"field":"a","op":"matches","value":"("}"#,
                "value is no regular expression",
            ),
            (
                r#"{"field":"a","op":"matches","value":1}"#,
                "matches needs a regular expression",
            ),
            (
                r#"{"field":"a","op":"exists","value":1}"#,
                "exists needs true, false or no value",
            ),
        ];
        for (config, message) in rows {
            let error = make::<Filter>(config).unwrap_err().to_string();
            assert!(error.contains(message), "{config}: {error}");
        }
    }
}
