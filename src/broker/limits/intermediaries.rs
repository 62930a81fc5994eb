//! The known intermediaries, which forward the requests of many senders.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{AddrParseError, IpNet};
use serde::{Deserialize, Serialize};

/// The networks from which AMP caches send requests: a single network, or all of
/// Google's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Intermediary {
    /// The networks of [`GOOGLE`], written `google`.
    Google,
    /// One network, in CIDR notation.
    Network(IpNet),
}

impl Intermediary {
    /// Returns true if the address is in these networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Google => GOOGLE.iter().any(|net| net.contains(&address)),
            Self::Network(net) => net.contains(&address),
        }
    }
}

/// The networks of Google's own services, from which its AMP cache fetches.
///
/// Source: `https://www.gstatic.com/ipranges/goog.json`, which lists all networks that
/// Google announces, as published on 2023-02-16, on 2023-11-08 and about 2025-01-01.
/// These networks are in all three versions and do not overlap `cloud.json` beside it
/// (about 2025-01-01). The networks of Google Cloud, where anyone can rent an address,
/// are left out.
pub const GOOGLE: [IpNet; 20] = [
    v4([64, 233, 160, 0], 19),
    v4([66, 102, 0, 0], 20),
    v4([66, 249, 64, 0], 19),
    v4([72, 14, 192, 0], 18),
    v4([74, 125, 0, 0], 16),
    v4([108, 177, 0, 0], 17),
    v4([142, 250, 0, 0], 15),
    v4([172, 217, 0, 0], 16),
    v4([172, 253, 0, 0], 16),
    v4([173, 194, 0, 0], 16),
    v4([192, 178, 0, 0], 15),
    v4([209, 85, 128, 0], 17),
    v4([216, 58, 192, 0], 19),
    v4([216, 239, 32, 0], 19),
    v6(0x2001, 0x4860),
    v6(0x2404, 0x6800),
    v6(0x2607, 0xf8b0),
    v6(0x2800, 0x03f0),
    v6(0x2a00, 0x1450),
    v6(0x2c0f, 0xfb50),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

/// A /32, the size of all these IPv6 networks.
const fn v6(first: u16, second: u16) -> IpNet {
    let address = Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0);
    IpNet::new_assert(IpAddr::V6(address), 32)
}

/// The error for a text that is neither a network nor a known name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a network, such as 192.0.2.0/24, or google, not {written:?}")]
pub struct InvalidIntermediary {
    written: String,
    source: AddrParseError,
}

impl TryFrom<String> for Intermediary {
    type Error = InvalidIntermediary;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        if written == "google" {
            return Ok(Self::Google);
        }
        match written.parse() {
            Ok(net) => Ok(Self::Network(net)),
            Err(source) => Err(InvalidIntermediary { written, source }),
        }
    }
}

impl From<Intermediary> for String {
    fn from(intermediary: Intermediary) -> Self {
        intermediary.to_string()
    }
}

impl fmt::Display for Intermediary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Google => formatter.write_str("google"),
            Self::Network(net) => net.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_networks_or_as_google() {
        for written in ["google", "192.0.2.0/24", "2001:db8::/32"] {
            let read = Intermediary::try_from(written.to_owned()).unwrap();
            assert_eq!(String::from(read), written);
        }
        let invalid = Intermediary::try_from("gogle".to_owned()).unwrap_err();
        let message = "must be a network, such as 192.0.2.0/24, or google, not \"gogle\"";
        assert_eq!(invalid.to_string(), message);
    }

    #[test]
    fn googles_networks_are_documented() {
        let known: Vec<String> = GOOGLE.iter().map(ToString::to_string).collect();
        let block = format!("```text\n{}\n```\n", known.join("\n"));
        assert!(include_str!("../../../docs/limits.md").contains(&block));
    }

    #[test]
    fn googles_networks_are_whole_and_apart() {
        for net in GOOGLE {
            assert_eq!(net, net.trunc());
            let containing = GOOGLE.iter().filter(|other| other.contains(&net));
            assert_eq!(containing.count(), 1, "{net}");
        }
    }

    #[test]
    fn googles_crawlers_are_in_and_machines_that_it_rents_out_are_not() {
        let contains = |address: &str| Intermediary::Google.contains(address.parse().unwrap());
        assert!(contains("66.249.83.1"));
        assert!(contains("::ffff:66.249.83.1"));
        assert!(contains("2a00:1450:4000::1"));
        for rented in ["34.64.1.1", "35.190.1.1", "104.196.1.1", "2600:1900::1"] {
            assert!(!contains(rented), "{rented}");
        }
    }
}
