use http::HeaderValue;
use proptest::prelude::*;

use super::ClientAddress::{Claimed, Direct, Forwarded, Hidden, Itself};
use super::*;

/// A reverse proxy of ours.
const PEER: &str = "10.0.0.1";
/// Some client.
const STRANGER: &str = "9.9.9.9";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings(forwarded_by: &str, trusted_hops: usize, trusted_proxies: &[&str]) -> Settings {
    Settings {
        forwarded_by: forwarded_by.to_owned().try_into().unwrap(),
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

/// The sender of a request from a reverse proxy of ours with one header line.
fn sender(name: &str, value: &str, trusted_hops: usize) -> ClientAddress {
    let headers = headers(&[(name, value.as_bytes())]);
    let settings = settings(name, trusted_hops, &["10.0.0.1/32"]);
    client_address(ip(PEER), &headers, &settings)
}

/// The table of docs/limits.md, row by row.
#[test]
fn everybody_is_taken_for_who_they_are() {
    let xff = |value| Some(("x-forwarded-for", value));
    let claimed = |peer, claimed| Claimed {
        peer: ip(peer),
        claimed: ip(claimed),
    };
    let nobody: &[&str] = &[];
    for (trusted_proxies, peer, header, expected) in [
        // Without trusted proxies, strangers make claims.
        (nobody, STRANGER, None, Direct(ip(STRANGER))),
        (
            nobody,
            STRANGER,
            xff("8.8.8.8"),
            claimed(STRANGER, "8.8.8.8"),
        ),
        (nobody, STRANGER, xff(STRANGER), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff("unknown"), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff("10.0.0.9"), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff("127.0.0.1"), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff("::1"), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff("garbage"), Itself(ip(STRANGER))),
        (nobody, STRANGER, xff(""), Itself(ip(STRANGER))),
        (nobody, PEER, xff("8.8.8.8"), claimed(PEER, "8.8.8.8")),
        // This machine, and a reverse proxy on it.
        (nobody, "127.0.0.1", None, Direct(ip("127.0.0.1"))),
        (nobody, "::ffff:127.0.0.1", None, Direct(ip("127.0.0.1"))),
        (nobody, "::1", xff("8.8.8.8"), Forwarded(ip("8.8.8.8"))),
        (nobody, "::1", xff("unknown"), Hidden(ip("::1"))),
        // With trusted proxies.
        (
            &["10.0.0.1/32"],
            PEER,
            xff("8.8.8.8"),
            Forwarded(ip("8.8.8.8")),
        ),
        (
            &["10.0.0.1/32"],
            "::ffff:10.0.0.1",
            xff("8.8.8.8"),
            Forwarded(ip("8.8.8.8")),
        ),
        (&["10.0.0.1/32"], PEER, xff("unknown"), Hidden(ip(PEER))),
        (&["10.0.0.1/32"], PEER, xff("10.0.0.9"), Hidden(ip(PEER))),
        (&["10.0.0.1/32"], PEER, None, Hidden(ip(PEER))),
        (
            &["10.0.0.1/32"],
            STRANGER,
            xff("8.8.8.8"),
            Itself(ip(STRANGER)),
        ),
        (
            &["10.0.0.1/32"],
            STRANGER,
            xff("unknown"),
            Itself(ip(STRANGER)),
        ),
        (&["10.0.0.1/32"], STRANGER, None, Direct(ip(STRANGER))),
        (
            &["10.0.0.1/32"],
            "127.0.0.1",
            xff("8.8.8.8"),
            Itself(ip("127.0.0.1")),
        ),
        (&["10.0.0.1/32"], "127.0.0.1", None, Direct(ip("127.0.0.1"))),
        (&["127.0.0.0/8"], "127.0.0.1", None, Hidden(ip("127.0.0.1"))),
    ] {
        let lines: Vec<_> = header
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let settings = settings("x-forwarded-for", 1, trusted_proxies);
        let sender = client_address(ip(peer), &headers(&lines), &settings);
        assert_eq!(sender, expected, "{trusted_proxies:?} {peer} {header:?}");
    }
}

#[test]
fn only_the_one_header_is_looked_at() {
    let headers = headers(&[
        ("forwarded", b"for=1.1.1.1"),
        ("x-forwarded-for", b"4.4.4.4"),
        ("cf-connecting-ip", b"8.8.8.8"),
    ]);
    for (forwarded_by, named) in [
        ("forwarded", Some("1.1.1.1")),
        ("Forwarded", Some("1.1.1.1")),
        ("x-forwarded-for", Some("4.4.4.4")),
        ("cf-connecting-ip", Some("8.8.8.8")),
        ("CF-Connecting-IP", Some("8.8.8.8")),
        ("x-real-ip", None),
        ("none", None),
    ] {
        let of = |peer, nets: &[&str]| {
            client_address(ip(peer), &headers, &settings(forwarded_by, 1, nets))
        };
        let trusted = named.map_or(Hidden(ip(PEER)), |named| Forwarded(ip(named)));
        assert_eq!(of(PEER, &["10.0.0.0/8"]), trusted, "{forwarded_by}");
        let stranger = named.map_or(Itself(ip(STRANGER)), |claimed| Claimed {
            peer: ip(STRANGER),
            claimed: ip(claimed),
        });
        assert_eq!(of(STRANGER, &[]), stranger, "{forwarded_by}");
    }
}

/// A reverse proxy on this machine has limits, unlike the machine itself.
#[test]
fn a_header_that_is_not_read_tells_a_reverse_proxy_here() {
    for header in ["forwarded", "x-forwarded-for"] {
        let headers = headers(&[(header, b"8.8.8.8")]);
        for (forwarded_by, hops) in [("none", 1), ("x-forwarded-for", 0)] {
            let settings = settings(forwarded_by, hops, &[]);
            let sender = client_address(ip("127.0.0.1"), &headers, &settings);
            assert_eq!(sender, Itself(ip("127.0.0.1")));
        }
    }
}

#[test]
fn a_header_of_one_address_holds_no_more() {
    let sender = |lines: &[&str], hops| {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("cf-connecting-ip", line.as_bytes()))
            .collect();
        let settings = settings("cf-connecting-ip", hops, &["10.0.0.1/32"]);
        client_address(ip(PEER), &headers(&lines), &settings)
    };
    for (line, address) in [
        ("8.8.8.8", "8.8.8.8"),
        (" 2a00:1450::1 ", "2a00:1450::1"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
    ] {
        assert_eq!(sender(&[line], 1), Forwarded(ip(address)));
        assert_eq!(sender(&[line], 0), Hidden(ip(PEER)));
    }
    for lines in [
        &["8.8.8.8", "8.8.4.4"][..],
        &["8.8.8.8, 8.8.4.4"],
        &["10.0.0.1"],
        &["unknown"],
        &[""],
    ] {
        assert_eq!(sender(lines, 1), Hidden(ip(PEER)), "{lines:?}");
    }
}

#[test]
fn names_of_headers_are_read_and_written() {
    for written in ["x-forwarded-for", "forwarded", "none", "true-client-ip"] {
        let read = ForwardedBy::try_from(written.to_owned()).unwrap();
        assert_eq!(String::from(read), written);
    }
    let invalid = ForwardedBy::try_from("a header".to_owned()).unwrap_err();
    assert!(invalid.to_string().starts_with("must be x-forwarded-for"));
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
fn lines_are_one_list() {
    let headers = headers(&[
        ("forwarded", b"for=1.1.1.1, for=8.8.8.8"),
        ("forwarded", b"for=9.9.9.9"),
    ]);
    let sender = |hops| {
        let settings = settings("forwarded", hops, &["10.0.0.0/8"]);
        client_address(ip(PEER), &headers, &settings)
    };
    assert_eq!(sender(1), Forwarded(ip("9.9.9.9")));
    assert_eq!(sender(2), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender(3), Forwarded(ip("1.1.1.1")));
}

#[test]
fn trusted_proxies_on_the_right_are_no_hops() {
    let list = b"1.1.1.1, 8.8.8.8, 7.7.7.7, 10.0.0.2";
    let headers = headers(&[("x-forwarded-for", list)]);
    let sender = |hops, nets: &[&str]| {
        let settings = settings("x-forwarded-for", hops, nets);
        client_address(ip("10.0.0.1"), &headers, &settings)
    };
    let nets = ["10.0.0.0/8", "7.7.7.0/24"];
    assert_eq!(sender(1, &nets), Forwarded(ip("8.8.8.8")));
    assert_eq!(sender(2, &nets), Forwarded(ip("1.1.1.1")));
    assert_eq!(sender(0, &nets), Hidden(ip("10.0.0.1")));
    assert_eq!(sender(1, &["10.0.0.0/8"]), Forwarded(ip("7.7.7.7")));
    assert_eq!(sender(9, &["0.0.0.0/0"]), Hidden(ip("10.0.0.1")));
}

/// Bytes for header lines.
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
        for forwarded_by in ["x-forwarded-for", "forwarded", "none", "cf-connecting-ip"] {
            for nets in [&[][..], &["9.9.9.9/32"]] {
                let settings = settings(forwarded_by, hops, nets);
                let sender = client_address(ip(STRANGER), &headers, &settings);
                let is_direct = headers.is_empty() && nets.is_empty();
                prop_assert_eq!(matches!(sender, Direct(_)), is_direct);
                prop_assert!(public(sender.ip()).is_some());
            }
        }
    }

    /// The essential property: with one trusted hop, a stranger cannot choose its address
    /// by what it sends.
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
        let settings = settings(name, 1, &["10.0.0.1/32"]);
        let sender = client_address(ip(PEER), &headers(&lines), &settings);
        prop_assert_eq!(sender, Forwarded(ip("2a00:1450::1")));
    }
}
