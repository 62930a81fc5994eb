//! Public IP addresses, as opposed to special-purpose ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address if it is public; an IPv4-mapped address (`::ffff:a.b.c.d`) is returned as
/// IPv4. `None` for addresses that IANA's special-purpose registries (RFC 6890) and RFC
/// 1112 and 4291 exclude: loopback, private, link-local, shared (CGNAT), documentation,
/// benchmarking, multicast, unspecified, reserved and translated addresses.
pub fn public(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let is_public = match address {
        IpAddr::V4(v4) => !is_special_v4(v4),
        IpAddr::V6(v6) => is_global_unicast(v6) && !is_special_v6(v6),
    };
    is_public.then_some(address)
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    matches!(
        address.octets(),
        // This network, private, loopback, multicast, reserved, broadcast.
        [0 | 10 | 127 | 224..=255, ..] | [172, 16..=31, ..] | [192, 168, ..]
            // Link-local (RFC 3927), shared between a carrier's customers (RFC 6598).
            | [169, 254, ..] | [100, 64..=127, ..]
            // IETF assignments, documentation (RFC 5737).
            | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _]
            // Benchmarking (RFC 2544), the former 6to4 relays (RFC 7526).
            | [198, 18 | 19, ..] | [192, 88, 99, _]
    )
}

/// Returns true if an address is in `2000::/3`, which contains all public addresses.
fn is_global_unicast(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x2000..=0x3fff, ..])
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    matches!(
        address.segments(),
        // IETF assignments (RFC 2928: Teredo, ORCHID, benchmarking) and
        // documentation (RFC 3849, 9637).
        [0x2001, ..0x200 | 0xdb8, ..] | [0x3fff, ..0x1000, ..]
            // 6to4 (RFC 7526: deprecated).
            | [0x2002, ..]
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_public(text: &str) -> bool {
        public(text.parse().unwrap()).is_some()
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::808:808",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff:fff::1",
            "4000::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text), "{text}");
        }
    }

    #[test]
    fn neighbours_of_special_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.0",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "203.0.112.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:db9::1",
            "2003::1",
            "2a00:1450::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_std_knows_to_be_special_is_not_public(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_multicast()
                || v4.is_unspecified();
            prop_assert!(!special || public(v4.into()).is_none());
            prop_assert_eq!(public(v4.to_ipv6_mapped().into()), public(v4.into()));
        }
    }
}
