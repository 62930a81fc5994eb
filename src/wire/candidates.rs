//! The addresses in an offer, which locate its client if the request came through an
//! intermediary, such as an AMP cache or SQS.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::json::Object;
use super::public_address::public;
use super::session_description::SessionDescription;

/// The rank of an address in a session description as evidence of its sender's location,
/// best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum AddressRank {
    /// The address seen by a STUN server or the remote end (`srflx`, `prflx`).
    Reflexive,
    /// The address of an interface.
    Host,
}

/// A candidate at a TURN server; only its public addresses are kept.
struct Relayed {
    /// The server's address.
    own: Option<IpAddr>,
    /// The address that the server saw (`raddr`, RFC 8445 section 5.3). Firefox repeats
    /// the server's own address here.
    related: Option<IpAddr>,
}

/// The most likely public address of the sender of `description`, from its candidates
/// (RFC 8839 section 5.1). Names (`.local`, RFC 8828) and non-public addresses are
/// skipped. If no other candidate has an address, the result is the address that a TURN
/// server saw, unless it is itself a TURN server's; without a TURN server it is the
/// address of the connection line.
///
/// The address is not proven: the sender can write anything.
pub fn public_address(description: &SessionDescription) -> Option<IpAddr> {
    let sdp = Object::parse(&description.text())
        .ok()?
        .exact_string("sdp")?;
    // Searching for one character at a time is several times faster than for two.
    let lines = || sdp.split('\n').flat_map(|line| line.split('\r'));
    let best = lines()
        .filter_map(ranked_address)
        .min_by_key(|(rank, _)| *rank);
    if let Some((_, address)) = best {
        return Some(address);
    }
    let relayed: Vec<Relayed> = lines().filter_map(relayed).collect();
    if relayed.is_empty() {
        return lines().find_map(connection_address);
    }
    let servers: BTreeSet<IpAddr> = relayed.iter().filter_map(|at| at.own).collect();
    let mut seen = relayed.iter().filter_map(|at| at.related);
    seen.find(|address| !servers.contains(address))
}

/// The address in a line `a=candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS
/// PORT typ TYPE`, unless the candidate is a relay.
fn ranked_address(line: &str) -> Option<(AddressRank, IpAddr)> {
    let mut fields = candidate_fields(line)?;
    let address = fields.nth(4)?;
    let rank = match candidate_type(fields)? {
        "srflx" | "prflx" => AddressRank::Reflexive,
        "host" => AddressRank::Host,
        _ => return None,
    };
    Some((rank, parse_public(address)?))
}

/// The addresses in such a line if the candidate is a relay; `raddr ADDRESS` and more may
/// follow its type.
fn relayed(line: &str) -> Option<Relayed> {
    let mut fields = candidate_fields(line)?;
    let own = parse_public(fields.nth(4)?);
    if candidate_type(fields.by_ref()) != Some("relay") {
        return None;
    }
    let related = fields
        .find(|field| *field == "raddr")
        .and_then(|_| parse_public(fields.next()?));
    Some(Relayed { own, related })
}

/// The address of `c=IN IP4 <address>`.
fn connection_address(line: &str) -> Option<IpAddr> {
    let fields = line.strip_prefix("c=IN ")?;
    parse_public(fields.split_ascii_whitespace().nth(1)?)
}

fn candidate_fields(line: &str) -> Option<impl Iterator<Item = &str>> {
    Some(line.strip_prefix("a=candidate:")?.split_ascii_whitespace())
}

/// The candidate's type, given the fields after the address.
fn candidate_type<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    fields.nth(1).filter(|keyword| *keyword == "typ")?;
    fields.next()
}

fn parse_public(address: &str) -> Option<IpAddr> {
    public(address.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SRFLX: &str =
        "a=candidate:1 1 udp 1694498815 93.184.216.34 5000 typ srflx raddr 192.168.1.2 rport 5000";
    const PRFLX: &str = "a=candidate:1 1 udp 1 2a00:1450::7 5000 typ prflx";
    const HOST: &str = "a=candidate:2 1 udp 2130706431 2a01:4f8::1 5001 typ host generation 0";
    const PRIVATE: &str = "a=candidate:3 1 udp 2130706431 192.168.1.2 5002 typ host";
    const MDNS: &str = "a=candidate:4 1 UDP 1 d2a1c2b0-0000.local 5003 typ host";
    const RELAY: &str = "a=candidate:5 1 udp 1 51.15.0.1 5004 typ relay raddr 81.2.69.142 rport 9";
    const BLIND_RELAY: &str =
        "a=candidate:5 1 udp 1 51.15.0.1 5004 typ relay raddr 0.0.0.0 rport 9";
    const CONNECTION: &str = "c=IN IP4 51.15.0.1";

    fn description(sdp: &str) -> SessionDescription {
        let json = serde_json::json!({ "type": "offer", "sdp": sdp });
        SessionDescription::parse(&json.to_string()).unwrap()
    }

    fn address(lines: &[&str]) -> Option<String> {
        let sdp = format!("v=0\r\n{}\r\n", lines.join("\r\n"));
        public_address(&description(&sdp)).map(|address| address.to_string())
    }

    #[test]
    fn what_a_server_saw_counts_before_what_an_interface_has() {
        let reflexive = Some("93.184.216.34".to_owned());
        assert_eq!(
            address(&[CONNECTION, RELAY, HOST, MDNS, SRFLX, PRFLX]),
            reflexive
        );
        assert_eq!(address(&[HOST, PRFLX]).as_deref(), Some("2a00:1450::7"));
        assert_eq!(
            address(&[CONNECTION, RELAY, PRIVATE, HOST]).as_deref(),
            Some("2a01:4f8::1")
        );
    }

    #[test]
    fn a_relay_is_not_the_client() {
        assert_eq!(
            address(&[PRIVATE, RELAY, CONNECTION]).as_deref(),
            Some("81.2.69.142")
        );
        assert_eq!(address(&[PRIVATE, BLIND_RELAY, CONNECTION]), None);
    }

    /// Firefox writes such candidates, with one server or several.
    #[test]
    fn a_relay_that_names_itself_tells_nothing() {
        let naming = |own: &str, related: &str| {
            format!("a=candidate:0 1 UDP 92086015 {own} 5004 typ relay raddr {related} rport 5004")
        };
        let (ipv4, ipv6) = ("51.15.0.1", "2a00::9");
        let mapped = "::ffff:51.15.0.1";
        for lines in [
            &[naming(ipv4, ipv4)][..],
            &[naming(ipv6, "2a00:0::9")],
            &[naming(ipv4, mapped)],
            &[naming(ipv4, ipv6), naming(ipv6, ipv4)],
            &[naming("10.0.0.1", ipv4), naming(ipv4, "10.0.0.1")],
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(
                address(&[&[PRIVATE, CONNECTION], &*lines].concat()),
                None,
                "{lines:?}"
            );
            let others = [&lines[..], &[RELAY]].concat();
            assert_eq!(address(&others).as_deref(), Some("81.2.69.142"));
        }
    }

    #[test]
    fn the_connection_line_is_the_last_resort() {
        assert_eq!(
            address(&[PRIVATE, MDNS, CONNECTION]).as_deref(),
            Some("51.15.0.1")
        );
        assert_eq!(address(&["c=IN IP6 2a00::9"]).as_deref(), Some("2a00::9"));
        assert_eq!(address(&["c=IN IP4 0.0.0.0", PRIVATE]), None);
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let mapped = "a=candidate:1 1 udp 1 ::ffff:8.8.8.8 1 typ host";
        assert_eq!(address(&[mapped]).as_deref(), Some("8.8.8.8"));
    }

    #[test]
    fn what_is_no_candidate_is_skipped() {
        for line in [
            "",
            "a=candidate:",
            "a=candidate:1 1 udp 1 8.8.8.8",
            "a=candidate:1 1 udp 1 8.8.8.8 1 host",
            "a=candidate:1 1 udp 1 8.8.8.8 1 typ",
            "a=candidate:1 1 udp 1 8.8.8.8 1 typ other",
            "a=candidate:1 1 udp 1 8.8.8.8 1 typ relay raddr",
            "a=candidate:1 1 udp 1 8.8.8 1 typ host",
            " a=candidate:1 1 udp 1 8.8.8.8 1 typ host",
            "c=IN",
            "c=IN IP4",
        ] {
            assert_eq!(address(&[line]), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            lines in prop::collection::vec(
                "(a=candidate:|c=IN )?([0-9.:a-f]{0,12}|typ|host|relay|raddr|\\PC{0,5}| ){0,14}",
                0..5,
            ),
        ) {
            public_address(&description(&lines.join("\n")));
        }

        #[test]
        fn only_public_addresses_come_out(bits: u32) {
            let candidate = std::net::Ipv4Addr::from_bits(bits);
            let line = format!("a=candidate:1 1 udp 1 {candidate} 1 typ srflx");
            let expected = public(candidate.into()).map(|address| address.to_string());
            prop_assert_eq!(address(&[&line]), expected);
        }
    }
}
