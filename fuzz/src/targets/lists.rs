//! Files of operators: bridges, networks, countries.

use std::net::{Ipv4Addr, Ipv6Addr};

use snowflake_broker::bridges::BridgeList;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::policy::NetworkList;

use super::choice;

pub(super) fn lists(input: &[u8]) {
    let Some((which, file)) = choice(input, 5) else {
        return;
    };
    match which {
        0 => bridges(&String::from_utf8_lossy(file)),
        1 => networks(&String::from_utf8_lossy(file)),
        other => countries(other, file),
    }
}

/// The broker reads the lines that it writes.
fn bridges(file: &str) {
    if let Ok(list) = BridgeList::parse(file) {
        let lines = list.to_lines();
        let again = BridgeList::parse(&lines).expect("its own lines");
        assert_eq!(again.to_lines(), lines);
        assert_eq!(again.count(), list.count());
    }
}

fn networks(file: &str) {
    if let Ok(list) = NetworkList::parse(file) {
        for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
            // An address in the form of IPv6 is the same address.
            let mapped = ip.to_ipv6_mapped();
            assert_eq!(list.contains(ip.into()), list.contains(mapped.into()));
        }
    }
}

/// A database that is taken is asked about any address without a fault.
fn countries(which: u8, file: &[u8]) {
    let mut geoip = GeoIp::default();
    let loaded = match which {
        2 => geoip.load_ipv4(file),
        3 => geoip.load_ipv6(file),
        _ => geoip.load_asns(file),
    };
    if loaded.is_err() {
        return;
    }
    for ip in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
    ] {
        let _ = (geoip.lookup(ip.into()), geoip.asn(ip.into()));
    }
    for bits in [0, 1, 0x2001_0db8 << 96, u128::MAX] {
        let ip = Ipv6Addr::from_bits(bits);
        let _ = (geoip.lookup(ip.into()), geoip.asn(ip.into()));
    }
}
