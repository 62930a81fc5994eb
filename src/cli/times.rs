//! Points in time on the command line: with an offset, or in UTC, or a whole day.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The error for a text that is neither a time nor a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be like 2026-10-01T12:00:00Z, or 2026-10-01 12:00 in UTC, or 2026-10-01 for the whole day"
)]
pub(super) struct InvalidTime;

/// The beginning of the time or day in `text`.
pub(super) fn beginning(text: &str) -> Result<Timestamp, InvalidTime> {
    match day(text) {
        Some(day) => in_utc(day.into()),
        None => moment(text),
    }
}

/// The end of the time or day in `text`; a day ends with the beginning of the next one.
pub(super) fn end(text: &str) -> Result<Timestamp, InvalidTime> {
    match day(text) {
        Some(day) => in_utc(day.tomorrow().map_err(|_| InvalidTime)?.into()),
        None => moment(text),
    }
}

fn day(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text).ok()
}

fn moment(text: &str) -> Result<Timestamp, InvalidTime> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    // jiff would ignore the name of a time zone and treat the time before it as UTC.
    if text.contains('[') {
        return Err(InvalidTime);
    }
    in_utc(text.parse().map_err(|_| InvalidTime)?)
}

fn in_utc(time: DateTime) -> Result<Timestamp, InvalidTime> {
    let time = TimeZone::UTC.to_timestamp(time);
    time.map_err(|_| InvalidTime)
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
            ("2026-10-01T12:00:00.5+02:00", "2026-10-01T10:00:00.5Z"),
            ("2026-10-01 12:00:00", "2026-10-01T12:00:00Z"),
            ("2026-10-01T12:00", "2026-10-01T12:00:00Z"),
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
