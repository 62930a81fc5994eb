//! Points in time on the command line: with an offset, or in UTC, or a whole day.

use prost_types::Timestamp;

/// 10000-01-01T00:00:00Z: a year has four digits.
const TOO_LATE: i64 = 253_402_300_800;

/// The error for a text that is neither a time nor a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be like 2026-10-01T12:00:00Z, or 2026-10-01 12:00 in UTC, or 2026-10-01 for the whole day"
)]
pub(super) struct InvalidTime;

/// The beginning of the time or day in `text`.
pub(super) fn beginning(text: &str) -> Result<Timestamp, InvalidTime> {
    day(text).or_else(|| moment(text)).ok_or(InvalidTime)
}

/// The end of the time or day in `text`; a day ends with the beginning of the next one.
pub(super) fn end(text: &str) -> Result<Timestamp, InvalidTime> {
    const DAY: i64 = 24 * 60 * 60;
    let end = match day(text) {
        Some(day) => Some(Timestamp {
            seconds: day.seconds + DAY,
            ..day
        }),
        None => moment(text),
    };
    end.filter(|end| end.seconds < TOO_LATE).ok_or(InvalidTime)
}

fn day(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == "YYYY-MM-DD".len();
    is_day.then(|| text.parse().ok()).flatten()
}

/// A point in time, with or without seconds.
fn moment(text: &str) -> Option<Timestamp> {
    const TO_THE_MINUTE: usize = "YYYY-MM-DD HH:MM".len();
    let with_seconds = || {
        let (minute, offset) = text.split_at_checked(TO_THE_MINUTE)?;
        format!("{minute}:00{offset}").parse().ok()
    };
    text.parse().ok().or_else(with_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str) -> Result<[String; 2], InvalidTime> {
        Ok([beginning(text)?, end(text)?].map(|time| time.to_string()))
    }

    #[test]
    fn a_time_is_what_it_says_or_in_utc() {
        for (text, time) in [
            ("2026-10-01T12:00:00Z", "2026-10-01T12:00:00Z"),
            ("2026-10-01T12:00:00.5+02:00", "2026-10-01T10:00:00.500Z"),
            ("2026-10-01 12:00:00", "2026-10-01T12:00:00Z"),
            ("2026-10-01T12:00", "2026-10-01T12:00:00Z"),
            ("2026-10-01T12:00+02:00", "2026-10-01T10:00:00Z"),
        ] {
            assert_eq!(both(text), Ok([time, time].map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn a_day_is_all_of_it() {
        let day = ["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"];
        assert_eq!(both("2026-12-31"), Ok(day.map(str::to_owned)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-10",
            "12:00",
            "2026-10-01 x",
            "2026-10-01T12:00[Europe/Berlin]",
            "9999-12-31",
        ] {
            assert_eq!(both(text), Err(InvalidTime), "{text}");
        }
    }
}
