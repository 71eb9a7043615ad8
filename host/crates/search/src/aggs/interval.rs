//! Rounds times down to the start of their interval: fixed lengths, or days, weeks, months,
//! quarters and years of a calendar in a time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::time::floor_civil;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// The first Monday of 1970, in milliseconds.
const FIRST_MONDAY: i64 = 4 * MILLIS_PER_DAY;

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interval {
    /// Milliseconds.
    Fixed(i64),
    /// `d`, `w`, `M`, `q` or `y`.
    Calendar(char),
}

/// How times become the keys of buckets.
#[derive(Debug, Clone)]
pub(crate) struct Rounding {
    pub(crate) interval: Interval,
    pub(crate) zone: TimeZone,
    /// Milliseconds by which buckets start later.
    pub(crate) offset: i64,
}

/// `90m`, `-6h`, `500ms` in milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: i64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => MILLIS_PER_DAY,
        _ => return None,
    };
    count.checked_mul(unit).map(|millis| sign * millis)
}

impl Interval {
    pub(crate) fn fixed(text: &str) -> Option<Self> {
        parse_duration(text)
            .filter(|millis| *millis > 0)
            .map(Self::Fixed)
    }

    pub(crate) fn calendar(text: &str) -> Option<Self> {
        Some(match text {
            "1s" | "second" => Self::Fixed(1_000),
            "1m" | "minute" => Self::Fixed(60_000),
            "1h" | "hour" => Self::Fixed(3_600_000),
            "1d" | "day" => Self::Calendar('d'),
            "1w" | "week" => Self::Calendar('w'),
            "1M" | "month" => Self::Calendar('M'),
            "1q" | "quarter" => Self::Calendar('q'),
            "1y" | "year" => Self::Calendar('y'),
            _ => return None,
        })
    }
}

impl Rounding {
    /// The start of the bucket that a time lies in.
    pub(crate) fn floor(&self, millis: i64) -> i64 {
        let millis = millis.saturating_sub(self.offset);
        let start = match self.interval {
            Interval::Fixed(length) if self.is_utc() => floor_to(millis, length),
            Interval::Calendar('d') if self.is_utc() => floor_to(millis, MILLIS_PER_DAY),
            Interval::Calendar('w') if self.is_utc() => {
                floor_to(millis - FIRST_MONDAY, 7 * MILLIS_PER_DAY) + FIRST_MONDAY
            }
            _ => self.floor_in_zone(millis).unwrap_or(millis),
        };
        start.saturating_add(self.offset)
    }

    fn is_utc(&self) -> bool {
        self.zone == TimeZone::UTC
    }

    /// The length of all buckets, if they have one.
    pub(crate) fn fixed_length(&self) -> Option<i64> {
        match self.interval {
            _ if !self.is_utc() => None,
            Interval::Fixed(length) => Some(length),
            Interval::Calendar('d') => Some(MILLIS_PER_DAY),
            Interval::Calendar('w') => Some(7 * MILLIS_PER_DAY),
            Interval::Calendar(_) => None,
        }
    }

    fn floor_in_zone(&self, millis: i64) -> Option<i64> {
        let at = Timestamp::from_millisecond(millis)
            .ok()?
            .to_zoned(self.zone.clone());
        match self.interval {
            Interval::Fixed(length) => {
                let shift = i64::from(at.offset().seconds()) * 1000;
                Some(floor_to(millis + shift, length) - shift)
            }
            Interval::Calendar(unit) => {
                let start = floor_civil(at.datetime(), unit)?
                    .to_zoned(self.zone.clone())
                    .ok()?;
                Some(start.timestamp().as_millisecond())
            }
        }
    }

    /// The start of the bucket behind the one that starts at `start`.
    pub(crate) fn next(&self, start: i64) -> i64 {
        if let Some(length) = self.fixed_length() {
            return start.saturating_add(length);
        }
        let next = self
            .next_in_zone(start - self.offset)
            .map(|next| next + self.offset);
        // A time zone that jumps must not stop the walk.
        next.filter(|next| *next > start)
            .unwrap_or_else(|| start.saturating_add(1))
    }

    fn next_in_zone(&self, start: i64) -> Option<i64> {
        let at = Timestamp::from_millisecond(start)
            .ok()?
            .to_zoned(self.zone.clone());
        let span = match self.interval {
            Interval::Fixed(length) => {
                return Some(
                    self.floor_in_zone(start + length)
                        .filter(|n| *n > start)
                        .unwrap_or(start + length),
                );
            }
            Interval::Calendar('d') => 1.day(),
            Interval::Calendar('w') => 1.week(),
            Interval::Calendar('M') => 1.month(),
            Interval::Calendar('q') => 3.months(),
            Interval::Calendar(_) => 1.year(),
        };
        let next = at
            .datetime()
            .checked_add(span)
            .ok()?
            .to_zoned(self.zone.clone())
            .ok()?;
        Some(next.timestamp().as_millisecond())
    }
}

fn floor_to(millis: i64, length: i64) -> i64 {
    millis.div_euclid(length).saturating_mul(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{format_in, parse_math, parse_zone};

    /// Interval, zone, offset, a time and the start of its bucket, both on 2026's calendar.
    type Row = (&'static str, &'static str, i64, &'static str, &'static str);

    #[rustfmt::skip]
    const ROWS: &[Row] = &[
        ("90m", "UTC", 0, "2026-11-21T10:31:00Z", "2026-11-21T10:30:00.000Z"),
        ("day", "UTC", 0, "2026-11-21T10:31:00Z", "2026-11-21T00:00:00.000Z"),
        ("1w", "UTC", 0, "2026-11-21T10:31:00Z", "2026-11-16T00:00:00.000Z"),
        ("month", "UTC", 0, "2026-11-21T10:31:00Z", "2026-11-01T00:00:00.000Z"),
        ("quarter", "UTC", 0, "2026-11-21T10:31:00Z", "2026-10-01T00:00:00.000Z"),
        ("year", "UTC", 0, "1969-11-21T10:31:00Z", "1969-01-01T00:00:00.000Z"),
        ("1d", "UTC", 21_600_000, "2026-11-21T05:00:00Z", "2026-11-20T06:00:00.000Z"),
        ("1d", "+02:00", 0, "2026-11-21T23:00:00Z", "2026-11-21T22:00:00.000Z"),
        ("month", "Europe/Berlin", 0, "2026-07-31T22:30:00Z", "2026-07-31T22:00:00.000Z"),
    ];

    #[test]
    fn times_fall_to_the_start_of_their_bucket() {
        for (interval, zone, offset, at, expected) in ROWS {
            let interval = Interval::calendar(interval).or_else(|| Interval::fixed(interval));
            let Some(zone) = parse_zone(zone) else {
                continue; // No time zone database on this machine.
            };
            let rounding = Rounding {
                interval: interval.unwrap(),
                zone,
                offset: *offset,
            };
            let at = parse_math(at, 0, false, &TimeZone::UTC).unwrap();
            let start = rounding.floor(at);
            assert_eq!(format_in(start, &TimeZone::UTC, "date_time"), *expected);
            assert_eq!(rounding.floor(start), start);
            let next = rounding.next(start);
            assert!(next > at && rounding.floor(next) == next);
            assert_eq!(rounding.floor(next - 1), start);
        }
    }
}
