use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::mmdb::{Mmdb, Value};
use super::*;
use crate::geoip::InvalidMaxmind;

fn map(key: &'static str, value: Value) -> Value {
    Value::Map(vec![(key, value)])
}

fn in_country(code: &'static str) -> Value {
    map("country", map("iso_code", Value::Text(code)))
}

/// The bits of an IPv4 network at the top of a tree.
fn v4(text: &str) -> u128 {
    u128::from(text.parse::<Ipv4Addr>().unwrap().to_bits()) << 96
}

fn v6(text: &str) -> u128 {
    text.parse::<Ipv6Addr>().unwrap().to_bits()
}

fn ipv4_only(record: &Value) -> Vec<u8> {
    let mut mmdb = Mmdb::new(false);
    mmdb.insert(v4("1.2.0.0"), 16, record);
    mmdb.build()
}

fn country_of(record: &Value) -> Result<CountryCode, InvalidDatabase> {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(&ipv4_only(record))?;
    Ok(geoip.lookup(address("1.2.3.4")))
}

#[test]
fn a_database_of_both_families_serves_both() {
    let mut mmdb = Mmdb::new(true);
    mmdb.insert(v6("::1.2.0.0"), 96 + 16, &in_country("DE"));
    mmdb.insert(v6("::255.255.255.255"), 128, &in_country("FR"));
    mmdb.insert(v6("2001:db8::"), 32, &in_country("JP"));
    let content = mmdb.build();
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(&content).unwrap();
    geoip.load_ipv6(&content).unwrap();
    for (text, code) in [
        ("1.2.0.0", "DE"),
        ("1.2.255.255", "DE"),
        ("1.3.0.0", "??"),
        ("255.255.255.255", "FR"),
        ("255.255.255.254", "??"),
        ("2001:db8:ffff::", "JP"),
        ("2001:db9::", "??"),
        ("::ffff:1.2.3.4", "DE"),
    ] {
        assert_eq!(geoip.lookup(address(text)), country(code), "{text}");
    }
}

#[test]
fn the_country_is_found_under_the_keys_that_makers_use() {
    let registered = || ("registered_country", map("iso_code", Value::Text("SE")));
    let both = Value::Map(vec![
        ("country", map("iso_code", Value::Text("FI"))),
        registered(),
    ]);
    let other_maker = Value::Map(vec![
        ("country", Value::Text("Norway")),
        ("country_code", Value::Text("NO")),
    ]);
    assert_eq!(country_of(&both).unwrap(), country("FI"));
    assert_eq!(
        country_of(&Value::Map(vec![registered()])).unwrap(),
        country("SE")
    );
    assert_eq!(country_of(&other_maker).unwrap(), country("NO"));
    let code_alone = map("country_code", Value::Text("IR"));
    assert_eq!(country_of(&code_alone).unwrap(), country("IR"));
}

#[test]
fn a_database_that_cannot_serve_is_refused_and_says_why() {
    let names = map("isp", Value::Text("Example"));
    assert!(matches!(
        country_of(&names),
        Err(InvalidDatabase::Maxmind(InvalidMaxmind::Useless(
            "countries"
        )))
    ));
    let error = GeoIp::default().load_ipv6(&ipv4_only(&in_country("DE")));
    assert!(matches!(
        error,
        Err(InvalidDatabase::Maxmind(InvalidMaxmind::OtherFamily(
            "IPv6"
        )))
    ));
    let mut ipv6 = Mmdb::new(true);
    ipv6.insert(v6("2001:db8::"), 32, &in_country("DE"));
    let error = GeoIp::default().load_ipv4(&ipv6.build());
    assert!(matches!(
        error,
        Err(InvalidDatabase::Maxmind(InvalidMaxmind::OtherFamily(
            "IPv4"
        )))
    ));
    let mut cut = ipv4_only(&in_country("DE"));
    cut.drain(..40);
    assert!(matches!(
        GeoIp::default().load_ipv4(&cut),
        Err(InvalidDatabase::Maxmind(InvalidMaxmind::Format(_)))
    ));
}

#[derive(Clone, Copy, Debug)]
struct Network {
    bits: u32,
    prefix: u32,
    code: &'static str,
}

impl Network {
    fn holds(&self, bits: u32) -> bool {
        (bits ^ self.bits) >> (32 - self.prefix) == 0
    }
}

/// Networks that do not contain each other.
fn networks() -> impl Strategy<Value = Vec<Network>> {
    let code = prop::sample::select(vec!["DE", "FR", "US"]);
    // With few distinct leading bits, networks are often adjacent.
    let network = (0..16_u32, any::<u32>(), 2..=32_u32, code);
    prop::collection::vec(network, 1..30).prop_map(|candidates| {
        let mut kept: Vec<Network> = Vec::new();
        for (top, low, prefix, code) in candidates {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = (top << 28 | low & 0x0fff_ffff) & !host;
            let clash = |other: &Network| {
                let prefix = other.prefix.min(prefix);
                (other.bits ^ bits) >> (32 - prefix) == 0
            };
            if !kept.iter().any(clash) {
                kept.push(Network { bits, prefix, code });
            }
        }
        kept
    })
}

proptest! {
    #[test]
    fn every_address_has_the_country_of_its_network(
        networks in networks(),
        probes in prop::collection::vec(any::<u32>(), 20),
        ipv6_tree in any::<bool>(),
    ) {
        let mut mmdb = Mmdb::new(ipv6_tree);
        for Network { bits, prefix, code } in &networks {
            let (bits, offset) = if ipv6_tree { (u128::from(*bits), 96) } else { (u128::from(*bits) << 96, 0) };
            mmdb.insert(bits, prefix + offset, &in_country(code));
        }
        let mut geoip = GeoIp::default();
        geoip.load_ipv4(&mmdb.build()).unwrap();
        let edges = networks.iter().flat_map(|Network { bits, prefix, .. }| {
            let last = bits | u32::MAX.checked_shr(*prefix).unwrap_or(0);
            [*bits, last, bits.wrapping_sub(1), last.wrapping_add(1)]
        });
        for bits in edges.chain(probes) {
            let expected = networks
                .iter()
                .find(|network| network.holds(bits))
                .map_or(CountryCode::UNKNOWN, |network| country(network.code));
            prop_assert_eq!(geoip.lookup(Ipv4Addr::from_bits(bits).into()), expected);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut content = ipv4_only(&in_country("DE"));
        let at = at.index(content.len());
        content[at] = byte;
        let _ = GeoIp::default().load_ipv4(&content);
        let _ = GeoIp::default().load_ipv6(&content);
        content.drain(..cut.index(content.len()));
        let _ = GeoIp::default().load_ipv4(&content);
    }
}

#[test]
fn autonomous_systems_are_found_under_the_keys_that_makers_use() {
    let number = |number| map("autonomous_system_number", Value::Number(number));
    let text = |text| map("asn", Value::Text(text));
    for (record, expected) in [
        (number(64_496), Some(64_496)),
        (text("AS4200000000"), Some(4_200_000_000)),
        (text("64496"), Some(64_496)),
        (map("asn", Value::Number(7)), Some(7)),
    ] {
        let mut geoip = GeoIp::default();
        geoip.load_asns(&ipv4_only(&record)).unwrap();
        assert_eq!(geoip.asn(address("1.2.3.4")), expected);
        assert_eq!(geoip.asn(address("::ffff:1.2.3.4")), expected);
        assert_eq!(geoip.asn(address("1.3.0.0")), None);
        assert_eq!(geoip.asn(address("2001:db8::1")), None);
        assert!(geoip.has_asns() && !geoip.has_ipv4() && geoip.heap_size() > 0);
    }
}

#[test]
fn one_file_has_the_autonomous_systems_of_both_families() {
    let mut mmdb = Mmdb::new(true);
    let record = |number| map("autonomous_system_number", Value::Number(number));
    mmdb.insert(v6("::1.2.0.0"), 96 + 16, &record(1));
    mmdb.insert(v6("2001:db8::"), 32, &record(2));
    let mut geoip = GeoIp::default();
    geoip.load_asns(&mmdb.build()).unwrap();
    assert_eq!(geoip.asn(address("1.2.3.4")), Some(1));
    assert_eq!(geoip.asn(address("2001:db8::1")), Some(2));
    assert_eq!(geoip.asn(address("2002:102:304::")), Some(1));
}

#[test]
fn a_file_without_autonomous_systems_is_refused_and_changes_nothing() {
    let mut geoip = GeoIp::default();
    let systems = ipv4_only(&map("asn", Value::Text("AS1")));
    geoip.load_asns(&systems).unwrap();
    for (content, expected) in [
        (ipv4_only(&in_country("DE")), "has no autonomous systems"),
        (
            ipv4_only(&map("asn", Value::Text("none"))),
            "has no autonomous systems",
        ),
        (b"1,2,DE\n".to_vec(), "is not a sound MaxMind database"),
        (
            systems[..systems.len() - 1].to_vec(),
            "is not a sound MaxMind database",
        ),
    ] {
        let refused = geoip.load_asns(&content).unwrap_err();
        assert_eq!(refused.to_string(), expected);
        assert_eq!(geoip.asn(address("1.2.3.4")), Some(1));
    }
}
