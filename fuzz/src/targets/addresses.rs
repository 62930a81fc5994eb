//! Headers in which a reverse proxy names a client's address.

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use snowflake_broker::http::client_address::{ClientAddress, client_address};
use snowflake_broker::http::{ForwardedBy, Settings};

use super::choice;

const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
const OUR_PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

pub(super) fn addresses(input: &[u8]) {
    let Some((which, text)) = choice(input, 12) else {
        return;
    };
    let by_cloudflare = HeaderName::from_static("cf-connecting-ip");
    let (forwarded_by, header) = match which % 3 {
        0 => (
            ForwardedBy::XForwardedFor,
            HeaderName::from_static("x-forwarded-for"),
        ),
        1 => (ForwardedBy::Forwarded, FORWARDED),
        _ => (ForwardedBy::Header(by_cloudflare.clone()), by_cloudflare),
    };
    let mut headers = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&header, value);
        }
    }
    let trusted = if which < 6 { "10.0.0.0/8" } else { "" };
    let settings = Settings {
        forwarded_by,
        trusted_hops: usize::from(which / 3 % 2) + 1,
        trusted_proxies: trusted.parse().into_iter().collect(),
        ..Settings::default()
    };
    check(&headers, &settings);
}

/// Nobody but our own reverse proxy makes the broker believe another address.
fn check(headers: &HeaderMap, settings: &Settings) {
    let said = client_address(STRANGER, headers, settings);
    let trusts = !settings.trusted_proxies.is_empty();
    match said {
        ClientAddress::Direct(ip) | ClientAddress::Itself(ip) => assert_eq!(ip, STRANGER),
        ClientAddress::Claimed { peer, claimed } => {
            assert!(!trusts && peer == STRANGER && claimed != peer);
        }
        ClientAddress::Forwarded(_) | ClientAddress::Hidden(_) => panic!("a stranger is believed"),
    }
    match client_address(OUR_PROXY, headers, settings) {
        ClientAddress::Forwarded(ip) => assert!(trusts && ip != OUR_PROXY),
        ClientAddress::Hidden(ip) => assert!(trusts && ip == OUR_PROXY),
        other => assert!(!trusts, "our reverse proxy is {other:?}"),
    }
}
