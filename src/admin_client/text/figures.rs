//! The text form of figures.

use std::time::Duration;

use prost_types::Timestamp;

use crate::proto::admin::v1::Pool;

/// The sign for a missing figure.
const NONE: &str = "-";

/// A duration such as `2h 3m 20s`: days are rounded down to hours, hours to seconds, and
/// shorter ones to milliseconds.
pub(super) fn span(span: Option<prost_types::Duration>) -> String {
    let span = span.and_then(|span| Duration::try_from(span).ok());
    span.map_or_else(|| NONE.to_owned(), written)
}

/// A latency, in seconds.
pub(super) fn seconds(span: Option<prost_types::Duration>) -> String {
    let span = span.and_then(|span| Duration::try_from(span).ok());
    span.map_or_else(
        || NONE.to_owned(),
        |span| format!("{:.2} s", span.as_secs_f64()),
    )
}

/// A point in time, in UTC, to the second.
pub(super) fn time(time: Option<Timestamp>) -> String {
    let whole = time.map(|time| Timestamp { nanos: 0, ..time });
    whole.map_or_else(|| NONE.to_owned(), |time| time.to_string())
}

/// The time between two points in time; `None` if they are in reverse order.
pub(super) fn between(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<Duration> {
    let seconds = end?.seconds.checked_sub(start?.seconds)?;
    Some(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// A duration of our own type.
pub(super) fn written(span: Duration) -> String {
    let whole = match span.as_secs() {
        0..3_600 => Duration::new(span.as_secs(), span.subsec_millis() * 1_000_000),
        seconds @ 3_600..86_400 => Duration::from_secs(seconds),
        seconds => Duration::from_secs(seconds / 3_600 * 3_600),
    };
    humantime::format_duration(whole).to_string()
}

/// A share from 0 to 1, as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A rate, per second.
pub(super) fn rate(rate: f64) -> String {
    format!("{rate:.1}")
}

/// A pool's name.
pub(super) fn pool(pool: Pool) -> &'static str {
    match pool {
        Pool::Open => "open",
        Pool::Moderate => "moderate",
        Pool::Strict => "strict",
        Pool::Unspecified => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_they_are_short() {
        for (millis, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (90_500, "1m 30s 500ms"),
            (3_600_999, "1h"),
            (100_000_000, "1day 3h"),
        ] {
            assert_eq!(written(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn times_are_in_utc() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 5 });
        assert_eq!(time(at(1_790_812_800)), "2026-10-01T00:00:00Z");
        assert_eq!(time(None), "-");
        assert_eq!(between(at(1), at(61)), Some(Duration::from_mins(1)));
        assert_eq!(between(at(61), at(1)), None);
    }
}
