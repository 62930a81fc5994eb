//! Lists of networks, from files with one prefix a line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Maximum number of networks in a file.
const NETWORKS_MAX: usize = 1_000_000;

/// A set of networks, as sorted ranges of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkList {
    ipv4: Box<[(Ipv4Addr, Ipv4Addr)]>,
    ipv6: Box<[(Ipv6Addr, Ipv6Addr)]>,
}

/// The reason for refusing a file of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworkList {
    /// A line is neither a network nor an address.
    #[error("line {line}: must be a network such as 192.0.2.0/24 or 2001:db8::/32")]
    Line {
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// A line has bits beyond its prefix, so that it could mean another network.
    #[error("line {line}: must be a whole network, without bits beyond its prefix")]
    NotWhole {
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// There are no networks; the file may have been truncated.
    #[error("has no network in it")]
    Empty,
    /// The file has more networks than any real one.
    #[error("has more than {NETWORKS_MAX} networks")]
    TooLarge,
}

impl NetworkList {
    /// Reads a file with one network (CIDR) or address a line. Everything from a `#` on is
    /// a comment.
    ///
    /// # Errors
    /// Names the first line that is no network, but does not repeat it.
    pub fn parse(text: &str) -> Result<Self, InvalidNetworkList> {
        let lines = (1..).zip(text.lines());
        let written = lines.filter_map(|(line, text)| {
            let network = text.split('#').next().unwrap_or_default().trim();
            (!network.is_empty()).then_some((line, network))
        });
        let mut networks = Vec::new();
        for (line, text) in written {
            networks.push(network(line, text)?);
            if networks.len() > NETWORKS_MAX {
                return Err(InvalidNetworkList::TooLarge);
            }
        }
        if networks.is_empty() {
            return Err(InvalidNetworkList::Empty);
        }
        Ok(networks.into_iter().collect())
    }

    /// Returns true if the address is in one of the networks. An IPv4-mapped address is
    /// looked up as its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.ipv4, address),
            IpAddr::V6(address) => is_in(&self.ipv6, address),
        }
    }
}

fn network(line: usize, text: &str) -> Result<IpNet, InvalidNetworkList> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| InvalidNetworkList::Line { line })?;
    if network.trunc() != network {
        return Err(InvalidNetworkList::NotWhole { line });
    }
    Ok(network)
}

impl FromIterator<IpNet> for NetworkList {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => ipv4.push((network.network(), network.broadcast())),
                IpNet::V6(network) => ipv6.push((network.network(), network.broadcast())),
            }
        }
        Self {
            ipv4: outermost(ipv4),
            ipv6: outermost(ipv6),
        }
    }
}

/// The ranges that are in no other. Networks are either apart or one in the other.
fn outermost<A: Copy + Ord>(mut ranges: Vec<(A, A)>) -> Box<[(A, A)]> {
    ranges.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
    ranges.dedup_by(|later, earlier| later.1 <= earlier.1);
    ranges.into_boxed_slice()
}

fn is_in<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    let around = after.checked_sub(1).and_then(|index| ranges.get(index));
    around.is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_has_a_network_a_line() {
        let list = NetworkList::parse(
            "# relays\n192.0.2.0/24\n\n198.51.100.7 # one\n  2001:db8::/32\n192.0.2.128/25\n",
        )
        .unwrap();
        for (address, expected) in [
            ("192.0.2.0", true),
            ("192.0.2.200", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(
                list.contains(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn a_bad_line_is_named_and_not_repeated() {
        for (text, error) in [
            (
                "192.0.2.0/24\nexample\n",
                "line 2: must be a network such as 192.0.2.0/24 or 2001:db8::/32",
            ),
            (
                "#\n192.0.2.1/24\n",
                "line 2: must be a whole network, without bits beyond its prefix",
            ),
            ("# nothing\n", "has no network in it"),
        ] {
            assert_eq!(NetworkList::parse(text).unwrap_err().to_string(), error);
        }
    }

    fn networks() -> impl Strategy<Value = Vec<IpNet>> {
        let network = (any::<u32>(), 0_u8..=32).prop_map(|(bits, prefix)| {
            let address = IpAddr::from(Ipv4Addr::from_bits(bits));
            IpNet::new(address, prefix).unwrap().trunc()
        });
        proptest::collection::vec(network, 0..20)
    }

    proptest! {
        #[test]
        fn a_list_contains_what_one_of_its_networks_does(
            networks in networks(),
            strangers in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let list: NetworkList = networks.iter().copied().collect();
            let edges = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
            let strangers = strangers.iter().map(|&bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
            for address in edges.chain(strangers) {
                let expected = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(list.contains(address), expected);
            }
        }
    }
}
