//! Dates as text and as numbers: RFC 3339 in documents, Elasticsearch's date formats and date math
//! in requests, Java-style patterns in answers.
//!
//! Every function works on milliseconds or nanoseconds since 1970 in UTC; time zones are handled
//! by the caller with `jiff`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The system's database of time zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// Bytes of the rules of one zone; the largest have a few thousand.
const ZONE_BYTES_MAX: u64 = 64 << 10;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Shortest and longest text that can be a time of day of a date.
const RFC3339_BYTES: std::ops::RangeInclusive<usize> = 19..=35;

/// Two digits at `at`.
fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (a, b) = (*bytes.get(at)?, *bytes.get(at + 1)?);
    (a.is_ascii_digit() && b.is_ascii_digit())
        .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Nanoseconds since 1970 of `2026-11-21T10:00:00[.fraction][Z|+01:00]`; without a zone it is UTC.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !RFC3339_BYTES.contains(&bytes.len())
        || bytes[4] != b'-'
        || bytes[7] != b'-'
        || !matches!(bytes[10], b'T' | b't')
        || bytes[13] != b':'
        || bytes[16] != b':'
    {
        return None;
    }
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    let (month, day) = (two(bytes, 5)?, two(bytes, 8)?);
    let (hour, minute, second) = (two(bytes, 11)?, two(bytes, 14)?, two(bytes, 17)?);
    let date = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, at) = fraction(bytes, 19)?;
    let zone = zone_seconds(&bytes[at..])?;
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second
            - zone;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

/// Nanoseconds of a fraction at `at`, and the index behind it.
fn fraction(bytes: &[u8], mut at: usize) -> Option<(i64, usize)> {
    if !matches!(bytes.get(at), Some(b'.' | b',')) {
        return Some((0, at));
    }
    at += 1;
    let (mut nanos, mut unit, start) = (0, NANOS_PER_SECOND / 10, at);
    while let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
        nanos += i64::from(digit - b'0') * unit;
        unit /= 10;
        at += 1;
    }
    (at > start).then_some((nanos, at))
}

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let sign = match zone {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let minutes = match zone.len() {
        3 => 0,
        5 => two(zone, 3)?,
        6 if zone[3] == b':' => two(zone, 4)?,
        _ => return None,
    };
    let hours = two(zone, 1)?;
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Nanoseconds since 1970 of a string of a document that is a day or a time.
pub(crate) fn parse_document_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    match bytes.len() {
        10 if bytes[4] == b'-' && bytes[7] == b'-' => timestamp_nanos(text),
        19.. => parse_rfc3339(text),
        _ => None,
    }
}

/// Nanoseconds since 1970 of a date or time as `strict_date_optional_time` takes it.
pub(crate) fn timestamp_nanos(text: &str) -> Option<i64> {
    parse_rfc3339(text).or_else(|| {
        let (millis, _) = parse_partial(text)?;
        millis.checked_mul(NANOS_PER_MILLI)
    })
}

/// A date that may stop at any part: its first and last millisecond.
fn parse_partial(text: &str) -> Option<(i64, i64)> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let mut parts = date.split('-');
    let digits = |part: &str, len: usize| {
        let plain = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<i64>().ok()).flatten()
    };
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|p| digits(p, 2));
    let day = parts.next().map(|p| digits(p, 2));
    if parts.next().is_some() || (day.is_none() && !time.is_empty()) {
        return None;
    }
    let (m, d) = (month.unwrap_or(Some(1))?, day.unwrap_or(Some(1))?);
    if !(1..=12).contains(&m) || !(1..=days_in_month(year, m)).contains(&d) {
        return None;
    }
    let start = days_from_civil(year, m, d) * SECONDS_PER_DAY;
    if time.is_empty() {
        let days = match (month, day) {
            (None, _) => days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1),
            (_, None) => days_in_month(year, m),
            _ => 1,
        };
        return Some((start * 1000, (start + days * SECONDS_PER_DAY) * 1000 - 1));
    }
    let (offset, length) = parse_clock(time)?;
    let first = start * 1000 + offset;
    Some((first, first + length - 1))
}

/// Milliseconds into the day of `10[:00[:00[.5]]][zone]`, and how long the given part lasts.
fn parse_clock(time: &str) -> Option<(i64, i64)> {
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let zone = zone_seconds(&time.as_bytes()[zone_at..])?;
    let bytes = &time.as_bytes()[..zone_at];
    let hour = two(bytes, 0)?;
    let (mut millis, mut length) = (hour * 3_600_000, 3_600_000);
    if bytes.len() > 2 {
        let minute = (bytes[2] == b':').then(|| two(bytes, 3)).flatten()?;
        if minute > 59 {
            return None;
        }
        (millis, length) = (millis + minute * 60_000, 60_000);
    }
    if bytes.len() > 5 {
        let second = (bytes[5] == b':').then(|| two(bytes, 6)).flatten()?;
        if second > 59 {
            return None;
        }
        let (nanos, at) = fraction(bytes, 8)?;
        if at != bytes.len() {
            return None;
        }
        let exact = bytes.len() > 8;
        millis += second * 1000 + nanos / NANOS_PER_MILLI;
        length = if exact { 1 } else { 1000 };
    }
    (hour <= 23).then_some((millis - zone * 1000, length))
}

/// A date in a request, in milliseconds: a date, `now`, epoch milliseconds, with date math
/// (`now-1d/d`, `2026-01-02||+1M`). `up` asks for the last millisecond of what is left open.
pub(crate) fn parse_math(text: &str, now: i64, up: bool, zone: &TimeZone) -> Option<i64> {
    if let Some(math) = text.strip_prefix("now") {
        return apply_math(now, math, up, zone);
    }
    let (date, math) = text.split_once("||").unwrap_or((text, ""));
    let (first, last) = match date.parse::<i64>() {
        Ok(number) if date.len() > 4 || date.starts_with('-') => (number, number),
        _ => {
            let (first, last) = parse_partial(date)?;
            if date.contains(['Z', '+']) || zone == &TimeZone::UTC {
                (first, last)
            } else {
                (shift(first, zone)?, shift(last, zone)?)
            }
        }
    };
    if math.is_empty() {
        return Some(if up { last } else { first });
    }
    apply_math(first, math, up, zone)
}

/// The instant at which clocks in `zone` show what `millis` shows in UTC.
fn shift(millis: i64, zone: &TimeZone) -> Option<i64> {
    let civil = Timestamp::from_millisecond(millis)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    Some(
        civil
            .to_zoned(zone.clone())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

fn apply_math(start: i64, math: &str, up: bool, zone: &TimeZone) -> Option<i64> {
    let mut at = Timestamp::from_millisecond(start)
        .ok()?
        .to_zoned(zone.clone());
    let mut rest = math;
    while let Some(op) = rest.chars().next() {
        rest = &rest[op.len_utf8()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = if digits == 0 {
            1
        } else {
            rest[..digits].parse().ok()?
        };
        rest = &rest[digits..];
        let unit = rest.chars().next()?;
        rest = &rest[unit.len_utf8()..];
        let span = |n: i64| {
            Some(match unit {
                'y' => n.years(),
                'M' => n.months(),
                'w' => n.weeks(),
                'd' => n.days(),
                'h' | 'H' => n.hours(),
                'm' => n.minutes(),
                's' => n.seconds(),
                _ => return None,
            })
        };
        match op {
            '+' => at = at.checked_add(span(count)?).ok()?,
            '-' => at = at.checked_sub(span(count)?).ok()?,
            '/' if digits == 0 => {
                at = floor_civil(at.datetime(), unit)?
                    .to_zoned(zone.clone())
                    .ok()?;
                if up {
                    at = at
                        .checked_add(span(1)?)
                        .ok()?
                        .checked_sub(1.millisecond())
                        .ok()?;
                }
            }
            _ => return None,
        }
    }
    Some(at.timestamp().as_millisecond())
}

/// The start of the year, month, ... that `at` lies in.
pub(crate) fn floor_civil(at: DateTime, unit: char) -> Option<DateTime> {
    let day = at.date().at(0, 0, 0, 0);
    Some(match unit {
        'y' => day.date().first_of_year().at(0, 0, 0, 0),
        'q' => {
            let month = (day.month() - 1) / 3 * 3 + 1;
            jiff::civil::date(day.year(), month, 1).at(0, 0, 0, 0)
        }
        'M' => day.date().first_of_month().at(0, 0, 0, 0),
        'w' => {
            let back = i64::from(day.date().weekday().to_monday_zero_offset());
            day.checked_sub(back.days()).ok()?
        }
        'd' => day,
        'h' | 'H' => day.date().at(at.hour(), 0, 0, 0),
        'm' => day.date().at(at.hour(), at.minute(), 0, 0),
        's' => day.date().at(at.hour(), at.minute(), at.second(), 0),
        _ => return None,
    })
}

/// `2026-01-01T00:00:00.000Z`, the form Elasticsearch prints dates in.
pub(crate) fn format_millis(millis: i64) -> String {
    format_in(millis, &TimeZone::UTC, "strict_date_optional_time")
}

/// `millis` in a zone, by a named format of Elasticsearch or a Java pattern.
pub(crate) fn format_in(millis: i64, zone: &TimeZone, format: &str) -> String {
    let format = format.split("||").next().unwrap_or(format);
    if format == "epoch_millis" {
        return millis.to_string();
    }
    if format == "epoch_second" {
        return millis.div_euclid(1000).to_string();
    }
    let Ok(at) = Timestamp::from_millisecond(millis) else {
        return millis.to_string();
    };
    let at = at.to_zoned(zone.clone());
    let pattern = match format {
        "strict_date_optional_time"
        | "strict_date_optional_time_nanos"
        | "date_optional_time"
        | "strict_date_time"
        | "date_time" => "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "date" | "strict_date" | "year_month_day" | "strict_year_month_day" => "yyyy-MM-dd",
        "date_hour_minute_second" => "yyyy-MM-dd'T'HH:mm:ss",
        "basic_date" => "yyyyMMdd",
        "hour_minute" => "HH:mm",
        "hour_minute_second" => "HH:mm:ss",
        "year" | "strict_year" => "yyyy",
        "year_month" | "strict_year_month" => "yyyy-MM",
        other => other,
    };
    java_pattern(&at, pattern)
}

fn java_pattern(at: &jiff::Zoned, pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            let end = rest[1..].find('\'').map_or(rest.len(), |n| n + 2);
            let quoted = rest[1..end].trim_end_matches('\'');
            out.push_str(if quoted.is_empty() { "'" } else { quoted });
            rest = &rest[end..];
            continue;
        }
        let run = rest.chars().take_while(|other| *other == c).count();
        let len = run * c.len_utf8();
        let mut number = |n: i64| out.push_str(&format!("{n:0run$}"));
        match c {
            'y' | 'u' if run == 2 => number(i64::from(at.year()).rem_euclid(100)),
            'y' | 'u' => number(i64::from(at.year())),
            'M' | 'L' if run >= 3 => {
                out.push_str(&at.strftime(if run == 3 { "%b" } else { "%B" }).to_string());
            }
            'M' | 'L' => number(i64::from(at.month())),
            'd' => number(i64::from(at.day())),
            'D' => number(i64::from(at.day_of_year())),
            'H' => number(i64::from(at.hour())),
            'h' => number((i64::from(at.hour()) + 11) % 12 + 1),
            'm' => number(i64::from(at.minute())),
            's' => number(i64::from(at.second())),
            'S' => {
                let nanos = format!("{:09}", at.subsec_nanosecond());
                out.push_str(&nanos[..run.min(9)]);
            }
            'E' => out.push_str(&at.strftime(if run <= 3 { "%a" } else { "%A" }).to_string()),
            'a' => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
            'X' | 'x' | 'Z' | 'z' => out.push_str(&zone_text(at, c)),
            other => out.extend(std::iter::repeat_n(other, run)),
        }
        rest = &rest[len..];
    }
    out
}

fn zone_text(at: &jiff::Zoned, letter: char) -> String {
    let seconds = at.offset().seconds();
    if seconds == 0 && letter == 'X' {
        return "Z".to_owned();
    }
    let (sign, seconds) = if seconds < 0 {
        ('-', -seconds)
    } else {
        ('+', seconds)
    };
    format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)
}

/// A time zone by name or as `+01:00`.
pub(crate) fn parse_zone(text: &str) -> Option<TimeZone> {
    if matches!(text, "Z" | "UTC" | "utc" | "GMT") {
        return Some(TimeZone::UTC);
    }
    if text.starts_with(['+', '-']) {
        let seconds = i32::try_from(zone_seconds(text.as_bytes())?).ok()?;
        return Some(jiff::tz::Offset::from_seconds(seconds).ok()?.to_time_zone());
    }
    named_zone(text)
}

/// A time zone of the system's database, which is looked up each time: its rules change.
fn named_zone(name: &str) -> Option<TimeZone> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/');
    if name.is_empty() || name.starts_with('/') || !name.chars().all(plain) {
        return None;
    }
    let mut rules = Vec::new();
    let file = File::open(Path::new(ZONES).join(name)).ok()?;
    file.take(ZONE_BYTES_MAX).read_to_end(&mut rules).ok()?;
    TimeZone::tzif(name, &rules).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_documents() {
        let rows = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T10:00:00Z", Some(1_795_255_200_000_000_000)),
            (
                "2026-11-21T11:00:00.5+01:00",
                Some(1_795_255_200_500_000_000),
            ),
            ("2026-11-21T10:00:00", Some(1_795_255_200_000_000_000)),
            (
                "2024-02-29T00:00:00.000000001Z",
                Some(1_709_164_800_000_000_001),
            ),
            ("2023-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-21 10:00:00", None),
            ("2026-11-21T24:00:00Z", None),
            ("2026-11-21T10:00:00.Z", None),
            ("9999-01-01T00:00:00Z", None),
            ("not a date at all, no", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse_rfc3339(text), nanos, "{text}");
        }
    }

    #[test]
    fn dates_in_requests_round_and_calculate() {
        let now = 1_795_255_200_123; // 2026-11-21T10:00:00.123Z
        let rows = [
            ("now", false, Some(now)),
            ("now/d", false, Some(1_795_219_200_000)),
            ("now/d", true, Some(1_795_305_599_999)),
            ("now-1h", false, Some(now - 3_600_000)),
            ("now-1M/M", false, Some(1_790_812_800_000)),
            ("2026-01-02||+1d/d", false, Some(1_767_398_400_000)),
            ("2026-01-02", false, Some(1_767_312_000_000)),
            ("2026-01-02", true, Some(1_767_398_399_999)),
            ("2026", true, Some(1_798_761_599_999)),
            ("1767312000000", true, Some(1_767_312_000_000)),
            ("not a date", false, None),
            ("now-", false, None),
            ("now/x", false, None),
        ];
        for (text, up, expected) in rows {
            assert_eq!(
                parse_math(text, now, up, &TimeZone::UTC),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn formats() {
        let rows = [
            ("strict_date_optional_time", "2026-11-21T10:00:00.123Z"),
            ("epoch_millis", "1795255200123"),
            ("epoch_second", "1795255200"),
            ("yyyy-MM-dd HH:mm", "2026-11-21 10:00"),
            ("yyyy-MM-dd||epoch_millis", "2026-11-21"),
            ("dd/MM/yy 'at' hh a", "21/11/26 at 10 AM"),
            ("yyyy", "2026"),
        ];
        for (format, expected) in rows {
            assert_eq!(
                format_in(1_795_255_200_123, &TimeZone::UTC, format),
                expected
            );
        }
        let zone = parse_zone("+05:30").unwrap();
        assert_eq!(
            format_in(1_795_255_200_123, &zone, "strict_date_optional_time"),
            "2026-11-21T15:30:00.123+05:30"
        );
    }
}
