//! The scenes: who is there, and what the broker knows.

use std::time::Duration;

use snowflake_broker::matching::SupplySettings;

use super::fleet::Day;

/// What the broker knows of proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    Nothing,
    /// What it learns.
    Outcomes,
    /// The truth about each proxy.
    Truth,
}

/// Proxies that work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) proxies: usize,
    /// They are all behind one address; otherwise each has its own.
    pub(crate) shares_address: bool,
}

/// A simulated broker and all who use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) day: Day,
    pub(crate) knows: Knows,
    /// The part of the day's proxies and clients that is there.
    pub(crate) scale: f64,
    /// Addresses that answer each offer at once and never connect.
    pub(crate) attackers: usize,
    /// Proxies that work and poll as they are told.
    pub(crate) crowd: Option<Crowd>,
    /// Proxies that do not connect, and work once the time is counted.
    pub(crate) mended: usize,
    /// The time before anything is counted, and the time in which it is.
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
    pub(crate) seed: u64,
}

impl Scene {
    /// Three quarters of an hour of a small part of the day, half an hour after the start.
    pub(crate) fn long(day: Day, knows: Knows) -> Self {
        Self {
            day,
            knows,
            scale: 0.05,
            attackers: 0,
            crowd: None,
            mended: 0,
            warm_up: Duration::from_mins(30),
            counted: Duration::from_mins(45),
            seed: 1,
        }
    }

    /// Three minutes of the whole day, five minutes after the start.
    pub(crate) fn whole(day: Day) -> Self {
        Self {
            scale: 1.0,
            warm_up: Duration::from_mins(5),
            counted: Duration::from_mins(3),
            ..Self::long(day, Knows::Outcomes)
        }
    }

    pub(crate) fn with_attackers(self, attackers: usize) -> Self {
        Self { attackers, ..self }
    }

    pub(crate) fn with_crowd(self, proxies: usize, shares_address: bool) -> Self {
        Self {
            crowd: Some(Crowd {
                proxies,
                shares_address,
            }),
            ..self
        }
    }

    /// An hour of it, half an hour after the start, in which this many proxies work that did
    /// not before.
    pub(crate) fn with_mended(self, mended: usize) -> Self {
        Self {
            mended,
            counted: Duration::from_hours(1),
            ..self
        }
    }

    /// The default settings, with the recent clients of that part of the day.
    pub(crate) fn supply(&self) -> SupplySettings {
        let supply = SupplySettings::default();
        SupplySettings {
            recent_clients: scaled(supply.recent_clients, self.scale),
            ..supply
        }
    }
}

/// A part of this number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of proxies or clients"
)]
pub(crate) fn scaled(count: usize, scale: f64) -> usize {
    (count as f64 * scale).round() as usize
}
