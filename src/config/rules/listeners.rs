//! The addresses of all listeners together: no two may share a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

use crate::config::schema::Config;
use crate::grpc::settings::AdminListen;
use crate::host_port::is_address;
use crate::http::operator::{self, OperatorListen};
use crate::report::SettingsReport;
use crate::tls::acme;

/// The consequence if an optional address is not available.
pub const WITHOUT_HTTP_01: &str = "host names are proven by tls-alpn-01 only";

/// An address where the broker will listen.
#[derive(Clone, Copy, Debug)]
pub struct ListeningPlace<'a> {
    /// The setting.
    pub key: &'static str,
    /// The socket's name in [`crate::listener::SOCKETS`], if it may be passed.
    socket: &'static str,
    /// The address and port.
    pub addr: &'a str,
    /// True if the broker starts without it, with a warning.
    pub is_optional: bool,
}

/// Refuses two listeners on one port.
pub(super) fn check(config: &Config, report: &mut SettingsReport) {
    let mut before: Vec<ListeningPlace<'_>> = Vec::new();
    for listener in listening_places(config) {
        if !is_address(listener.addr) {
            continue;
        }
        let clash = before.iter().find(|other| clash(other.addr, listener.addr));
        if let Some(other) = clash {
            tell(report, &listener, other);
        }
        before.push(listener);
    }
    // The operator's default would be opened first.
    let is_taken = |addr: &&String| clash(operator::DEFAULT_ADDRESS, addr);
    let status = config.status.listen.iter().find(is_taken);
    if let Some(addr) = status.filter(|_| config.operator.listen == OperatorListen::IfPossible) {
        let problem = format!("{addr} has the port of operator.listen: set another port");
        report.refuse(&["status.listen", "operator.listen"], problem);
    }
}

/// The configured addresses, without the operator's default, which is skipped if another
/// program listens there. Sockets expected from the service manager are left out: the
/// broker does not use their addresses. HTTP-01 comes last, since it is opened last.
pub fn listening_places(config: &Config) -> impl Iterator<Item = ListeningPlace<'_>> {
    let listener = |key, socket, addr| ListeningPlace {
        key,
        socket,
        addr,
        is_optional: false,
    };
    let Config { acme, admin, .. } = config;
    let public = [&*config.listener.addr].into_iter();
    let admin = admin.listen().into_iter().filter_map(AdminListen::address);
    let peers = config.federation.listen.as_deref().into_iter();
    let operators = config.operator.listen.addresses().iter();
    let status = config.status.listen.iter();
    let probes = config.probe.listen.iter();
    let challenges = [&*acme.http_addr]
        .into_iter()
        .filter(|addr| !acme.hostnames.is_empty() && !addr.is_empty());
    let expected = &config.listener.expected_sockets;
    let is_ours = |place: &ListeningPlace<'_>| !expected.iter().any(|name| name == place.socket);
    public
        .map(move |addr| listener("listener.addr", "http", addr))
        .chain(admin.map(move |addr| listener("admin.listen", "admin", addr)))
        .chain(peers.map(move |addr| listener("federation.listen", "federation", addr)))
        .chain(operators.map(move |addr| listener("operator.listen", "operator", addr)))
        .chain(status.map(move |addr| listener("status.listen", "status", addr)))
        .chain(probes.map(move |addr| listener("probe.listen", "probe", addr)))
        .chain(challenges.map(move |addr| ListeningPlace {
            is_optional: acme.tls_alpn,
            ..listener("acme.http_addr", "acme", addr)
        }))
        .filter(is_ours)
}

fn tell(report: &mut SettingsReport, listener: &ListeningPlace<'_>, other: &ListeningPlace<'_>) {
    let (addr, keys) = (listener.addr, [listener.key, other.key]);
    let problem = format!("{addr} has the port of {} ({})", other.key, other.addr);
    if listener.is_optional && addr == acme::Settings::default().http_addr {
        report.warn(&keys, format!("{problem}: {WITHOUT_HTTP_01}"));
    } else {
        report.refuse(&keys, format!("{problem}: set another port"));
    }
}

/// Returns true if a program cannot listen on both.
fn clash(one: &str, other: &str) -> bool {
    let ((one, one_port), (other, other_port)) = (Host::parse(one), Host::parse(other));
    // For port 0, the system chooses a different port each time.
    one_port == other_port && one_port != Some(0) && one.overlaps(&other)
}

/// The host part of an address.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// One address, with the IPv6 scope.
    Address(IpAddr, u32),
    /// All addresses of the machine.
    Everywhere,
    /// All IPv4 addresses.
    EverywhereOfIpv4,
    /// Both loopback addresses.
    Localhost,
    /// A name that needs a resolver.
    Name(String),
}

impl Host {
    /// The host and port of an address that passed [`is_address`].
    fn parse(addr: &str) -> (Self, Option<u16>) {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
        let host = match (addr.parse::<SocketAddrV6>(), host.parse::<IpAddr>()) {
            (Ok(addr), _) => Self::of(addr.ip().to_canonical(), addr.scope_id()),
            (_, Ok(ip)) => Self::of(ip, 0),
            _ => Self::named(host),
        };
        (host, port.parse().ok())
    }

    fn of(ip: IpAddr, scope: u32) -> Self {
        match ip {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Self::Everywhere,
            ip if ip.is_unspecified() => Self::EverywhereOfIpv4,
            ip => Self::Address(ip, scope),
        }
    }

    fn named(host: &str) -> Self {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match &*name {
            "" => Self::Everywhere,
            "localhost" => Self::Localhost,
            _ => Self::Name(name),
        }
    }

    /// Returns true if both have an address in common, as far as known. Any name may
    /// overlap with a wildcard.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::EverywhereOfIpv4, Self::Address(ip, _))
            | (Self::Address(ip, _), Self::EverywhereOfIpv4) => ip.is_ipv4(),
            (Self::Everywhere | Self::EverywhereOfIpv4, _)
            | (_, Self::Everywhere | Self::EverywhereOfIpv4) => true,
            (Self::Localhost, Self::Address(ip, _)) | (Self::Address(ip, _), Self::Localhost) => {
                is_localhost(*ip)
            }
            (one, other) => one == other,
        }
    }
}

/// The two addresses to which every resolver resolves `localhost`.
fn is_localhost(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::clash;

    #[test]
    fn addresses_on_one_port_are_told_from_others() {
        for (one, other) in [
            (":443", ":443"),
            (":443", "127.0.0.1:443"),
            (":443", "0.0.0.0:443"),
            (":443", "[2001:db8::1]:0443"),
            ("[::]:443", "192.0.2.1:443"),
            ("[::]:443", "a.example:443"),
            ("0.0.0.0:443", "192.0.2.1:443"),
            ("0.0.0.0:443", "localhost:443"),
            ("192.0.2.1:443", "[::ffff:192.0.2.1]:443"),
            ("[::1]:443", "[0:0::1]:443"),
            ("localhost:443", "127.0.0.1:443"),
            ("localhost:443", "[::1]:443"),
            ("A.example:443", "a.example.:443"),
        ] {
            assert!(clash(one, other) && clash(other, one), "{one} {other}");
        }
        for (one, other) in [
            (":443", ":444"),
            (":0", ":0"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("127.0.0.1:1", "[::1]:1"),
            ("0.0.0.0:1", "[::1]:1"),
            ("[fe80::1%1]:1", "[fe80::1%2]:1"),
            ("localhost:1", "127.0.0.2:1"),
            ("a.example:1", "b.example:1"),
        ] {
            assert!(!clash(one, other) && !clash(other, one), "{one} {other}");
        }
    }
}
