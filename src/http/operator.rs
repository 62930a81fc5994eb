//! Access to all metrics: on the operator's own addresses, and on the public port from
//! the operator's networks.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use crate::host_port::{self, is_address};
use crate::listener::{RemoteAddress, addresses};
use crate::report::SettingsReport;
use crate::wire::public_address::public;

use super::client_address::{ClientAddress, client_address};

/// The default address of the operator endpoints, if no other program listens there. Only
/// this machine can reach it.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9580";

/// The addresses of the operator endpoints, and the networks of operators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The addresses of the operator endpoints (plain HTTP).
    #[serde(skip_serializing_if = "OperatorListen::is_default")]
    pub listen: OperatorListen,
    /// The networks (CIDR) that get all metrics on the public port, too.
    pub networks: Vec<IpNet>,
}

impl Settings {
    /// Reports mistakes, and settings that reveal too much to strangers.
    pub fn check(&self, report: &mut SettingsReport) {
        let addresses = self.listen.addresses();
        if let Some(wrong) = addresses.iter().find(|addr| !is_address(addr)) {
            let problem = format!(
                "{}, a list of these, or off; {wrong:?} is none",
                host_port::EXPECTED
            );
            report.refuse(&["listen"], problem);
        } else if let Some(open) = addresses.iter().find(|addr| is_open(addr)) {
            report.warn(
                &["listen"],
                format!(
                    "other machines reach {open}, unless a firewall keeps them out, and exact counts \
                     show them when somebody uses Snowflake: listen on a private address"
                ),
            );
        }
        report.networks("networks", &self.networks);
        if self
            .networks
            .iter()
            .any(|network| network.prefix_len() == 0)
        {
            report.warn(
                &["networks"],
                "lets everybody see all metrics: exact counts show when somebody uses Snowflake",
            );
        }
    }
}

/// Returns true if strangers may reach an address and port. For names, this is unknown.
fn is_open(addr: &str) -> bool {
    let is_open = |ip: IpAddr| ip.is_unspecified() || public(ip).is_some();
    let has_open_ip = |addr: SocketAddr| is_open(addr.ip());
    addr.starts_with(':') || addr.parse().is_ok_and(has_open_ip)
}

/// The addresses of the operator endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OperatorListen {
    /// [`DEFAULT_ADDRESS`], or none if it is taken.
    #[default]
    IfPossible,
    /// These addresses and ports; none if the list is empty.
    At(Vec<String>),
}

impl OperatorListen {
    fn is_default(&self) -> bool {
        *self == Self::IfPossible
    }

    /// Returns true if the endpoints are turned off.
    pub fn is_off(&self) -> bool {
        *self == Self::At(Vec::new())
    }

    /// The configured addresses.
    pub fn addresses(&self) -> &[String] {
        match self {
            Self::IfPossible => &[],
            Self::At(addresses) => addresses,
        }
    }
}

/// Reads a list, or a string with commas.
impl<'de> Deserialize<'de> for OperatorListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        addresses::deserialize_or_off(deserializer).map(Self::At)
    }
}

/// Headers by which reverse proxies mark a request as forwarded.
const FORWARDING: [&str; 12] = [
    "cdn-loop",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "fastly-client-ip",
    "cf-connecting-ip",
];

/// Returns true if a request to the public port comes from one of these networks.
///
/// Only the address of a direct peer is believed, or one named by a trusted proxy: a
/// stranger can write any header, and behind a reverse proxy on this machine all
/// strangers come from the loopback.
pub(super) fn is_from(networks: &[IpNet], head: &Parts, settings: &super::Settings) -> bool {
    let Some(RemoteAddress(peer)) = head.extensions.get() else {
        return false;
    };
    let peer = peer.ip().to_canonical();
    let is_ours = |address: IpAddr| networks.iter().any(|network| network.contains(&address));
    match client_address(peer, &head.headers, settings) {
        ClientAddress::Direct(address) => {
            !settings.is_trusted(peer) && !is_forwarded(&head.headers) && is_ours(address)
        }
        ClientAddress::Forwarded(address) => settings.is_trusted(peer) && is_ours(address),
        ClientAddress::Hidden(_) | ClientAddress::Itself(_) | ClientAddress::Claimed { .. } => {
            false
        }
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(*name))
}
