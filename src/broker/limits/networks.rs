//! The networks that an address is in, as far as somebody may have a whole one.

use std::net::IpAddr;

use ipnet::IpNet;

/// One network around an address, and how many quotas of one address it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    prefix: u8,
    /// How many times the quota of one address.
    pub(super) factor: u32,
}

/// A machine or a household; a rented network of 256.
const IPV4: [Level; 2] = [
    Level {
        prefix: 32,
        factor: 1,
    },
    Level {
        prefix: 24,
        factor: 8,
    },
];

/// One network of one user; what a provider gives a household; a site.
const IPV6: [Level; 3] = [
    Level {
        prefix: 64,
        factor: 1,
    },
    Level {
        prefix: 56,
        factor: 4,
    },
    Level {
        prefix: 48,
        factor: 16,
    },
];

/// The most networks that an address is in.
pub(super) const MOST_LEVELS: usize = IPV6.len();

/// The networks of an address, the smallest first; IPv4 in IPv6 as IPv4.
pub(super) fn networks(address: IpAddr) -> impl Iterator<Item = (IpNet, u32)> {
    let address = address.to_canonical();
    let levels = match address {
        IpAddr::V4(_) => &IPV4[..],
        IpAddr::V6(_) => &IPV6[..],
    };
    levels
        .iter()
        .map(move |level| (network(address, level.prefix), level.factor))
}

/// The smallest of them: what belongs to one user.
pub(super) fn smallest(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let prefix = match address {
        IpAddr::V4(_) => IPV4[0].prefix,
        IpAddr::V6(_) => IPV6[0].prefix,
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
    fn the_quotas_of_networks_are_documented() {
        let documentation = include_str!("../../../docs/limits.md");
        let settings = crate::broker::limits::Settings::default();
        for (whose, factor) in [
            ("a sender", 1),
            ("`limits.unconfirmed_factor`)", settings.unconfirmed_factor),
            (
                "`limits.intermediary_factor`)",
                settings.intermediary_factor,
            ),
            ("for each such peer", 1),
            ("or SQS", 1),
        ] {
            let levels = IPV4.iter().chain(&IPV6);
            let quotas = levels.map(|level| thousands(level.factor * factor));
            let quotas: Vec<String> = quotas.collect();
            let row = format!("{whose} | {} |\n", quotas.join(" | "));
            assert!(documentation.contains(&row), "{row}");
        }
    }

    fn thousands(number: u32) -> String {
        match number {
            1_000.. => format!("{},{:03}", number / 1_000, number % 1_000),
            _ => number.to_string(),
        }
    }

    #[test]
    fn each_network_contains_the_one_before_it_and_has_more() {
        for (address, expected) in [
            (
                "192.0.2.77",
                &[("192.0.2.77/32", 1), ("192.0.2.0/24", 8)][..],
            ),
            (
                "::ffff:192.0.2.77",
                &[("192.0.2.77/32", 1), ("192.0.2.0/24", 8)],
            ),
            (
                "2001:db8:1:2345::9",
                &[
                    ("2001:db8:1:2345::/64", 1),
                    ("2001:db8:1:2300::/56", 4),
                    ("2001:db8:1::/48", 16),
                ],
            ),
        ] {
            let address = address.parse().unwrap();
            let expected: Vec<(IpNet, u32)> = expected
                .iter()
                .map(|(net, factor)| (net.parse().unwrap(), *factor))
                .collect();
            assert_eq!(networks(address).collect::<Vec<_>>(), expected);
            assert_eq!(smallest(address), expected[0].0);
        }
    }
}
