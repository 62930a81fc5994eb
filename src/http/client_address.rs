//! The real sender of a request that arrives through reverse proxies.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use crate::wire::public_address::public;

use super::settings::{ForwardedBy, Settings};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from, with IPv4-mapped addresses as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The peer: no header says that it forwards.
    Direct(IpAddr),
    /// The peer, as far as is known: it claims to forward, but is not believed or names
    /// no address.
    Itself(IpAddr),
    /// The address named by a header that is believed.
    Forwarded(IpAddr),
    /// The address named by a header of a peer that could be anyone.
    Claimed {
        /// The peer.
        peer: IpAddr,
        /// The address that the peer names.
        claimed: IpAddr,
    },
    /// Unknown: this reverse proxy of ours names no address.
    Hidden(IpAddr),
}

impl ClientAddress {
    /// The address used for counting and geolocation.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Direct(ip) | Self::Itself(ip) | Self::Hidden(ip) | Self::Forwarded(ip) => ip,
            Self::Claimed { claimed, .. } => claimed,
        }
    }
}

/// The sender of a request with these `headers` over a connection from `peer`.
///
/// Only the header that [`Settings::forwarded_by`] names is read:
///
/// - If `trusted_proxies` is set, the header is believed only from these networks.
/// - If it is empty, the header is believed from this machine; from any other peer it is a
///   claim.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, settings: &Settings) -> ClientAddress {
    let peer = peer.to_canonical();
    let named = || named(headers, settings);
    if settings.is_trusted(peer) {
        return named().map_or(ClientAddress::Hidden(peer), ClientAddress::Forwarded);
    }
    if !forwards(headers, settings) {
        return ClientAddress::Direct(peer);
    }
    if !settings.trusted_proxies.is_empty() || !settings.reads_headers() {
        return ClientAddress::Itself(peer);
    }
    match named() {
        // A reverse proxy on this machine: strangers do not connect from the loopback.
        named if peer.is_loopback() => {
            named.map_or(ClientAddress::Hidden(peer), ClientAddress::Forwarded)
        }
        Some(claimed) if claimed != peer => ClientAddress::Claimed { peer, claimed },
        _ => ClientAddress::Itself(peer),
    }
}

/// Returns true if any forwarding header is present. A header that is not read still
/// distinguishes a reverse proxy on this machine from the machine itself.
fn forwards(headers: &HeaderMap, settings: &Settings) -> bool {
    let is_sent = |header: &HeaderName| headers.contains_key(header);
    is_sent(&FORWARDED)
        || is_sent(&X_FORWARDED_FOR)
        || matches!(&settings.forwarded_by, ForwardedBy::Header(name) if is_sent(name))
}

/// The public address that the header names.
///
/// All lines of `Forwarded` (RFC 7239) or `X-Forwarded-For` form one list. Every reverse
/// proxy appends the address of its own peer, so a stranger cannot write the entries on
/// the right:
///
/// 1. Entries on the right that are in `trusted_proxies` are skipped: each of these
///    proxies wrote the entry to its left.
/// 2. The next `trusted_hops` entries are believed, whatever they contain (none with 0),
///    and the leftmost public address among them is the result.
///
/// Any other header holds a single address, which the reverse proxy has set in place of
/// the sender's own header; if there are several lines, none is believed.
fn named(headers: &HeaderMap, settings: &Settings) -> Option<IpAddr> {
    match &settings.forwarded_by {
        ForwardedBy::None => None,
        ForwardedBy::XForwardedFor => last_of_list(headers, &X_FORWARDED_FOR, node, settings),
        ForwardedBy::Forwarded => last_of_list(headers, &FORWARDED, forwarded_for, settings),
        ForwardedBy::Header(name) => {
            let mut lines = headers.get_all(name).iter();
            let line = lines.next().filter(|_| settings.trusted_hops > 0)?;
            let is_only = lines.next().is_none();
            public(node(line.as_bytes()).filter(|_| is_only)?)
        }
    }
}

fn last_of_list(
    headers: &HeaderMap,
    header: &HeaderName,
    read: fn(&[u8]) -> Option<IpAddr>,
    settings: &Settings,
) -> Option<IpAddr> {
    let is_proxy = |address| settings.is_trusted(address);
    let lines = headers.get_all(header).iter().rev();
    lines
        .flat_map(|line| from_the_right(line.as_bytes(), b','))
        .filter(|entry| !entry.trim_ascii().is_empty())
        .map(read)
        .skip_while(|address| address.is_some_and(is_proxy))
        .take(settings.trusted_hops)
        .filter_map(|address| public(address?))
        .last()
}

/// The elements of a list from last to first, split at separators outside quoted strings
/// (RFC 9110, section 5.6.4). Reading from the right, a quote that a stranger left open
/// on the left cannot swallow the appended elements.
fn from_the_right(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    iter::from_fn(move || {
        let list = rest?;
        let Some(at) = last_separator(list, separator) else {
            rest = None;
            return Some(list);
        };
        rest = Some(&list[..at]);
        Some(&list[at + 1..])
    })
}

fn last_separator(list: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    for (at, &byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' if !quoted => quoted = true,
            b'"' => quoted = is_escaped(&list[..at]),
            _ if byte == separator && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns true if the character after `before` in a quoted string is escaped.
fn is_escaped(before: &[u8]) -> bool {
    let slashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
    slashes.count() % 2 == 1
}

/// The address in `for=` of one element of `Forwarded`.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    from_the_right(element, b';').find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"for")
            .then(|| node(value))?
    })
}

/// The address of a node (RFC 7239, section 6); `None` for `unknown` and for names.
/// Brackets around IPv6, quotes, port and zone are optional.
fn node(value: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(value.trim_ascii()).ok()?.trim_matches('"');
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        parse_v6(bracketed.split_once(']')?.0)
    } else {
        parse_v4(text).or_else(|| parse_v6(text))
    };
    address.map(|address| address.to_canonical())
}

fn parse_v4(text: &str) -> Option<IpAddr> {
    let address = text.split_once(':').map_or(text, |(address, _)| address);
    address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn parse_v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests;
