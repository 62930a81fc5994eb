//! The scenes: who is there, and by which rule proxies are served.

use std::time::Duration;

use snowflake_broker::matching::SupplySettings;

use super::fleet::{Day, Kind};

/// The rule by which proxies are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// By load and arrival: nothing is known of sources.
    Arrival,
    /// The same, but of each address one poll in 20 s, as the next release of the
    /// reference broker has it.
    OnePoll,
    /// This broker's, if it learns nothing of sources.
    Shares(Shares),
}

/// The part of the broker's settings that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) first_come: u32,
    pub(crate) recent_clients: usize,
    pub(crate) matches_per_minute: u32,
}

impl Rule {
    /// This broker's with its default settings.
    pub(crate) fn ours() -> Self {
        let supply = SupplySettings::default();
        Self::Shares(Shares {
            first_come: supply.first_come,
            recent_clients: supply.recent_clients,
            matches_per_minute: supply.matches_per_minute,
        })
    }

    pub(crate) fn supply(self) -> SupplySettings {
        let supply = SupplySettings::default();
        match self {
            Self::Arrival | Self::OnePoll => supply,
            Self::Shares(shares) => SupplySettings {
                first_come: shares.first_come,
                recent_clients: shares.recent_clients,
                matches_per_minute: shares.matches_per_minute,
                ..supply
            },
        }
    }
}

/// An attacker, whose addresses are in networks of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) addresses: usize,
    /// It answers each offer at once and never connects; otherwise it answers none.
    pub(crate) answers: bool,
}

/// Honest proxies that serve many clients each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) proxies: usize,
    pub(crate) kind: Kind,
    /// They are all behind one address; otherwise each has its own.
    pub(crate) shares_address: bool,
}

/// A simulated broker and all who use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) day: Day,
    pub(crate) rule: Rule,
    pub(crate) attack: Option<Attack>,
    pub(crate) crowd: Option<Crowd>,
    /// Also the clients that every proxy can serve, and the proxies that serve only these.
    pub(crate) has_others: bool,
    /// The time before anything is counted, and the time in which it is.
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
    pub(crate) seed: u64,
}

impl Scene {
    /// A day without attackers.
    pub(crate) fn of(day: Day, rule: Rule) -> Self {
        Self {
            day,
            rule,
            attack: None,
            crowd: None,
            has_others: false,
            warm_up: Duration::from_mins(5),
            counted: Duration::from_mins(5),
            seed: 1,
        }
    }

    pub(crate) fn with_attack(self, addresses: usize, answers: bool) -> Self {
        let attack = Some(Attack { addresses, answers });
        Self { attack, ..self }
    }

    pub(crate) fn with_crowd(self, proxies: usize, kind: Kind, shares_address: bool) -> Self {
        let crowd = Some(Crowd {
            proxies,
            kind,
            shares_address,
        });
        Self { crowd, ..self }
    }
}
