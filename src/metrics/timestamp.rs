//! Times in files, in RFC 3339 format, for serde's `with`.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Converts `time` for formatting. A clock beyond the year 9999 or before -9999 is taken
/// for the last second that can be written.
pub(super) fn from_system_time(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
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
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Ok(timestamp.into()),
        Err(_) => Err(de::Error::custom("not a time as in RFC 3339")),
    }
}
