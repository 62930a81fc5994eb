//! Proxies that work and others, as they are in truth.

use std::time::Duration;

use fastrand::Rng;
use snowflake_broker::wire::proxy::ProxyType;

use super::fleet::Kind;

/// The shares of proxies that never answer, that answer and never connect, and that answer
/// late.
const MUTE: f64 = 0.1;
const CUT_OFF: f64 = 0.1;
const SLOW: f64 = 0.1;
/// The share of proxies that are replaced by new ones in an hour.
const CHURN: f64 = 0.027;
/// The share of proxies that begin or cease to work in an hour.
const DRIFT: f64 = 0.1;
/// The share of matches that work with a proxy that works.
const WORKS: f64 = 0.95;

/// The truth about a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Works,
    Mute,
    CutOff,
    Slow,
    /// Takes as many clients as it can get, and answers at once without connecting.
    Attacker,
}

impl Truth {
    fn drawn(random: &mut Rng) -> Self {
        let draw = random.f64();
        if draw < MUTE {
            Self::Mute
        } else if draw < MUTE + CUT_OFF {
            Self::CutOff
        } else if draw < MUTE + CUT_OFF + SLOW {
            Self::Slow
        } else {
            Self::Works
        }
    }

    /// The time until its answer, if there is one.
    pub(crate) fn answers_after(self, random: &mut Rng) -> Option<Duration> {
        let seconds = match self {
            Self::Mute => return None,
            Self::Attacker => 0.0,
            Self::Slow => 3.0 + 4.0 * random.f64(),
            Self::Works | Self::CutOff => 0.3 + 2.7 * random.f64().powi(2),
        };
        Some(Duration::from_secs_f64(seconds))
    }

    /// Returns true if a client that has its answer gets a connection.
    pub(crate) fn connects(self, random: &mut Rng) -> bool {
        match self {
            Self::Works => random.f64() < WORKS,
            Self::Slow => random.bool(),
            Self::Mute | Self::CutOff | Self::Attacker => false,
        }
    }
}

/// A proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) truth: Truth,
    pub(crate) source: u64,
    /// The time of its last poll.
    pub(crate) polled: Duration,
}

impl Proxy {
    pub(crate) fn new(kind: Kind, source: u64, random: &mut Rng) -> Self {
        Self::of(kind, Truth::drawn(random), source)
    }

    pub(crate) fn of(kind: Kind, truth: Truth, source: u64) -> Self {
        Self {
            kind,
            truth,
            source,
            polled: Duration::ZERO,
        }
    }

    pub(crate) fn proxy_type(self) -> ProxyType {
        match self.kind {
            Kind::WebExtension => ProxyType::WEBEXT,
            Kind::Phone => ProxyType::IPTPROXY,
            Kind::Standalone | Kind::Obedient => ProxyType::STANDALONE,
        }
    }

    /// Lets this time pass, in which another proxy may take its place, or it may change.
    pub(crate) fn live(&mut self, time: Duration, source: u64, random: &mut Rng) {
        if self.truth == Truth::Attacker || self.kind == Kind::Obedient {
            return;
        }
        let hours = time.as_secs_f64() / 3_600.0;
        if random.f64() < CHURN * hours {
            *self = Self {
                polled: self.polled,
                ..Self::new(self.kind, source, random)
            };
        } else if random.f64() < DRIFT * hours {
            self.truth = Truth::drawn(random);
        }
    }
}
