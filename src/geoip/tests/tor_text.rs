use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::geoip::{InvalidLine, LineFault};

fn ipv4(content: &str) -> Result<GeoIp, InvalidDatabase> {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(content.as_bytes()).map(|()| geoip)
}

fn fault(content: &str) -> (usize, LineFault) {
    match ipv4(content) {
        Err(InvalidDatabase::Line(InvalidLine { number, fault })) => (number, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn comments_empty_lines_and_line_ends_of_windows_are_fine() {
    let geoip = ipv4("# a comment\r\n\r\n1,2,de\r\n  \n#3,4,FR\n5,6,AT").unwrap();
    for (number, code) in [
        (0, "??"),
        (1, "DE"),
        (2, "DE"),
        (3, "??"),
        (6, "AT"),
        (7, "??"),
    ] {
        let address = Ipv4Addr::from_bits(number).into();
        assert_eq!(geoip.lookup(address), country(code), "{number}");
    }
}

#[test]
fn the_first_and_the_last_address_have_countries_too() {
    let geoip = ipv4("0,9,DE\n4294967290,4294967295,FR\n").unwrap();
    assert_eq!(geoip.lookup(address("0.0.0.0")), country("DE"));
    assert_eq!(geoip.lookup(address("255.255.255.255")), country("FR"));
    assert_eq!(geoip.lookup(address("255.255.255.249")), country("??"));
}

#[test]
fn adjacent_ranges_of_a_country_are_kept_as_one() {
    let apart = ipv4("0,9,DE\n20,29,DE\n").unwrap();
    let together = ipv4("0,9,DE\n10,29,DE\n").unwrap();
    assert!(together.heap_size() < apart.heap_size());
}

#[test]
fn a_bad_line_is_named_with_its_fault() {
    let decimal = "an IPv4 address as a decimal integer";
    for (line, expected) in [
        ("3,4", LineFault::Form),
        ("3,4,DE,", LineFault::Form),
        ("garbage", LineFault::Form),
        ("1.2.3.4,4,DE", LineFault::First(decimal)),
        (",4,DE", LineFault::First(decimal)),
        ("+3,4,DE", LineFault::First(decimal)),
        ("3,4294967296,DE", LineFault::Last(decimal)),
        ("3, 4,DE", LineFault::Last(decimal)),
        ("4,3,DE", LineFault::Backwards),
        ("3,4,DEU", LineFault::Country),
        ("3,4,", LineFault::Country),
        ("3,\u{e9},DE", LineFault::Last(decimal)),
    ] {
        assert_eq!(fault(&format!("#\n1,2,DE\n{line}\n")), (3, expected));
    }
}

#[test]
fn an_error_does_not_repeat_the_line() {
    let error = ipv4("1,2,DE\n1.2.3.4,5,DE\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: first must be an IPv4 address as a decimal integer"
    );
}

#[test]
fn ranges_that_overlap_are_refused_unless_they_agree() {
    assert_eq!(fault("5,9,DE\n1,5,FR\n"), (2, LineFault::Overlap(1)));
    assert_eq!(fault("1,5,FR\n\n5,9,DE\n"), (3, LineFault::Overlap(1)));
    assert_eq!(
        fault("1,100,FR\n2,3,FR\n50,60,DE\n"),
        (3, LineFault::Overlap(1))
    );
    let geoip = ipv4("1,100,FR\n5,9,FR\n1,100,FR\n90,110,FR\n").unwrap();
    assert_eq!(geoip.lookup(address("0.0.0.110")), country("FR"));
    assert_eq!(geoip.lookup(address("0.0.0.111")), country("??"));
}

/// Ordered ranges without overlap, some adjacent and some apart.
fn disjoint_ranges() -> impl Strategy<Value = Vec<(u32, u32, &'static str)>> {
    let code = prop::sample::select(vec!["DE", "FR", "??"]);
    let piece = (prop_oneof![Just(0), 1..5_u32], 1..5_u32, code);
    prop::collection::vec(piece, 1..200).prop_map(|pieces| {
        let mut next = 0;
        let place = |(gap, length, code): (u32, u32, &'static str)| {
            let first = next + gap;
            next = first + length;
            (first, next - 1, code)
        };
        pieces.into_iter().map(place).collect()
    })
}

/// The first IPv6 address with these bits at this position.
fn first_ipv6(bits: u32, shift: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(bits) << shift)
}

fn last_ipv6(bits: u32, shift: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits((u128::from(bits) << shift) + ((1 << shift) - 1))
}

fn naive(ranges: &[(u32, u32, &str)], number: u32) -> CountryCode {
    let holds = |range: &&(u32, u32, &str)| (range.0..=range.1).contains(&number);
    ranges
        .iter()
        .find(holds)
        .map_or(CountryCode::UNKNOWN, |range| country(range.2))
}

proptest! {
    #[test]
    fn every_address_is_found_in_whatever_order_the_lines_are(
        (ranges, shuffled) in disjoint_ranges()
            .prop_flat_map(|ranges| (Just(ranges.clone()), Just(ranges).prop_shuffle())),
        top in any::<bool>(),
        // At the top of an address, or across the middle of its bits.
        shift in prop::sample::select(vec![96, 62]),
    ) {
        // At the beginning of the address space, or up to its last address.
        let end = ranges.last().map_or(0, |range| range.1);
        let base = if top { u32::MAX - end } else { 0 };
        let (mut text4, mut text6) = (String::new(), String::new());
        for (first, last, code) in shuffled {
            let (first, last) = (first + base, last + base);
            writeln!(text4, "{first},{last},{code}").unwrap();
            writeln!(text6, "{},{},{code}", first_ipv6(first, shift), last_ipv6(last, shift)).unwrap();
        }
        let mut geoip = ipv4(&text4).unwrap();
        geoip.load_ipv6(text6.as_bytes()).unwrap();
        for number in 0..=end {
            let expected = naive(&ranges, number);
            let bits = number + base;
            prop_assert_eq!(geoip.lookup(Ipv4Addr::from_bits(bits).into()), expected);
            prop_assert_eq!(geoip.lookup(first_ipv6(bits, shift).into()), expected);
            prop_assert_eq!(geoip.lookup(last_ipv6(bits, shift).into()), expected);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "([0-9:,#A-Z?\n]|[0-9]{1,2},[0-9]{1,2},DE\n){0,60}") {
        let mut geoip = GeoIp::default();
        let _ = geoip.load_ipv4(text.as_bytes());
        let _ = geoip.load_ipv6(text.as_bytes());
    }
}
