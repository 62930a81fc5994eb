//! The candidates in session descriptions (RFC 8839, section 5.1): those of a proxy's offer
//! that a probe may send to, and none in an answer that shall tell none.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// The most candidates of an offer that are used. Honest proxies have one for each of their
/// interfaces and STUN servers; a probe sends a few packets to each.
pub(super) const CANDIDATES_MAX: usize = 8;

/// The longest ICE user name and password that are taken, in bytes: twice what any browser and
/// pion make, and more.
const CREDENTIALS: [(&str, usize); 2] = [("a=ice-ufrag:", 64), ("a=ice-pwd:", 256)];

/// A proxy's offer with only those candidates that a probe may send to.
#[derive(Debug)]
pub(super) struct UsableOffer {
    /// The session description.
    pub(super) sdp: String,
    /// The number of candidates in it.
    pub(super) candidates: usize,
}

/// The error for an offer of a form that no proxy's has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnfitOffer {
    #[error("not an offer of a data channel alone")]
    NotOfDataChannel,
    #[error("its ICE user name or password is too long")]
    Credentials,
}

/// Removes the candidates that a probe from `local` does not use: TCP, relays, names, the
/// other IP version, addresses that it may not send to, all but the first of an address, and
/// more than [`CANDIDATES_MAX`].
///
/// An address may be somebody else's, so it is sent to at one port alone. Behind one address
/// a proxy has either the same port for everybody, or one that a probe does not reach.
/// Relays are left out because a client does not reach the proxy itself through one, and
/// names (`.local`, RFC 8828) because only the proxy's own network knows them.
pub(super) fn usable(
    offer: &str,
    local: IpAddr,
    may_send_to: impl Fn(IpAddr) -> bool,
) -> Result<UsableOffer, UnfitOffer> {
    let mut sections = lines(offer).filter(|line| line.starts_with("m="));
    let is_data_channel = |line: &str| line.starts_with("m=application ");
    if !sections.next().is_some_and(is_data_channel) || sections.next().is_some() {
        return Err(UnfitOffer::NotOfDataChannel);
    }
    if lines(offer).any(has_long_credentials) {
        return Err(UnfitOffer::Credentials);
    }
    let is_usable = |addr: &SocketAddr| {
        addr.is_ipv4() == local.is_ipv4() && addr.port() != 0 && may_send_to(addr.ip())
    };
    let mut usable = UsableOffer {
        sdp: String::with_capacity(offer.len()),
        candidates: 0,
    };
    let mut known = HashSet::new();
    for line in lines(offer) {
        if is_about_candidates(line) {
            let addr = address(line).filter(is_usable);
            if known.len() == CANDIDATES_MAX || !addr.is_some_and(|addr| known.insert(addr.ip())) {
                continue;
            }
        }
        push(&mut usable.sdp, line);
    }
    usable.candidates = known.len();
    Ok(usable)
}

/// The same description without candidates.
pub(super) fn without_candidates(description: &str) -> String {
    let mut rest = String::with_capacity(description.len());
    for line in lines(description).filter(|line| !is_about_candidates(line)) {
        push(&mut rest, line);
    }
    rest
}

/// The address in a line `a=candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT
/// typ TYPE` of the first component, unless the candidate is a relay or not UDP.
fn address(line: &str) -> Option<SocketAddr> {
    let fields = line.strip_prefix("a=candidate:")?;
    let mut fields = fields.split_ascii_whitespace().skip(1);
    let (component, transport) = (fields.next()?, fields.next()?);
    let (_priority, address, port) = (fields.next()?, fields.next()?, fields.next()?);
    let (keyword, kind) = (fields.next()?, fields.next()?);
    let is_reachable = ["host", "srflx", "prflx"].contains(&kind);
    let is_ours = component == "1" && transport.eq_ignore_ascii_case("udp");
    if !is_ours || keyword != "typ" || !is_reachable {
        return None;
    }
    let address: IpAddr = address.parse().ok()?;
    Some(SocketAddr::new(address, port.parse().ok()?))
}

fn has_long_credentials(line: &str) -> bool {
    CREDENTIALS.iter().any(|(name, most)| {
        line.strip_prefix(name)
            .is_some_and(|value| value.len() > *most)
    })
}

fn is_about_candidates(line: &str) -> bool {
    let attribute = line.strip_prefix("a=").unwrap_or_default();
    ["candidate:", "remote-candidates:", "end-of-candidates"]
        .iter()
        .any(|name| attribute.starts_with(name))
}

fn lines(description: &str) -> impl Iterator<Item = &str> {
    let lines = description.split(['\r', '\n']);
    lines.filter(|line| !line.is_empty())
}

fn push(description: &mut String, line: &str) {
    description.push_str(line);
    description.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::public_address::public;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const HEAD: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

    fn is_public(address: IpAddr) -> bool {
        public(address).is_some()
    }

    fn used(lines: &[&str]) -> Vec<String> {
        let offer = format!("{HEAD}{}\r\n", lines.join("\r\n"));
        let usable = usable(&offer, HERE, is_public).unwrap();
        let used: Vec<String> = super::lines(&usable.sdp)
            .filter(|line| is_about_candidates(line))
            .map(str::to_owned)
            .collect();
        assert_eq!(used.len(), usable.candidates);
        used
    }

    #[test]
    fn only_public_udp_addresses_are_sent_to() {
        let host = "a=candidate:1 1 udp 2130706431 93.184.216.34 5000 typ host";
        let srflx =
            "a=candidate:2 1 UDP 1694498815 93.184.216.35 5001 typ srflx raddr 10.0.0.1 rport 9";
        let lines = [
            host,
            "a=candidate:3 1 udp 1 10.0.0.1 5002 typ host",
            "a=candidate:3 1 udp 1 127.0.0.1 5002 typ host",
            "a=candidate:3 1 udp 1 ::ffff:10.0.0.1 5002 typ host",
            "a=candidate:3 1 udp 1 2a01:4f8::1 5003 typ host",
            "a=candidate:3 1 tcp 1 93.184.216.34 9 typ host tcptype active",
            "a=candidate:3 2 udp 1 93.184.216.34 5004 typ host",
            "a=candidate:3 1 udp 1 93.184.216.34 5005 typ relay raddr 0.0.0.0 rport 0",
            "a=candidate:3 1 udp 1 d2a1c2b0-0000.local 5006 typ host",
            "a=candidate:3 1 udp 1 93.184.216.34 0 typ host",
            "a=candidate:3 1 udp 1 93.184.216.34 70000 typ host",
            "a=candidate:3 1 udp 1 93.184.216.34 5007",
            "a=candidate:",
            srflx,
            "a=end-of-candidates",
        ];
        assert_eq!(used(&lines), [host, srflx]);
    }

    #[test]
    fn an_offer_cannot_name_any_number_of_addresses() {
        let lines: Vec<String> = (1..100)
            .map(|host| format!("a=candidate:1 1 udp 1 93.184.216.{host} 5000 typ host"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(used(&lines), &lines[..CANDIDATES_MAX]);
    }

    #[test]
    fn an_address_is_sent_to_at_one_port() {
        let lines: Vec<String> = (1..9)
            .map(|port| format!("a=candidate:1 1 udp 1 93.184.216.34 {port} typ host"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(used(&lines), &lines[..1]);
    }

    #[test]
    fn long_user_names_and_passwords_are_refused() {
        for (name, most) in CREDENTIALS {
            let refusal = |length| {
                let offer = format!("{HEAD}{name}{}\r\n", "a".repeat(length));
                usable(&offer, HERE, is_public).err()
            };
            assert_eq!(refusal(most), None, "{name}");
            assert_eq!(refusal(most + 1), Some(UnfitOffer::Credentials), "{name}");
        }
    }

    #[test]
    fn an_offer_is_of_a_data_channel_alone() {
        for sdp in [
            "",
            "v=0\r\n",
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "m=application 9 A b\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "m=application 9 A b\r\nm=application 9 A b\r\n",
        ] {
            assert!(usable(sdp, HERE, is_public).is_err(), "{sdp}");
        }
    }

    #[test]
    fn an_answer_loses_its_candidates_and_nothing_else() {
        let answer = format!(
            "{HEAD}a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=end-of-candidates\r\na=sctp-port:5000\r\n"
        );
        let expected = format!("{HEAD}a=mid:0\r\na=sctp-port:5000\r\n");
        assert_eq!(without_candidates(&answer), expected);
    }

    proptest! {
        #[test]
        fn nothing_panics(
            lines in prop::collection::vec(
                "(a=candidate:|a=|m=)?([0-9.:a-f]{0,12}|typ|host|udp|1|\\PC{0,5}| ){0,14}",
                0..9,
            ),
        ) {
            let offer = format!("{HEAD}{}", lines.join("\n"));
            drop(usable(&offer, HERE, is_public));
        }
    }
}
