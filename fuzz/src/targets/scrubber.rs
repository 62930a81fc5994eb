//! Log lines, in which no address may stay.

use std::net::{Ipv4Addr, Ipv6Addr};

use snowflake_broker::telemetry::scrub;

/// The longest IPv4 address in text.
const V4_MAX: usize = 15;

pub(super) fn scrubber(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let clean = scrub(&text);
    assert!(!holds_v4(&clean), "{clean}");
    // An address beside it goes, too.
    let global = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
    for address in [
        Ipv4Addr::new(203, 0, 113, 7).to_string(),
        global.to_string(),
    ] {
        let line = format!("{text} {address}");
        assert!(!scrub(&line).contains(&address), "{line}");
    }
}

/// Whether some part of the text is an IPv4 address.
fn holds_v4(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|start| {
        let ends = start + 7..=bytes.len().min(start + V4_MAX);
        let mut parts = ends.filter_map(|end| str::from_utf8(&bytes[start..end]).ok());
        bytes[start].is_ascii_digit() && parts.any(|part| part.parse::<Ipv4Addr>().is_ok())
    })
}
