//! Points in time as people write them, and as they read them.

use wstream_record::{Clock, Timestamp};

use crate::units::Period;

/// `2026-11-21T10:00:00Z`, milliseconds since 1970, or `10m`: that long ago.
pub(super) fn point(text: &str) -> Result<Timestamp, String> {
    point_at(text, Clock::system().now())
}

fn point_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(Timestamp(millis));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(time.as_millisecond()));
    }
    let ago: Period = text.parse().map_err(|_| {
        "write a time such as 2026-11-21T10:00:00Z, milliseconds since 1970, or how long ago, such as 10m".to_owned()
    })?;
    let millis = i64::try_from(ago.0.as_millis()).unwrap_or(i64::MAX);
    Ok(Timestamp(now.0.saturating_sub(millis).max(0)))
}

/// RFC 3339 in UTC with milliseconds, or the number where that cannot be.
pub(super) fn shown(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(at) if time != Timestamp::NONE => format!("{at:.3}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_absolute_or_ago() {
        let now = Timestamp(1_000_000_000_000);
        let rows = [
            ("1700000000000", Ok(1_700_000_000_000)),
            ("2026-11-21T10:00:00Z", Ok(1_795_255_200_000)),
            ("2026-11-21T12:00:00+02:00", Ok(1_795_255_200_000)),
            ("10m", Ok(1_000_000_000_000 - 600_000)),
            ("yesterday", Err(())),
        ];
        for (text, wanted) in rows {
            assert_eq!(
                point_at(text, now).map(|t| t.0).map_err(drop),
                wanted,
                "{text}"
            );
        }
        assert_eq!(
            shown(Timestamp(1_795_255_200_042)),
            "2026-11-21T10:00:00.042Z"
        );
        assert_eq!(shown(Timestamp::NONE), "-");
    }
}
