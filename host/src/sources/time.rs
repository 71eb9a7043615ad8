//! The time of a record, as text in a cell or a field.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use wstream_record::Timestamp;

/// Reads RFC 3339, a date with or without a time (UTC), or milliseconds since 1970.
///
/// # Errors
/// It is none of these, or outside the range that a record's time has.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let instant = || text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp())
    };
    let millis = match text.parse::<i64>() {
        Ok(millis) => Some(millis),
        Err(_) => instant()
            .or_else(civil)
            .map(jiff::Timestamp::as_millisecond),
    };
    match millis {
        Some(millis) if millis < 0 => Err(format!("{text:?} is before 1970")),
        Some(millis) if !Timestamp(millis).is_valid() => {
            Err(format!("{text:?} is after the year 9999"))
        }
        Some(millis) => Ok(Timestamp(millis)),
        None => Err(format!(
            "{text:?} is not a time: RFC 3339, 2026-11-21 08:30:00, 2026-11-21 or milliseconds"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        // The milliseconds come from GNU date.
        let rows = [
            ("2026-11-21T08:30:00Z", Ok(1_795_249_800_000)),
            ("2026-11-21T10:30:00.250+02:00", Ok(1_795_249_800_250)),
            ("2026-11-21 08:30:00", Ok(1_795_249_800_000)),
            ("2026-11-21T08:30", Ok(1_795_249_800_000)),
            (" 2026-11-21 ", Ok(1_795_219_200_000)),
            ("1795249800000", Ok(1_795_249_800_000)),
            ("0", Ok(0)),
            ("1969-12-31", Err("before 1970")),
            ("-2", Err("before 1970")),
            ("253402300799999", Ok(253_402_300_799_999)),
            ("253402300800000", Err("after the year 9999")),
            ("9223372036854775807", Err("after the year 9999")),
            ("21.11.2026", Err("not a time")),
            ("", Err("not a time")),
        ];
        for (text, want) in rows {
            match (parse(text), want) {
                (Ok(time), want) => assert_eq!(Ok(time.0), want, "{text}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
                (Err(message), Ok(_)) => panic!("{text}: {message}"),
            }
        }
    }
}
