//! The health of the bridges' addresses, from probes.
//!
//! An address is *ailing* once two of its last three probes have failed, and *well* again
//! once two in a row have succeeded. So one lost packet is not an outage, and an address
//! that fails every other time does not flap.

use std::collections::HashMap;
use std::sync::Arc;

/// The number of probes that count.
const REMEMBERED: usize = 3;
/// The number of failures among them that makes an address ailing.
const FAILURES: usize = 2;
/// The number of successes in a row after which it is well again.
const SUCCESSES: usize = 2;

/// The health of all addresses that were probed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BridgeHealth {
    /// True if ailing addresses get no clients while another one of their bridge can.
    pub acts: bool,
    /// The addresses by URL; as many as the bridge list has at most.
    probed: HashMap<Arc<str>, AddressHealth>,
}

/// The health of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not probed, or not often enough.
    #[default]
    Unknown,
    /// It can be reached.
    Well,
    /// It cannot be reached.
    Ailing,
}

/// The reason why a probe failed. Displays as the end of a sentence, without addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// No name server knows an address of the host.
    #[error("its host name has no address")]
    NoAddress,
    /// There was no TCP connection.
    #[error("no TCP connection")]
    Unreachable,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls,
    /// The certificate is not one that proxies would accept.
    #[error("its certificate is not valid")]
    Certificate,
    /// The server wants the proxy to go elsewhere, which proxies do not do.
    #[error("it redirects (status {0})")]
    Redirect(u16),
    /// The server answered with another status than that of an upgrade.
    #[error("it answers with status {0} in place of a WebSocket")]
    Status(u16),
    /// The server's answer is not the WebSocket protocol.
    #[error("it is no WebSocket server")]
    NoWebSocket,
    /// The probe took too long.
    #[error("it took too long")]
    TooSlow,
}

/// A change of health that operators want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// The address has become ailing, for this reason.
    Ailing(ProbeFailure),
    /// The address is well again.
    WellAgain,
}

/// The last probes of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AddressHealth {
    health: Health,
    /// The results of the last probes, oldest first; true if one succeeded.
    last: Vec<bool>,
    /// The last failure, if the last probe failed.
    failure: Option<ProbeFailure>,
}

impl BridgeHealth {
    /// No probe has been made yet.
    pub fn new(acts: bool) -> Self {
        Self {
            acts,
            probed: HashMap::new(),
        }
    }

    /// The health of an address.
    pub fn health(&self, relay_url: &str) -> Health {
        let probed = self.probed.get(relay_url);
        probed.map_or(Health::Unknown, |address| address.health)
    }

    /// The reason why the last probe of an address failed, if it did.
    pub fn failure(&self, relay_url: &str) -> Option<ProbeFailure> {
        self.probed.get(relay_url)?.failure
    }

    /// Returns true if an address should get no clients while another one can.
    pub fn avoids(&self, relay_url: &str) -> bool {
        self.acts && self.health(relay_url) == Health::Ailing
    }

    /// Records the result of a probe.
    pub fn record(
        &mut self,
        relay_url: &Arc<str>,
        result: Result<(), ProbeFailure>,
    ) -> Option<HealthChange> {
        let address = self.probed.entry(Arc::clone(relay_url)).or_default();
        address.record(result)
    }

    /// Forgets all addresses but those for which `is_kept` returns true.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.probed.retain(|relay_url, _| is_kept(relay_url));
    }
}

impl AddressHealth {
    fn record(&mut self, result: Result<(), ProbeFailure>) -> Option<HealthChange> {
        if self.last.len() == REMEMBERED {
            self.last.remove(0);
        }
        self.last.push(result.is_ok());
        self.failure = result.err();
        let failures = self.last.iter().filter(|succeeded| !**succeeded).count();
        let in_a_row = self.last.iter().rev().take_while(|succeeded| **succeeded);
        let (before, successes) = (self.health, in_a_row.count());
        self.health = match before {
            Health::Ailing if successes >= SUCCESSES => Health::Well,
            Health::Unknown | Health::Well if failures >= FAILURES => Health::Ailing,
            Health::Unknown if successes > 0 => Health::Well,
            unchanged => unchanged,
        };
        match (before, self.health, self.failure) {
            (Health::Unknown | Health::Well, Health::Ailing, Some(failure)) => {
                Some(HealthChange::Ailing(failure))
            }
            (Health::Ailing, Health::Well, _) => Some(HealthChange::WellAgain),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The health after each of these probes; `+` is one that succeeds.
    fn after(probes: &str) -> String {
        let (mut health, url) = (BridgeHealth::default(), "wss://a.example/".into());
        let word = |succeeds| {
            let result = if succeeds {
                Ok(())
            } else {
                Err(ProbeFailure::Unreachable)
            };
            health.record(&url, result);
            match health.health(&url) {
                Health::Unknown => '?',
                Health::Well => 'w',
                Health::Ailing => 'a',
            }
        };
        probes.chars().map(|probe| probe == '+').map(word).collect()
    }

    #[test]
    fn two_failures_of_three_are_an_ailment_and_two_successes_end_it() {
        for (probes, expected) in [
            ("+-+--+-++-", "wwwaaaaaww"),
            ("--", "?a"),
            ("-+-", "?wa"),
            ("-+", "?w"),
            ("++--", "wwwa"),
            ("+-++-++-+", "wwwwwwwww"),
            ("+--++", "wwaaw"),
            // Every other one fails: it does not flap.
            ("+-+-+-+-+-", "wwwaaaaaaa"),
        ] {
            assert_eq!(after(probes), expected, "{probes}");
        }
    }

    #[test]
    fn each_change_is_told_once_with_its_reason() {
        let (mut health, url) = (BridgeHealth::default(), "wss://a.example/".into());
        let mut told = Vec::new();
        for result in [
            Err(ProbeFailure::Tls),
            Err(ProbeFailure::Redirect(301)),
            Err(ProbeFailure::TooSlow),
            Ok(()),
            Ok(()),
            Ok(()),
        ] {
            told.push(health.record(&url, result));
        }
        let ailing = Some(HealthChange::Ailing(ProbeFailure::Redirect(301)));
        let well = Some(HealthChange::WellAgain);
        assert_eq!(told, [None, ailing, None, None, well, None]);
        assert_eq!(health.failure(&url), None);
    }

    #[test]
    fn only_who_acts_avoids() {
        let (mut health, url) = (BridgeHealth::default(), "wss://a.example/".into());
        for _ in 0..2 {
            health.record(&url, Err(ProbeFailure::NoWebSocket));
        }
        assert!(!health.avoids(&url));
        health.acts = true;
        assert!(health.avoids(&url) && !health.avoids("wss://b.example/"));
        assert_eq!(health.failure(&url), Some(ProbeFailure::NoWebSocket));
    }

    #[test]
    fn removed_addresses_are_forgotten() {
        let (mut health, url) = (BridgeHealth::default(), "wss://a.example/".into());
        health.record(&url, Ok(()));
        health.retain(|kept| kept == &*url);
        assert_eq!(health.health(&url), Health::Well);
        health.retain(|_| false);
        assert_eq!(health, BridgeHealth::default());
    }
}
