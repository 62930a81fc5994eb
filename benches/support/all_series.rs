//! As many series as a broker can come to have.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use snowflake_broker::geoip::CountryCode;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType};

/// As many as ISO 3166-1 has.
const COUNTRIES: usize = 250;

/// Counts a proxy and a client of each kind from every country.
pub(crate) fn all_series() -> Metrics {
    let metrics = Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from([1; 16]));
    for (number, country) in (0..).zip(countries()) {
        for proxy_type in ProxyType::ALL {
            for nat in NatType::ALL {
                let kind = proxy_type as u32 * 16 + nat as u32;
                let address = Ipv4Addr::from_bits(number * 256 + kind).into();
                metrics.proxy_seen(address, country, &proxy_poll(proxy_type, nat));
            }
        }
        for nat in NatType::ALL {
            for rendezvous in Rendezvous::ALL {
                let begin = || metrics.begin_client_poll(rendezvous, country, nat);
                begin().matched(1, Duration::from_secs(1), Duration::from_secs(2));
                begin().denied();
                begin().timed_out();
            }
        }
    }
    metrics
}

/// A poll of such a proxy.
pub(crate) fn proxy_poll(proxy_type: ProxyType, nat: NatType) -> ProxyPoll {
    let poll = ProxyPoll::decode(br#"{"Sid":"a","Version":"1.3"}"#).expect("it is a poll");
    ProxyPoll {
        proxy_type,
        nat,
        ..poll
    }
}

fn countries() -> impl Iterator<Item = CountryCode> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(move |first| letters().map(move |second| [first, second]));
    codes
        .flat_map(|code| CountryCode::from_bytes(&code))
        .take(COUNTRIES)
}
