//! Complete and correct reading of the databases in Debian's package tor-geoipdb.

use std::net::{IpAddr, Ipv4Addr};

use snowflake_broker::geoip::{CountryCode, GeoIp};

use crate::support::unpacked;

#[test]
fn every_line_of_the_real_files_is_found_and_they_fit_in_15_mb() {
    let read = |name| std::fs::read(unpacked::file(name)).expect("a readable file");
    let (ipv4, ipv6) = (read("usr/share/tor/geoip"), read("usr/share/tor/geoip6"));
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(&ipv4).unwrap();
    geoip.load_ipv6(&ipv6).unwrap();
    let bytes = geoip.heap_size();
    println!("both databases take {bytes} bytes");
    assert!(bytes < 15_000_000, "{bytes} bytes");
    check_lines(&geoip, &ipv4);
    check_lines(&geoip, &ipv6);
    check_6to4(&geoip, &ipv6);
}

/// The 6to4 network (RFC 3056), which is a single line.
const SIX_TO_FOUR: &str = "2002::,2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff,";

/// Checks that the line exists but does not decide the country of 6to4 addresses.
fn check_6to4(geoip: &GeoIp, content: &[u8]) {
    let text = str::from_utf8(content).expect("text");
    assert!(text.lines().any(|line| line.starts_with(SIX_TO_FOUR)));
    let country = geoip.lookup(address("8.8.8.8"));
    assert_ne!(country, CountryCode::UNKNOWN);
    assert_eq!(geoip.lookup(address("2002:808:808::1")), country);
}

/// Looks up the first and last address of each line except 6to4's, parsed independently
/// of the code under test.
fn check_lines(geoip: &GeoIp, content: &[u8]) {
    let text = str::from_utf8(content).expect("text");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with(SIX_TO_FOUR))
        .collect();
    assert!(lines.len() > 100_000, "only {} lines", lines.len());
    for line in lines {
        let (addresses, code) = line.rsplit_once(',').expect("three fields");
        let (first, last) = addresses.split_once(',').expect("three fields");
        let country: CountryCode = code.parse().expect("a country");
        assert_eq!(geoip.lookup(address(first)), country, "{line}");
        assert_eq!(geoip.lookup(address(last)), country, "{line}");
    }
}

fn address(text: &str) -> IpAddr {
    match text.parse::<u32>() {
        Ok(number) => Ipv4Addr::from_bits(number).into(),
        Err(_) => text.parse().expect("an address"),
    }
}
