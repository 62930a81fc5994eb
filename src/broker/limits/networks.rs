//! The numbers of quotas of the networks around an address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::networks::around;

/// An address (a machine or a household); its /24, such as a rented network.
const IPV4: [u32; 2] = [1, 8];
/// A user's /64; a household's /56; a site's /48.
const IPV6: [u32; 3] = [1, 4, 16];

/// The networks of an address with their factors, smallest first.
pub(super) fn networks(address: IpAddr) -> impl Iterator<Item = (IpNet, u32)> {
    let factors = match address.to_canonical() {
        IpAddr::V4(_) => &IPV4[..],
        IpAddr::V6(_) => &IPV6[..],
    };
    around(address).zip(factors.iter().copied())
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
            let addresses = ["192.0.2.1", "2001:db8::1"];
            let levels = addresses.map(|address| networks(address.parse().unwrap()));
            let quotas: Vec<String> = levels
                .into_iter()
                .flatten()
                .map(|(_, level)| thousands(level * factor))
                .collect();
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
    fn every_network_has_a_factor() {
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let address = address.parse().unwrap();
            assert_eq!(networks(address).count(), around(address).count());
        }
    }
}
