//! The caller's deadline: `grpc-timeout` of gRPC over HTTP/2.

use std::time::Duration;

use http::HeaderMap;

/// The maximum number of digits in the protocol.
const DIGITS_MAX: usize = 8;

/// The time that the caller allows; `None` if it is absent or invalid.
pub(super) fn time_left(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number || digits.len() > DIGITS_MAX {
        return None;
    }
    let count = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_hours(count),
        'M' => Duration::from_mins(count),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("1M", 60_000_000_000),
            ("2S", 2_000_000_000),
            ("4800m", 4_800_000_000),
            ("99999999u", 99_999_999_000),
            ("0n", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "m",
            "1",
            "1s",
            "-1m",
            "+1m",
            "123456789m",
            "1.5S",
            "1\u{e4}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
