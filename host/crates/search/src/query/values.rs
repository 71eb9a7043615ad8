//! Values of a request against columns: which numbers of a column does a value, a range or a
//! pattern mean? A column holds one type, a path may have several; each is asked on its own.

use std::io;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use jiff::tz::TimeZone;
use regex::bytes::Regex;
use tantivy::columnar::StrColumn;
use tantivy::{f64_to_u64, i64_to_u64};

use crate::snapshot::{Kind, TypedColumn};
use crate::time;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// A number of a request, exact if it is an integer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
        if !plain {
            return None;
        }
        if let Ok(n) = text.parse::<i128>() {
            return Some(Self::Int(n));
        }
        text.parse::<f64>()
            .ok()
            .filter(|n| n.is_finite())
            .map(Self::Float)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a column of floats holds floats"
    )]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(n) => n,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and bounds are checked behind"
    )]
    fn floor(self) -> i128 {
        match self {
            Self::Int(n) => n,
            Self::Float(n) => n.floor() as i128,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and bounds are checked behind"
    )]
    fn ceil(self) -> i128 {
        match self {
            Self::Int(n) => n,
            Self::Float(n) => n.ceil() as i128,
        }
    }
}

/// One value of a request in every type it could mean.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) text: String,
    pub(crate) number: Option<Number>,
    pub(crate) boolean: Option<bool>,
    /// First and last millisecond.
    pub(crate) date: Option<(i64, i64)>,
}

impl Literal {
    pub(crate) fn of_text(text: &str, now: i64) -> Self {
        let utc = TimeZone::UTC;
        let date = |up| time::parse_math(text, now, up, &utc);
        Self {
            number: Number::parse(text),
            boolean: match text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            date: date(false).zip(date(true)),
            text: text.to_owned(),
        }
    }
}

/// The ends of a range in every type they could mean.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) text: (Bound<String>, Bound<String>),
    pub(crate) number: Option<(Bound<Number>, Bound<Number>)>,
    /// Milliseconds.
    pub(crate) date: Option<(Bound<i64>, Bound<i64>)>,
    /// Whether the ends were written as text: numbers do not compare with strings.
    pub(crate) compares_text: bool,
}

/// What a value must be.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// Anything.
    Any,
    /// One of these.
    Equal(Arc<[Literal]>),
    /// Between these.
    Range(Arc<Range>),
    /// A string that fits; each has this prefix.
    Pattern { regex: Arc<Regex>, prefix: String },
}

impl Test {
    /// The ranges of the column's numbers that pass, in order and apart.
    pub(crate) fn ranges(&self, column: &TypedColumn) -> io::Result<Vec<RangeInclusive<u64>>> {
        let mut ranges = match self {
            Self::Any => vec![0..=u64::MAX],
            Self::Equal(literals) => {
                let mut ranges = Vec::with_capacity(literals.len());
                for literal in literals.iter() {
                    ranges.extend(equal(literal, &column.kind)?);
                }
                ranges
            }
            Self::Range(range) => between(range, &column.kind)?.into_iter().collect(),
            Self::Pattern { regex, prefix } => match &column.kind {
                Kind::Str(strings) => fitting(strings, regex, prefix)?,
                _ => Vec::new(),
            },
        };
        ranges.sort_unstable_by_key(|range| *range.start());
        ranges.dedup_by(|next, last| {
            let joins = *next.start() <= last.end().saturating_add(1);
            if joins {
                *last = *last.start()..=(*last.end()).max(*next.end());
            }
            joins
        });
        Ok(ranges)
    }
}

fn equal(literal: &Literal, kind: &Kind) -> io::Result<Option<RangeInclusive<u64>>> {
    Ok(match kind {
        Kind::Str(strings) => strings
            .dictionary()
            .term_ord(literal.text.as_bytes())?
            .map(|rank| rank..=rank),
        Kind::Bool => literal.boolean.map(|value| {
            let value = u64::from(value);
            value..=value
        }),
        Kind::Date => literal
            .date
            .and_then(|(first, last)| date_range(Bound::Included(first), Bound::Included(last))),
        _ => literal
            .number
            .and_then(|n| number_range(kind, Bound::Included(n), Bound::Included(n))),
    })
}

fn between(range: &Range, kind: &Kind) -> io::Result<Option<RangeInclusive<u64>>> {
    Ok(match kind {
        Kind::Str(strings) if range.compares_text => text_range(strings, &range.text)?,
        Kind::Str(_) | Kind::Bool => None,
        Kind::Date => range
            .date
            .and_then(|(lower, upper)| date_range(lower, upper)),
        _ => range
            .number
            .and_then(|(lower, upper)| number_range(kind, lower, upper)),
    })
}

fn text_range(
    strings: &StrColumn,
    (lower, upper): &(Bound<String>, Bound<String>),
) -> io::Result<Option<RangeInclusive<u64>>> {
    let dictionary = strings.dictionary();
    let (lower, upper) = dictionary.term_bounds_to_ord(lower.as_ref(), upper.as_ref())?;
    let first = match lower {
        Bound::Included(rank) => rank,
        Bound::Excluded(rank) => rank + 1,
        Bound::Unbounded => 0,
    };
    let behind = match upper {
        Bound::Included(rank) => rank.saturating_add(1),
        Bound::Excluded(rank) => rank,
        Bound::Unbounded => dictionary.num_terms() as u64,
    };
    Ok((first < behind).then(|| first..=behind - 1))
}

fn date_range(lower: Bound<i64>, upper: Bound<i64>) -> Option<RangeInclusive<u64>> {
    let nanos = |millis: i64| millis.saturating_mul(NANOS_PER_MILLI);
    let last_nano = |millis: i64| nanos(millis).saturating_add(NANOS_PER_MILLI - 1);
    let first = match lower {
        Bound::Included(millis) => nanos(millis),
        Bound::Excluded(millis) => last_nano(millis).saturating_add(1),
        Bound::Unbounded => i64::MIN,
    };
    let last = match upper {
        Bound::Included(millis) => last_nano(millis),
        Bound::Excluded(millis) => nanos(millis).saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    (first <= last).then(|| i64_to_u64(first)..=i64_to_u64(last))
}

fn number_range(
    kind: &Kind,
    lower: Bound<Number>,
    upper: Bound<Number>,
) -> Option<RangeInclusive<u64>> {
    if matches!(kind, Kind::F64) {
        return float_range(lower, upper);
    }
    let first = match lower {
        Bound::Included(n) => n.ceil(),
        Bound::Excluded(n) => n.floor() + 1,
        Bound::Unbounded => i128::MIN,
    };
    let last = match upper {
        Bound::Included(n) => n.floor(),
        Bound::Excluded(n) => n.ceil() - 1,
        Bound::Unbounded => i128::MAX,
    };
    let (min, max) = match kind {
        Kind::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => (0, i128::from(u64::MAX)),
    };
    let (first, last) = (first.max(min), last.min(max));
    if first > last {
        return None;
    }
    let raw = |n: i128| match kind {
        Kind::I64 => i64::try_from(n).map(i64_to_u64).unwrap_or_default(),
        _ => u64::try_from(n).unwrap_or_default(),
    };
    Some(raw(first)..=raw(last))
}

fn float_range(lower: Bound<Number>, upper: Bound<Number>) -> Option<RangeInclusive<u64>> {
    let first = match lower {
        Bound::Included(n) => n.as_f64(),
        Bound::Excluded(n) => n.as_f64().next_up(),
        Bound::Unbounded => f64::NEG_INFINITY,
    };
    let last = match upper {
        Bound::Included(n) => n.as_f64(),
        Bound::Excluded(n) => n.as_f64().next_down(),
        Bound::Unbounded => f64::INFINITY,
    };
    // Zero has two signs that are one number.
    let first = if first == 0.0 { -0.0 } else { first };
    let last = if last == 0.0 { 0.0 } else { last };
    (first <= last).then(|| f64_to_u64(first)..=f64_to_u64(last))
}

fn fitting(
    strings: &StrColumn,
    regex: &Regex,
    prefix: &str,
) -> io::Result<Vec<RangeInclusive<u64>>> {
    let dictionary = strings.dictionary();
    let mut stream = dictionary.prefix_range(prefix.as_bytes()).into_stream()?;
    let mut ranges = Vec::new();
    while stream.advance() {
        if regex.is_match(stream.key()) {
            let rank = stream.term_ord();
            ranges.push(rank..=rank);
        }
    }
    Ok(ranges)
}
