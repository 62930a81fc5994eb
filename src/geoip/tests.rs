mod maxmind;
mod mmdb;
mod tor_text;

use std::net::IpAddr;

use super::*;

fn country(code: &str) -> CountryCode {
    code.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn nothing_is_known_at_first() {
    let geoip = GeoIp::default();
    assert_eq!(geoip.lookup(address("1.1.1.1")), CountryCode::UNKNOWN);
    assert_eq!(geoip.lookup(address("2001:db8::1")), CountryCode::UNKNOWN);
    assert_eq!(geoip.heap_size(), 0);
}

#[test]
fn a_mapped_address_is_looked_up_as_ipv4() {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(b"16843008,16843263,AU\n").unwrap();
    geoip.load_ipv6(b"::,ffff::,XX\n").unwrap();
    assert_eq!(geoip.lookup(address("::ffff:1.1.1.1")), country("AU"));
    assert_eq!(
        geoip.lookup(address("::ffff:1.1.2.1")),
        CountryCode::UNKNOWN
    );
    assert_eq!(geoip.lookup(address("::1.1.1.1")), country("XX"));
}

#[test]
fn an_address_of_6to4_is_looked_up_as_the_ipv4_address_in_it() {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(b"16843008,16843263,AU\n").unwrap();
    geoip
        .load_ipv6(b"2002::,2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff,JP\n")
        .unwrap();
    assert_eq!(geoip.lookup(address("2002:101:101::1")), country("AU"));
    let elsewhere = address("2002:202:202::1");
    assert_eq!(geoip.lookup(elsewhere), CountryCode::UNKNOWN);
}

#[test]
fn a_file_that_is_refused_changes_nothing() {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(b"16843008,16843263,AU\n").unwrap();
    geoip.load_ipv6(b"2001::,2001::ff,JP\n").unwrap();
    let before = geoip.clone();
    for bad in ["", "# only a comment\n", "1,2,DE\n3,4\n"] {
        geoip.load_ipv4(bad.as_bytes()).unwrap_err();
        geoip.load_ipv6(bad.as_bytes()).unwrap_err();
        assert_eq!(geoip, before);
    }
}
