//! Settings of the probe server.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::ports::PortRange;
use crate::host_port::{self, is_address};
use crate::listener::addresses;
use crate::metrics::labels::NatProbeMode;
use crate::report::SettingsReport;
use crate::wire::public_address::public;

/// The bounds of [`Settings::max_probes`] and [`Settings::max_probes_per_address`].
const PROBES: RangeInclusive<usize> = 1..=10_000;
/// The most addresses that are of use.
const ADDRESSES_MAX: usize = 2;

/// The probe server, which tells proxies their NAT type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The addresses of its HTTP endpoint; none turns it off. Served with the broker's
    /// certificate.
    #[serde(
        deserialize_with = "addresses::deserialize_or_off",
        serialize_with = "addresses::serialize",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub listen: Vec<String>,
    /// The IP addresses of this machine from which probes are sent: the first tells
    /// proxies where to send, the last never does.
    pub addresses: Vec<IpAddr>,
    /// The UDP ports of probes, one for each.
    pub ports: PortRange,
    /// The maximum number of probes under way.
    pub max_probes: usize,
    /// The maximum number of probes under way for one address (IPv6: one /64); its /24 or
    /// /56 may have 4 times as many, its /48 8 times.
    pub max_probes_per_address: usize,
}

impl Settings {
    /// Returns true if there is a probe server.
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }

    /// The address from which probes of this mode are sent.
    pub fn address(&self, mode: NatProbeMode) -> Option<IpAddr> {
        match mode {
            NatProbeMode::Strict => self.addresses.last().copied(),
            NatProbeMode::Moderate => self.addresses.first().copied(),
        }
    }

    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        if let Some(wrong) = self.listen.iter().find(|addr| !is_address(addr)) {
            let problem = format!(
                "{}, a list of these, or off; {wrong:?} is none",
                host_port::EXPECTED
            );
            report.refuse(&["listen"], problem);
        }
        report.refuse_if("addresses", self.wrong_addresses());
        let unreachable = |address: &&IpAddr| public(**address).is_none();
        if let Some(address) = self.addresses.iter().find(unreachable) {
            let problem = format!(
                "has {address}, which is no public address: no proxy elsewhere can be probed from it"
            );
            report.warn(&["addresses"], problem);
        }
        report.within("max_probes", self.max_probes, &PROBES);
        report.within(
            "max_probes_per_address",
            self.max_probes_per_address,
            &PROBES,
        );
        if self.ports.len() < self.max_probes {
            let problem = format!(
                "has {} ports, and each of probe.max_probes ({}) needs one",
                self.ports.len(),
                self.max_probes
            );
            report.refuse(&["ports", "max_probes"], problem);
        }
    }

    fn wrong_addresses(&self) -> Option<String> {
        let (mut addresses, is_ipv4) = (self.addresses.iter(), IpAddr::is_ipv4);
        match &self.addresses[..] {
            [] if self.is_on() => Some(
                "must name an address of this machine, or better two, which proxies reach without a \
                 NAT in between: probe.listen is set"
                    .to_owned(),
            ),
            _ if self.addresses.len() > ADDRESSES_MAX => {
                Some("must name one address or two".to_owned())
            }
            [one, other] if one == other => Some("must name two different addresses".to_owned()),
            [one, other] if is_ipv4(one) != is_ipv4(other) => {
                Some("must both be IPv4 or both IPv6".to_owned())
            }
            _ => addresses
                .find(|address| address.is_unspecified() || address.is_multicast())
                .map(|wrong| format!("must name addresses of this machine; {wrong} is none")),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            addresses: Vec::new(),
            ports: PortRange::default(),
            max_probes: 100,
            max_probes_per_address: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: &Settings) -> Vec<String> {
        let mut report = SettingsReport::default();
        report.section("probe", |report| settings.check(report));
        let issues = report.errors.iter();
        issues
            .map(|issue| format!("{}: {issue}", issue.keys[0]))
            .collect()
    }

    fn settings(addresses: &[&str]) -> Settings {
        Settings {
            listen: vec![":8443".to_owned()],
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn addresses_that_no_proxy_reaches_are_warned_of() {
        let warnings = |addresses: &[&str]| {
            let mut report = SettingsReport::default();
            settings(addresses).check(&mut report);
            report.warnings.len()
        };
        assert_eq!(warnings(&["5.1.0.7", "5.1.0.8"]), 0);
        for private in ["10.0.0.8", "127.0.0.1", "100.64.0.1", "169.254.0.1"] {
            assert_eq!(warnings(&["5.1.0.7", private]), 1, "{private}");
        }
    }

    #[test]
    fn the_key_at_fault_is_named() {
        for (settings, problem) in [
            (settings(&[]), "probe.addresses: must name an address"),
            (settings(&["192.0.2.1", "::1"]), "both be IPv4 or both IPv6"),
            (settings(&["192.0.2.1", "192.0.2.1"]), "two different"),
            (settings(&["0.0.0.0"]), "0.0.0.0 is none"),
            (
                settings(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
                "one address or two",
            ),
            (
                Settings {
                    listen: vec!["8443".to_owned()],
                    ..settings(&["192.0.2.1"])
                },
                "probe.listen: must be",
            ),
            (
                Settings {
                    ports: PortRange::new(50_000, 50_009).unwrap(),
                    ..settings(&["192.0.2.1"])
                },
                "probe.ports: has 10 ports",
            ),
            (
                Settings {
                    max_probes_per_address: 0,
                    ..settings(&["192.0.2.1"])
                },
                "probe.max_probes_per_address: must be between 1 and",
            ),
        ] {
            let found = problems(&settings);
            assert!(
                found.len() == 1 && found[0].contains(problem),
                "{problem}: {found:?}"
            );
        }
        assert!(problems(&Settings::default()).is_empty());
        assert!(problems(&settings(&["192.0.2.1", "192.0.2.2"])).is_empty());
    }

    #[test]
    fn strict_probes_come_from_the_address_that_nobody_is_told() {
        let two = settings(&["192.0.2.1", "192.0.2.2"]);
        let address = |mode| two.address(mode).unwrap().to_string();
        assert_eq!(address(NatProbeMode::Moderate), "192.0.2.1");
        assert_eq!(address(NatProbeMode::Strict), "192.0.2.2");
    }
}
