//! The proxies, honest or not.

use std::time::Duration;

use snowflake_broker::wire::nat::NatType;

use super::fleet::Kind;

/// The share of honest proxies that are replaced by new ones in an hour.
const CHURN: f64 = 0.027;

/// The part that a proxy plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Honest(Kind),
    OfCrowd(Kind),
    Attacker,
}

impl Role {
    /// The kind of an honest proxy.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Self::Honest(kind) | Self::OfCrowd(kind) => Some(kind),
            Self::Attacker => None,
        }
    }

    /// The time in which it polls for the first time.
    pub(crate) fn cycle(self) -> Duration {
        let cycle = self.kind().map(|kind| kind.cycle(Duration::ZERO));
        cycle.unwrap_or(Duration::from_secs(1))
    }

    pub(crate) fn has_one_client(self) -> bool {
        matches!(self, Self::Honest(kind) if kind.has_one_client())
    }

    /// The probability that another proxy is in its place after this time.
    pub(crate) fn churn_within(self, time: Duration) -> f64 {
        if matches!(self, Self::Honest(_)) {
            time.as_secs_f64() / 3_600.0 * CHURN
        } else {
            0.0
        }
    }
}

/// A proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy {
    pub(crate) role: Role,
    pub(crate) nat: NatType,
    pub(crate) source: u64,
    /// The time of its last poll.
    pub(crate) polled: Duration,
}
