//! Index names that hold the time of the record: `logs-%{+yyyyMMdd}`.
//!
//! The letters are those of Logstash (Joda) and of java.time where both agree or only one has
//! them; `YYYY` is the calendar year, as in Joda. Times are UTC.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use wstream_record::Timestamp;

/// Names and patterns longer than this are refused.
const PATTERN_BYTES_MAX: usize = 255;

/// The name of an index, or how it follows from a record's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Time(Field, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    WeekYear,
    Month,
    Week,
    DayOfYear,
    Day,
    Hour,
    Minute,
    Second,
}

/// Why a text does not name indices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty or too long.
    #[error("an index name has 1 to {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// `%{` without `}`.
    #[error("{pattern:?} has a '%{{' without '}}'")]
    Open {
        /// The whole text.
        pattern: String,
    },
    /// Something other than a time between the braces.
    #[error("{field:?} is not a time: write '%{{+yyyyMMdd}}'")]
    NotTime {
        /// What stands between the braces.
        field: String,
    },
    /// A letter without a meaning.
    #[error("{letter:?} stands for no part of a time: use y, M, d, H, m, s, D, x, w")]
    Letter {
        /// The letter.
        letter: char,
    },
    /// A character that index names cannot have.
    #[error("{letter:?} cannot be in the name of an index")]
    Character {
        /// The character.
        letter: char,
    },
}

impl IndexPattern {
    /// Reads a name or a pattern.
    ///
    /// # Errors
    /// The braces do not close, hold no time, or a character cannot be in a name.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((text, after)) = rest.split_once("%{") {
            push_text(&mut parts, text)?;
            let open = || PatternError::Open {
                pattern: pattern.to_owned(),
            };
            let (field, after) = after.split_once('}').ok_or_else(open)?;
            let not_time = || PatternError::NotTime {
                field: field.to_owned(),
            };
            let format = field.strip_prefix('+').filter(|f| !f.is_empty());
            parse_time(&mut parts, format.ok_or_else(not_time)?)?;
            rest = after;
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// The name, if it is the same for every record.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(name)] => Some(name),
            _ => None,
        }
    }

    /// The name for a record's time; `None` for a time that no calendar has.
    #[must_use]
    pub fn name(&self, at: Timestamp) -> Option<String> {
        let time = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let time = time.to_zoned(TimeZone::UTC).datetime();
        let week = time.date().iso_week_date();
        let mut name = String::with_capacity(32);
        for part in &self.0 {
            let (value, width) = match part {
                Part::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                Part::Time(field, width) => {
                    let value = match field {
                        Field::Year => i32::from(time.year()),
                        Field::WeekYear => i32::from(week.year()),
                        Field::Month => i32::from(time.month()),
                        Field::Week => i32::from(week.week()),
                        Field::DayOfYear => i32::from(time.date().day_of_year()),
                        Field::Day => i32::from(time.day()),
                        Field::Hour => i32::from(time.hour()),
                        Field::Minute => i32::from(time.minute()),
                        Field::Second => i32::from(time.second()),
                    };
                    let short = *width == 2 && matches!(field, Field::Year | Field::WeekYear);
                    (if short { value.rem_euclid(100) } else { value }, *width)
                }
            };
            write!(name, "{value:0width$}").ok()?;
        }
        Some(name)
    }

    /// How long the name stays the same: the bounds of the millisecond range around `at` are
    /// those of its second, so that runs of records need no formatting.
    #[must_use]
    pub(super) fn same_name(a: Timestamp, b: Timestamp) -> bool {
        a.0.div_euclid(1_000) == b.0.div_euclid(1_000)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), PatternError> {
    let wrong = |c: &char| {
        c.is_uppercase() || c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(*c)
    };
    if let Some(letter) = text.chars().find(wrong) {
        return Err(PatternError::Character { letter });
    }
    if !text.is_empty() {
        match parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => parts.push(Part::Text(text.to_owned())),
        }
    }
    Ok(())
}

fn parse_time(parts: &mut Vec<Part>, format: &str) -> Result<(), PatternError> {
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            let quoted = &rest[1..];
            let (text, after) = quoted.split_once('\'').unwrap_or((quoted, ""));
            push_text(parts, text)?;
            rest = after;
            continue;
        }
        let width = rest.chars().take_while(|&c| c == letter).count();
        let (run, after) = rest.split_at(width * letter.len_utf8());
        rest = after;
        let field = match letter {
            'y' | 'Y' | 'u' => Field::Year,
            'x' => Field::WeekYear,
            'M' | 'L' => Field::Month,
            'w' => Field::Week,
            'D' => Field::DayOfYear,
            'd' => Field::Day,
            'H' => Field::Hour,
            'm' => Field::Minute,
            's' => Field::Second,
            other if other.is_ascii_alphabetic() => {
                return Err(PatternError::Letter { letter: other });
            }
            _ => {
                push_text(parts, run)?;
                continue;
            }
        };
        parts.push(Part::Time(field, width));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_records_time() {
        // 2021-01-03T04:05:06.789Z is a Sunday: week 53 of 2020. `date -u -d @1609646706` agrees.
        let at = Timestamp(1_609_646_706_789);
        let rows = [
            ("plain", "plain"),
            ("twitter-%{+yyyyMMdd}", "twitter-20210103"),
            ("twitter-%{+YYYY.MM.dd}", "twitter-2021.01.03"),
            ("l-%{+xxxx.ww}-x", "l-2020.53-x"),
            ("l-%{+yy-M-d-H-m-s}", "l-21-1-3-4-5-6"),
            ("l-%{+yyyy}.%{+DDD}", "l-2021.003"),
            ("l-%{+yyyy'w'ww}", "l-2021w53"),
            ("%{+HHmm}", "0405"),
        ];
        for (pattern, name) in rows {
            let pattern = IndexPattern::parse(pattern).unwrap();
            assert_eq!(pattern.name(at).as_deref(), Some(name), "{pattern:?}");
        }
        let before_1970 = IndexPattern::parse("%{+yyyyMMdd}").unwrap();
        assert_eq!(before_1970.name(Timestamp(-2)).unwrap(), "19691231");
        assert_eq!(before_1970.name(Timestamp(i64::MAX)), None);
    }

    #[test]
    fn fixed_names_are_known() {
        assert_eq!(IndexPattern::parse("a-b").unwrap().fixed(), Some("a-b"));
        assert_eq!(IndexPattern::parse("a-%{+yyyy}").unwrap().fixed(), None);
    }

    #[test]
    fn wrong_patterns_say_what_is_wrong() {
        let rows = [
            ("", "1 to 255 bytes"),
            ("a-%{+yyyy", "'%{' without '}'"),
            ("a-%{field}", "\"field\" is not a time"),
            ("a-%{+}", "is not a time"),
            ("a-%{+yyyyQ}", "'Q' stands for no part"),
            ("a b", "' ' cannot be in"),
            ("Logs", "'L' cannot be in"),
            ("a-%{+yyyy/MM}", "'/' cannot be in"),
        ];
        for (pattern, message) in rows {
            let error = IndexPattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(message), "{pattern}: {error}");
        }
    }
}
