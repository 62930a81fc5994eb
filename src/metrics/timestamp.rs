//! Times in files, in RFC 3339 format, for serde's `with`.

use std::time::SystemTime;

use prost_types::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// 9999-12-31T23:59:59Z, in seconds since 1970: a later year has more digits.
const LAST: i64 = 253_402_300_799;
/// 0000-01-01T00:00:00Z.
const FIRST: i64 = -62_167_219_200;

/// Converts `time` for formatting. A clock beyond the year 9999 or before the year 0 is
/// taken for the last second that can be written.
fn from_system_time(time: SystemTime) -> Timestamp {
    let time = Timestamp::from(time);
    if (FIRST..=LAST).contains(&time.seconds) {
        time
    } else {
        let (seconds, nanos) = (LAST, 0);
        Timestamp { seconds, nanos }
    }
}

/// `time` in UTC to the second, in the format of the metrics log: `2026-10-01 12:00:00`.
pub(super) fn date_and_time(time: SystemTime) -> String {
    text(time).trim_end_matches('Z').replace('T', " ")
}

/// `time` in RFC 3339 format, to the second.
pub(super) fn text(time: SystemTime) -> String {
    let whole = Timestamp {
        nanos: 0,
        ..from_system_time(time)
    };
    whole.to_string()
}

pub(super) fn serialize<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&from_system_time(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = text.parse::<Timestamp>().ok();
    time.and_then(|time| SystemTime::try_from(time).ok())
        .ok_or_else(|| de::Error::custom("not a time as in RFC 3339"))
}
