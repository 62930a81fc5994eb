//! Short texts of clients, proxies and operators: relay patterns, fingerprints, NAT types,
//! hosts.

use snowflake_broker::wire::fingerprint::Fingerprint;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::relay_pattern::RelayPattern;
use snowflake_broker::{host_port, wire};

pub(super) fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let [first, second, third] = [(); 3].map(|()| lines.next().unwrap_or_default());
    relay_patterns(first, second, third);
    if let Ok(fingerprint) = first.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
    if let Ok(nat) = first.parse::<NatType>() {
        assert_eq!(nat.as_str(), first);
    }
    let _ = (host_port::is_address(first), host_port::is_loopback(first));
    if host_port::is_dns_name(first) {
        assert!(first.len() < 256);
    }
    let _ = wire::proxy::Sid::new(first);
}

/// A proxy whose pattern covers the broker's connects to all that the broker names.
fn relay_patterns(proxys: &str, brokers: &str, host: &str) {
    let [proxys, ours] = [proxys, brokers].map(RelayPattern::from);
    if proxys.is_superset_of(&ours) && ours.accepts(host) {
        assert!(proxys.accepts(host));
    }
    if let Ok(checked) = RelayPattern::checked(brokers) {
        assert_eq!(checked, ours);
        assert!(checked.is_superset_of(&checked));
    }
}
