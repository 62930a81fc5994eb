//! The networks that an address is in, as far as somebody may have a whole one: what
//! limits and accounts go by.

use std::net::IpAddr;

use ipnet::IpNet;

/// Lengths of the prefixes, from an address on outward. A customer has an IPv4
/// address, or of IPv6 a /64 or, with a household, a /56; a /24 and a /48 are the
/// smallest networks that are routed by themselves, and can be rented.
const IPV4: [u8; 2] = [32, 24];
const IPV6: [u8; 3] = [64, 56, 48];

/// The most networks that an address is in.
pub const LEVELS: usize = IPV6.len();

/// The networks of an address, the smallest first; IPv4 in IPv6 as IPv4.
pub fn around(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let address = address.to_canonical();
    let prefixes = match address {
        IpAddr::V4(_) => &IPV4[..],
        IpAddr::V6(_) => &IPV6[..],
    };
    prefixes.iter().map(move |prefix| network(address, *prefix))
}

/// The smallest of them: what belongs to one user.
pub fn smallest(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = match address {
        IpAddr::V4(_) => IPV4[0],
        IpAddr::V6(_) => IPV6[0],
    };
    network(address, prefix)
}

/// The network of one customer at most: an IPv4 address, or of IPv6 a /48.
pub fn site(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = match address {
        IpAddr::V4(_) => IPV4[0],
        IpAddr::V6(_) => IPV6[LEVELS - 1],
    };
    network(address, prefix)
}

fn network(address: IpAddr, prefix: u8) -> IpNet {
    // The prefixes above are none that is too long.
    IpNet::new(address, prefix).map_or(IpNet::from(address), |net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_contains_the_one_before_it() {
        for (address, expected) in [
            ("192.0.2.77", &["192.0.2.77/32", "192.0.2.0/24"][..]),
            ("::ffff:192.0.2.77", &["192.0.2.77/32", "192.0.2.0/24"]),
            (
                "2001:db8:1:2345::9",
                &[
                    "2001:db8:1:2345::/64",
                    "2001:db8:1:2300::/56",
                    "2001:db8:1::/48",
                ],
            ),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let expected: Vec<IpNet> = expected.iter().map(|net| net.parse().unwrap()).collect();
            assert_eq!(around(address).collect::<Vec<_>>(), expected);
            assert_eq!(smallest(address), expected[0]);
            assert!(around(address).all(|net| net.contains(&address.to_canonical())));
            assert!(expected.len() <= LEVELS);
        }
    }
}
