//! Sizes and durations as people write them: `"10GiB"`, `"500ms"`.
//!
//! Every component's configuration uses these two types, so that a unit is always in the text and
//! a wrong text always says which ones there are. Arithmetic is checked: nothing wraps.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wstream_record::ByteSize;

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
const PERIOD_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A size as text with a unit: `"64MiB"`, `"10GB"`, `"512B"`; a bare integer counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub ByteSize);

/// A duration as text with a unit: `"30d"`, `"1h30m"`, `"500ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Why a text is neither a size nor a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error(
        "{0:?} is not a size: write a whole number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, as in \"10GiB\""
    )]
    Size(String),
    /// Not a duration.
    #[error(
        "{0:?} is not a duration: write a whole number and ms, s, m, h, d or w, as in \"500ms\" or \"30d\""
    )]
    Period(String),
    /// The number does not fit.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.to_owned());
        let (number, unit) = split(text.trim()).ok_or_else(wrong)?;
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
            .ok_or_else(wrong)?;
        let bytes = product(number, *factor).ok_or_else(|| UnitError::TooLarge(text.to_owned()))?;
        Ok(Self(ByteSize(bytes)))
    }
}

impl FromStr for Period {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Period(text.to_owned());
        let too_large = || UnitError::TooLarge(text.to_owned());
        let mut rest = text.trim();
        let mut millis = 0_u64;
        while !rest.is_empty() {
            let (number, after) = split(rest).ok_or_else(wrong)?;
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_ascii_alphabetic());
            let (unit, next) = after.split_at(end.unwrap_or(after.len()));
            let (_, factor) = PERIOD_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?;
            let part = product(number, *factor).ok_or_else(too_large)?;
            millis = millis.checked_add(part).ok_or_else(too_large)?;
            rest = next.trim_start();
        }
        if text.trim().is_empty() {
            Err(wrong())
        } else {
            Ok(Self(Duration::from_millis(millis)))
        }
    }
}

/// A leading whole number, underscores allowed, and what follows it.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    number
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some((number, rest))
}

/// `None` if it does not fit in 64 bits.
fn product(number: &str, factor: u64) -> Option<u64> {
    number
        .replace('_', "")
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        largest(f, self.0.0, &SIZE_UNITS, "B")
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        largest(f, millis, &PERIOD_UNITS, "ms")
    }
}

/// Writes `value` in the largest unit that divides it.
fn largest(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&str, u64)],
    smallest: &str,
) -> fmt::Result {
    match units
        .iter()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
    {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "{value}{smallest}"),
    }
}

impl From<Size> for ByteSize {
    fn from(size: Size) -> Self {
        size.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"10GiB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(ByteSize(bytes)))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                let wrong = || E::invalid_value(de::Unexpected::Signed(bytes), &self);
                u64::try_from(bytes)
                    .map(|b| Size(ByteSize(b)))
                    .map_err(|_| wrong())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Period;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"500ms\" or \"30d\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size: a whole number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB; a bare integer counts bytes.",
            "type": ["string", "integer"],
            "minimum": 0,
            "examples": ["10GiB", "64MiB"]
        })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: a whole number and ms, s, m, h, d or w.",
            "type": "string",
            "examples": ["500ms", "30d", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let rows = [
            ("10GiB", 10 << 30, "10GiB"),
            ("64 MiB", 64 << 20, "64MiB"),
            ("1_500kB", 1_500_000, "1500kB"),
            ("3mb", 3_000_000, "3MB"),
            ("512B", 512, "512B"),
            ("0B", 0, "0B"),
            ("1025B", 1025, "1025B"),
        ];
        for (text, bytes, shown) in rows {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size.0, size.to_string().as_str()),
                (ByteSize(bytes), shown),
                "{text}"
            );
        }
    }

    #[test]
    fn periods_are_read_and_written() {
        let rows = [
            ("500ms", 500, "500ms"),
            ("30d", 30 * 86_400_000, "30d"),
            ("1h30m", 5_400_000, "90m"),
            ("2w 1d", 15 * 86_400_000, "15d"),
            ("0s", 0, "0ms"),
        ];
        for (text, millis, shown) in rows {
            let period: Period = text.parse().unwrap();
            assert_eq!(
                (period.0.as_millis(), period.to_string().as_str()),
                (millis, shown),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_size_or_duration_is_refused_with_the_units() {
        for text in ["", "10", "GiB", "1.5GiB", "10 apples", "-1B", "_1B"] {
            let message = text.parse::<Size>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is not a size: write")),
                "{message}"
            );
        }
        for text in ["", "10", "d", "1.5h", "10 D", "1h30", "-1s"] {
            let message = text.parse::<Period>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is not a duration: write")),
                "{message}"
            );
        }
        assert_eq!(
            "99999999TiB".parse::<Size>(),
            Err(UnitError::TooLarge("99999999TiB".into()))
        );
        assert_eq!(
            "9999999999999999w".parse::<Period>(),
            Err(UnitError::TooLarge("9999999999999999w".into()))
        );
    }

    #[test]
    fn a_bare_integer_is_bytes_and_never_a_duration() {
        assert_eq!(
            serde_json::from_str::<Size>("4096").unwrap(),
            Size(ByteSize(4096))
        );
        assert!(serde_json::from_str::<Size>("-1").is_err());
        let error = serde_json::from_str::<Period>("30")
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a duration such as"), "{error}");
    }
}
