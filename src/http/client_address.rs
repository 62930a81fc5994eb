//! Who really sends a request that comes by way of reverse proxies.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use super::Settings;
use crate::wire::public_address::public;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from; IPv4 in IPv6 as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// From the peer: no header says that it forwards.
    Direct(IpAddr),
    /// From behind the peer, whose address this is: there is a forwarding
    /// header, but nothing in it that is both believed and public.
    Hidden(IpAddr),
    /// From the address that a believed forwarding header names.
    Forwarded(IpAddr),
}

impl ClientAddress {
    /// The address to count, locate and limit by.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Direct(ip) | Self::Hidden(ip) | Self::Forwarded(ip) => ip,
        }
    }

    /// Whether the request comes from this machine itself, and not from a
    /// reverse proxy on it.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Direct(ip) if ip.is_loopback())
    }
}

/// Who sends a request with these `headers` over a connection from `peer`.
///
/// `Forwarded` (RFC 7239) counts, or where it names no public address
/// `X-Forwarded-For`; all lines of a header are one list. Every reverse proxy
/// appends the address it was called from, so the entries on the right are
/// those that a stranger cannot write:
///
/// 1. with `trusted_proxies`, a peer that is none of them is not believed;
/// 2. entries on the right that are among `trusted_proxies` are skipped: what
///    is left of such an entry is that proxy's word;
/// 3. of the rest the last `trusted_hops` entries are believed, whatever is in
///    them (none with 0), and the leftmost public address among them counts.
///
/// A reverse proxy that writes only `X-Forwarded-For` has to remove the
/// `Forwarded` that a stranger sends.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, settings: &Settings) -> ClientAddress {
    let peer = peer.to_canonical();
    let is_sent = |header| headers.contains_key(header);
    if !is_sent(&FORWARDED) && !is_sent(&X_FORWARDED_FOR) {
        return ClientAddress::Direct(peer);
    }
    let believed = |header, read| believed(peer, headers, header, read, settings);
    believed(FORWARDED, forwarded_for)
        .or_else(|| believed(X_FORWARDED_FOR, node))
        .map_or(ClientAddress::Hidden(peer), ClientAddress::Forwarded)
}

fn believed(
    peer: IpAddr,
    headers: &HeaderMap,
    header: HeaderName,
    read: fn(&[u8]) -> Option<IpAddr>,
    settings: &Settings,
) -> Option<IpAddr> {
    if !settings.believes(peer) {
        return None;
    }
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

/// The parts of a list, the last one first, cut at separators outside of quoted
/// strings (RFC 9110 section 5.6.4). Read from the right, a quote that a
/// stranger left open on the left cannot swallow what was appended.
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

/// Whether what follows `before` in a quoted string is escaped.
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

/// The address of a node (RFC 7239 section 6), `None` for `unknown` and for
/// names. Brackets around IPv6, quotes, port and zone may be there or not.
fn node(value: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(value.trim_ascii()).ok()?;
    let text = text.trim_matches('"');
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
