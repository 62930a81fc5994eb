//! Who the other brokers are, and what is needed to know them.

use std::collections::BTreeSet;

use http::Uri;

use super::forms::{is_address, is_dns_name};
use super::{MOST, Rules};
use crate::federation::settings::PeerSettings;

const LISTEN: &str = "federation.listen";
const DISCOVER: &str = "federation.discover";
const RESERVE: &str = "federation.reserve";
const PEERS: &str = "federation.peers";
const CERT: &str = "federation.tls.cert";
const KEY: &str = "federation.tls.key";
const CA: &str = "federation.tls.ca";

/// More brokers do not know each other.
const PEERS_MAX: usize = 1_000;
/// As many calls as go over one connection.
const IN_FLIGHT_MAX: usize = 1_000;
const PER_SECOND_MAX: u32 = 1_000_000;

pub(super) fn check(rules: &mut Rules<'_>) {
    addresses(rules);
    certificates(rules);
    peers(rules);
}

fn addresses(rules: &mut Rules<'_>) {
    let federation = &rules.config.federation;
    if federation
        .listen
        .as_deref()
        .is_some_and(|addr| !is_address(addr))
    {
        rules.refuse(&[LISTEN], "expected :PORT, HOST:PORT or [IPV6]:PORT");
    }
    let discover = federation.discover.as_deref();
    if discover.is_some_and(|name| !is_name_with_port(name)) {
        rules.refuse(
            &[DISCOVER],
            "expected HOST:PORT, such as brokers.example:7443",
        );
    }
    if federation.reserve > MOST {
        rules.refuse(&[RESERVE], format!("has to be from 0 to {MOST}"));
    }
}

fn is_name_with_port(text: &str) -> bool {
    let host = text.rsplit_once(':').map(|(host, _)| host);
    is_address(text) && host.is_some_and(is_dns_name)
}

fn certificates(rules: &mut Rules<'_>) {
    let federation = &rules.config.federation;
    let tls = &federation.tls;
    let given = [(CERT, &tls.cert), (KEY, &tls.key), (CA, &tls.ca)];
    let missing = given.iter().filter(|(_, path)| path.is_none());
    let missing: Vec<&str> = missing.map(|(key, _)| *key).collect();
    if missing.is_empty() {
        return;
    }
    let needs = format!("needs {} beside it", missing.join(", "));
    if let Some((key, _)) = given.iter().find(|(_, path)| path.is_some()) {
        rules.refuse(&[key, CERT, KEY, CA], needs);
    } else if federation.listen.is_some() {
        rules.refuse(&[LISTEN, CERT, KEY, CA], needs);
    } else if !federation.peers.is_empty() {
        rules.refuse(&[PEERS, CERT, KEY, CA], needs);
    }
}

fn peers(rules: &mut Rules<'_>) {
    let federation = &rules.config.federation;
    let peers = &federation.peers;
    if peers.len() > PEERS_MAX {
        rules.refuse(&[PEERS], format!("there are more than {PEERS_MAX}"));
    }
    if let Some(problem) = peers.iter().find_map(problem) {
        rules.refuse(&[PEERS], problem);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = peers.iter().find(|peer| !names.insert(&peer.name)) {
        let problem = format!("two of them have the name {:?}", twice.name);
        rules.refuse(&[PEERS], problem);
    }
    if federation.listen.is_some() && peers.is_empty() {
        rules.warn(
            &[LISTEN, PEERS],
            "nobody may come: federation.peers is empty",
        );
    }
    let is_lost = |peer: &&PeerSettings| peer.borrow && peer.url.is_none();
    if let (None, Some(lost)) = (&federation.discover, peers.iter().find(is_lost)) {
        let problem = format!(
            "{:?} is never asked: give it a url, set federation.discover, or set borrow = false",
            lost.name
        );
        rules.warn(&[PEERS, DISCOVER], problem);
    }
}

/// What is wrong with a peer by itself.
fn problem(peer: &PeerSettings) -> Option<String> {
    let named = |problem: &str| Some(format!("{:?}: {problem}", peer.name));
    if !is_dns_name(&peer.name) && !is_uri(&peer.name) {
        return named("its name is neither a DNS name nor a URI, as in a certificate");
    }
    if peer.url.as_deref().is_some_and(|url| !is_url(url)) {
        return named("its url is not https://HOST:PORT");
    }
    if !(1..=IN_FLIGHT_MAX).contains(&peer.max_in_flight) {
        return named(&format!(
            "its max_in_flight has to be from 1 to {IN_FLIGHT_MAX}"
        ));
    }
    if peer.max_per_second.get() > PER_SECOND_MAX {
        return named(&format!(
            "its max_per_second has to be from 1 to {PER_SECOND_MAX}"
        ));
    }
    None
}

/// Such as `spiffe://brokers.example/b`. It is shown in logs and as a label of
/// metrics, so nothing in it needs to be escaped.
fn is_uri(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\,{}".contains(c);
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    is_scheme && text.len() <= 255 && text.chars().all(is_plain)
}

fn is_url(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let has_port = url.port_u16().is_some();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    url.scheme_str() == Some("https") && has_port && url.path() == "/" && is_address(authority)
}
