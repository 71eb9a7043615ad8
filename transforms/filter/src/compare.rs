//! What the configured operator and value say of one JSON value.

use std::cmp::Ordering;

use regex_lite::Regex;
use serde_json::Value;
use wstream_guest::json::{Kind, Raw};

use crate::Op;

/// A test that a value meets or does not.
#[derive(Debug)]
pub(crate) enum Test {
    Exists,
    Matches(Regex),
    Any(Vec<Operand>),
    Order(Operand, fn(Ordering) -> bool),
}

/// What a value is compared with.
#[derive(Debug)]
pub(crate) enum Operand {
    Text(String),
    Whole(i64),
    Number(f64),
    Bool(bool),
}

impl Test {
    pub(crate) fn new(op: Op, value: &Value) -> Result<Self, String> {
        let needs = |what: &str| format!("{} needs {what}", format!("{op:?}").to_lowercase());
        let operand = || {
            let operand = Operand::new(value);
            operand.ok_or_else(|| needs("a text, number or boolean as value"))
        };
        Ok(match op {
            Op::Eq | Op::Ne => Self::Any(vec![operand()?]),
            Op::Lt => Self::Order(operand()?, Ordering::is_lt),
            Op::Le => Self::Order(operand()?, Ordering::is_le),
            Op::Gt => Self::Order(operand()?, Ordering::is_gt),
            Op::Ge => Self::Order(operand()?, Ordering::is_ge),
            Op::In => {
                let list = value
                    .as_array()
                    .map(|list| list.iter().map(Operand::new).collect());
                Self::Any(
                    list.flatten()
                        .ok_or_else(|| needs("a list of texts, numbers or booleans as value"))?,
                )
            }
            Op::Exists if matches!(value, Value::Null | Value::Bool(_)) => Self::Exists,
            Op::Exists => return Err(needs("true, false or no value")),
            Op::Matches => {
                let text = value
                    .as_str()
                    .ok_or_else(|| needs("a regular expression as value"))?;
                let regex = Regex::new(text);
                Self::Matches(regex.map_err(|e| format!("value is no regular expression: {e}"))?)
            }
        })
    }

    pub(crate) const fn is_exists(&self) -> bool {
        matches!(self, Self::Exists)
    }

    pub(crate) fn meets(&self, value: Raw<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(&text)),
            Self::Any(operands) => operands
                .iter()
                .any(|o| o.compare(value).is_some_and(Ordering::is_eq)),
            Self::Order(operand, fits) => operand.compare(value).is_some_and(fits),
        }
    }
}

impl Operand {
    fn new(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => Some(Self::Whole(whole)),
                None => number.as_f64().map(Self::Number),
            },
            _ => None,
        }
    }

    /// How a value stands to this one; nothing if they are of different kinds.
    fn compare(&self, value: Raw<'_>) -> Option<Ordering> {
        match self {
            Self::Text(text) => Some(value.as_str()?.as_ref().cmp(text.as_str())),
            Self::Bool(wanted) => (value.as_bool()? == *wanted).then_some(Ordering::Equal),
            Self::Whole(wanted) => with_digits(value, |digits| match digits.parse::<i64>() {
                // Whole numbers compare exactly, also above the 53 bits of a float.
                Ok(whole) => Some(whole.cmp(wanted)),
                Err(_) => finite(digits)?.partial_cmp(&(*wanted as f64)),
            }),
            Self::Number(wanted) => {
                with_digits(value, |digits| finite(digits)?.partial_cmp(wanted))
            }
        }
    }
}

/// Gives the digits of a number, or of a string that holds one.
fn with_digits(value: Raw<'_>, f: impl FnOnce(&str) -> Option<Ordering>) -> Option<Ordering> {
    match value.kind() {
        Kind::Number => f(value.number()?),
        Kind::String => f(value.as_str()?.trim()),
        _ => None,
    }
}

/// Rust also reads words such as `inf` and `nan` as numbers; here they are texts.
fn finite(digits: &str) -> Option<f64> {
    digits
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}
