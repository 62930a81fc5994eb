//! All series that a broker can have.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use snowflake_broker::geoip::GeoIp;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyType, ProxyTypes};

/// The number of countries in ISO 3166-1.
const COUNTRIES: u32 = 250;

/// Counts a proxy and a client of each kind from every country.
pub(crate) fn all_series() -> Metrics {
    let metrics = Metrics::new(SystemTime::UNIX_EPOCH, WindowKey::from([1; 16]));
    metrics.know_countries(Arc::new(world()));
    for number in 0..COUNTRIES {
        for (index, proxy_type) in (0..).zip(ProxyType::DEFAULT) {
            for nat in NatType::ALL {
                let kind = index * 16 + nat as u32;
                let address = address(number, kind);
                metrics.proxy_seen(address, &proxy_poll(proxy_type, nat));
            }
        }
        for nat in NatType::ALL {
            for rendezvous in Rendezvous::ALL {
                let address = Some(address(number, 255));
                let begin = || metrics.begin_client_poll(rendezvous, address, nat);
                begin().matched(1, Duration::from_secs(1), Duration::from_secs(2));
                begin().denied();
                begin().timed_out();
            }
        }
    }
    metrics
}

/// A poll of a proxy of this type and NAT.
pub(crate) fn proxy_poll(proxy_type: ProxyType, nat: NatType) -> ProxyPoll {
    let poll = ProxyPoll::decode(br#"{"Sid":"a","Version":"1.3"}"#, &ProxyTypes::default())
        .expect("it is a poll");
    ProxyPoll {
        proxy_type,
        nat,
        ..poll
    }
}

/// An address in the country with this number.
fn address(country: u32, host: u32) -> IpAddr {
    Ipv4Addr::from_bits(country << 16 | host).into()
}

/// A database in which each country has its own network.
fn world() -> GeoIp {
    let letter = |index| char::from(b'A' + u8::try_from(index % 26).unwrap_or_default());
    let lines = (0..COUNTRIES).map(|country| {
        let (first, last) = (country << 16, country << 16 | 0xffff);
        let (one, other) = (letter(country / 26), letter(country));
        format!("{first},{last},{one}{other}\n")
    });
    let mut geoip = GeoIp::default();
    let loaded = geoip.load_ipv4(lines.collect::<String>().as_bytes());
    loaded.expect("it is a database");
    geoip
}
