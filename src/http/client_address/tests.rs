use http::HeaderValue;
use proptest::prelude::*;

use super::ClientAddress::{Direct, Forwarded, Hidden};
use super::*;

const PEER: &str = "127.0.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings(trusted_hops: usize, trusted_proxies: &[&str]) -> Settings {
    Settings {
        trusted_hops,
        trusted_proxies: trusted_proxies
            .iter()
            .map(|net| net.parse().unwrap())
            .collect(),
        ..Settings::default()
    }
}

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

/// The sender of a request from 127.0.0.1 with one header line.
fn sender(name: &str, value: &str, trusted_hops: usize) -> ClientAddress {
    let headers = headers(&[(name, value.as_bytes())]);
    client_address(ip(PEER), &headers, &settings(trusted_hops, &[]))
}

#[test]
fn without_a_header_it_is_the_peer() {
    let direct = |peer| client_address(ip(peer), &HeaderMap::new(), &settings(1, &[]));
    assert_eq!(direct("8.8.8.8"), Direct(ip("8.8.8.8")));
    assert_eq!(direct("::ffff:127.0.0.1"), Direct(ip("127.0.0.1")));
    assert!(direct("::ffff:127.0.0.1").is_local());
    assert!(direct("::1").is_local());
    assert!(!direct("10.0.0.1").is_local());
}

#[test]
fn every_form_of_a_node_is_read() {
    for (value, address) in [
        ("for=8.8.8.8", "8.8.8.8"),
        ("For=\"8.8.8.8:4711\"", "8.8.8.8"),
        ("for=8.8.8.8:4711", "8.8.8.8"),
        ("for=\"[2a00:1450::1]\"", "2a00:1450::1"),
        ("for=\"[2a00:1450::1]:4711\"", "2a00:1450::1"),
        ("for=\"[2a00:1450::1]:_port\"", "2a00:1450::1"),
        ("for=[2a00:1450::1]", "2a00:1450::1"),
        ("for=2a00:1450::1", "2a00:1450::1"),
        ("for=\"[::ffff:8.8.8.8]\"", "8.8.8.8"),
        ("proto=https; FOR = 8.8.8.8 ;by=_me", "8.8.8.8"),
        (
            "by=1.1.1.1;host=\"a;for=1.1.1.1,\\\"b\";for=8.8.8.8",
            "8.8.8.8",
        ),
        ("for=8.8.8.8;host=\"x\\\\\"", "8.8.8.8"),
        ("for=8.8.8.8, ,", "8.8.8.8"),
    ] {
        assert_eq!(
            sender("forwarded", value, 1),
            Forwarded(ip(address)),
            "{value}"
        );
    }
    for (value, address) in [
        ("8.8.8.8", "8.8.8.8"),
        ("1.1.1.1,8.8.8.8:80", "8.8.8.8"),
        ("2a00:1450::1", "2a00:1450::1"),
        ("[2a00:1450::1]:80", "2a00:1450::1"),
        ("\"[2a00:1450::1]\"", "2a00:1450::1"),
        ("2a00:1450::1%eth0", "2a00:1450::1"),
    ] {
        assert_eq!(
            sender("x-forwarded-for", value, 1),
            Forwarded(ip(address)),
            "{value}"
        );
    }
}

#[test]
fn a_sender_without_a_public_address_is_hidden_behind_the_peer() {
    for value in [
        "",
        "for=unknown",
        "for=_hidden",
        "for=\"_x:80\"",
        "for=127.0.0.1",
        "for=10.0.0.1",
        "for=\"[fe80::1]\"",
        "for=\"[8.8.8.8]\"",
        "for=8.8.8",
        "for=[2a00::1",
        "for",
        "by=8.8.8.8",
    ] {
        let sender = sender("forwarded", value, 1);
        assert_eq!(sender, Hidden(ip(PEER)), "{value}");
        assert!(!sender.is_local());
    }
}

#[test]
fn only_the_last_hops_are_believed() {
    let list = "for=1.1.1.1, for=10.0.0.1, for=8.8.8.8, for=unknown, for=9.9.9.9";
    for (hops, expected) in [
        (0, Hidden(ip(PEER))),
        (1, Forwarded(ip("9.9.9.9"))),
        (2, Forwarded(ip("9.9.9.9"))),
        (3, Forwarded(ip("8.8.8.8"))),
        (4, Forwarded(ip("8.8.8.8"))),
        (5, Forwarded(ip("1.1.1.1"))),
        (usize::MAX, Forwarded(ip("1.1.1.1"))),
    ] {
        assert_eq!(sender("forwarded", list, hops), expected, "{hops} hops");
    }
}

#[test]
fn x_forwarded_for_stands_in_for_a_forwarded_that_names_nobody() {
    let headers = headers(&[
        ("x-forwarded-for", b"4.4.4.4"),
        ("forwarded", b"for=1.1.1.1, for=unknown"),
    ]);
    let sender = client_address(ip(PEER), &headers, &settings(1, &[]));
    assert_eq!(sender, Forwarded(ip("4.4.4.4")));
}

#[test]
fn lines_are_one_list_and_forwarded_goes_first() {
    let headers = headers(&[
        ("x-forwarded-for", b"4.4.4.4"),
        ("forwarded", b"for=1.1.1.1, for=8.8.8.8"),
        ("forwarded", b"for=9.9.9.9"),
    ]);
    let sender = |hops| client_address(ip(PEER), &headers, &settings(hops, &[]));
    assert_eq!(sender(1), Forwarded(ip("9.9.9.9")));
    assert_eq!(sender(2), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender(3), Forwarded(ip("1.1.1.1")));
}

#[test]
fn a_peer_outside_the_trusted_proxies_is_not_believed() {
    let headers = headers(&[("x-forwarded-for", b"8.8.8.8")]);
    let settings = settings(1, &["10.0.0.0/8", "2a00:1450::/32"]);
    let sender = |peer| client_address(ip(peer), &headers, &settings);
    assert_eq!(sender("9.9.9.9"), Hidden(ip("9.9.9.9")));
    assert_eq!(sender("10.1.2.3"), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender("::ffff:10.1.2.3"), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender("2a00:1450::5"), Forwarded(ip("8.8.8.8")));
}

#[test]
fn trusted_proxies_on_the_right_are_no_hops() {
    let list = b"1.1.1.1, 8.8.8.8, 7.7.7.7, 10.0.0.2";
    let headers = headers(&[("x-forwarded-for", list)]);
    let sender =
        |hops, nets: &[&str]| client_address(ip("10.0.0.1"), &headers, &settings(hops, nets));
    let nets = ["10.0.0.0/8", "7.7.7.0/24"];
    assert_eq!(sender(1, &nets), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender(2, &nets), Forwarded(ip("1.1.1.1")));
    assert_eq!(sender(0, &nets), Hidden(ip("10.0.0.1")));
    assert_eq!(sender(1, &["10.0.0.0/8"]), Forwarded(ip("7.7.7.7")));
    assert_eq!(sender(9, &["0.0.0.0/0"]), Hidden(ip("10.0.0.1")));
}

/// What a header line may consist of.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(b'\t'), 32..127u8, 128..=255u8], 0..40),
        prop::collection::vec(prop::sample::select(b"\",;=\\[]:for1.% ".as_slice()), 0..40),
    ]
}

proptest! {
    #[test]
    fn garbage_does_not_panic(
        forwarded in prop::collection::vec(header_bytes(), 0..3),
        x_forwarded_for in prop::collection::vec(header_bytes(), 0..3),
        hops in 0..4usize,
    ) {
        let forwarded = forwarded.iter().map(|line| ("forwarded", &line[..]));
        let others = x_forwarded_for.iter().map(|line| ("x-forwarded-for", &line[..]));
        let headers = headers(&forwarded.chain(others).collect::<Vec<_>>());
        let sender = client_address(ip("9.9.9.9"), &headers, &settings(hops, &[]));
        prop_assert_eq!(matches!(sender, Direct(_)), headers.is_empty());
        prop_assert!(public(sender.ip()).is_some());
    }

    /// The one property that matters: with one trusted hop a stranger cannot
    /// choose the address by what it sends.
    #[test]
    fn what_a_stranger_writes_changes_nothing(
        theirs in prop::collection::vec(header_bytes(), 1..3),
        own_line: bool,
        is_forwarded: bool,
    ) {
        let (name, ours) = if is_forwarded {
            ("forwarded", &b"for=\"[2a00:1450::1]:80\";host=\"a\\\",b\""[..])
        } else {
            ("x-forwarded-for", &b"2a00:1450::1"[..])
        };
        let mut lines = theirs;
        if own_line {
            lines.push(ours.to_vec());
        } else {
            let last = lines.last_mut().unwrap();
            last.extend_from_slice(b", ");
            last.extend_from_slice(ours);
        }
        let lines: Vec<_> = lines.iter().map(|line| (name, &line[..])).collect();
        let sender = client_address(ip(PEER), &headers(&lines), &settings(1, &[]));
        prop_assert_eq!(sender, Forwarded(ip("2a00:1450::1")));
    }
}
