//! The days that are simulated, and the proxies that poll on them.

use std::time::Duration;

use super::people::People;

/// The share of proxies that everybody can reach: 13 to 18 %.
const OPEN: f64 = 0.155;
/// The time for which an idle poll is parked.
const PARKED: Duration = Duration::from_secs(10);

/// The published figures of a day of the largest broker (daily means).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    pub(crate) name: &'static str,
    /// Polls of all proxies a second.
    polls: f64,
    /// Requests of all clients a second.
    clients: f64,
    /// The share of these from clients that only proxies that everybody can reach can
    /// serve. On the days of shutdowns it follows from the denied ones, who all need these;
    /// on the calm days it is known only to be more than half.
    strict: f64,
    /// The share of proxies that never answer: of the matched clients those that timed
    /// out, but no more than 27 %, as there are other reasons on days of shutdowns.
    pub(crate) silent: f64,
    /// The shares of the types of proxies; the rest are standalone.
    web_extensions: f64,
    phones: f64,
    /// The share of requests of strict clients that are not served, as the simulation
    /// without attackers has it. The rate of new clients follows from it.
    pub(crate) unserved: f64,
}

/// A calm day with many more polls than clients.
pub(crate) const QUIET: Day = Day {
    name: "calm, 2025-05-21",
    polls: 812.0,
    clients: 54.0,
    strict: 0.55,
    silent: 0.27,
    web_extensions: 0.62,
    phones: 0.34,
    unserved: 0.073,
};

/// A shutdown in Iran: most clients get no proxy, and every poll gets a client at once.
pub(crate) const SHUTDOWN: Day = Day {
    name: "shutdown, 2025-06-17",
    polls: 614.0,
    clients: 838.0,
    strict: 0.63,
    silent: 0.27,
    web_extensions: 0.62,
    phones: 0.34,
    unserved: 0.864,
};

/// Another day of that kind, with fewer proxies.
pub(crate) const SCARCE: Day = Day {
    name: "scarce, 2026-01-27",
    polls: 478.0,
    clients: 550.0,
    strict: 0.6,
    silent: 0.26,
    web_extensions: 0.4,
    phones: 0.56,
    unserved: 0.836,
};

/// A calm day on which nearly all proxies that everybody can reach are needed.
pub(crate) const CALM: Day = Day {
    name: "calm, 2026-10-01",
    polls: 447.0,
    clients: 89.0,
    strict: 0.55,
    silent: 0.125,
    web_extensions: 0.62,
    phones: 0.34,
    unserved: 0.017,
};

/// The four days.
pub(crate) const DAYS: [Day; 4] = [QUIET, SHUTDOWN, SCARCE, CALM];

/// A kind of proxy, by when it polls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WebExtension,
    /// An app with `IPtProxy`.
    Phone,
    /// A program that polls every 5 s, whatever it is told.
    Standalone,
    /// A program that polls 20 s after each reply, as it is told.
    Obedient,
}

impl Kind {
    /// The time of the next poll of a proxy that polled and had its reply then.
    pub(crate) fn next_poll(self, polled: Duration, replied: Duration) -> Duration {
        match self {
            Self::WebExtension => replied + Duration::from_mins(1),
            Self::Phone => replied + Duration::from_mins(2),
            Self::Standalone => replied.max(polled + Duration::from_secs(5)),
            Self::Obedient => replied + Duration::from_secs(20),
        }
    }

    /// Returns true if it polls no more while it has a client.
    pub(crate) fn has_one_client(self) -> bool {
        matches!(self, Self::WebExtension | Self::Phone)
    }

    /// The time from poll to poll if each is parked that long.
    pub(crate) fn cycle(self, parked: Duration) -> Duration {
        self.next_poll(Duration::ZERO, parked)
    }
}

impl Day {
    /// Polls a second of proxies that everybody can reach.
    pub(crate) fn open_polls(&self) -> f64 {
        self.polls * OPEN
    }

    /// Returns true if there are more clients than polls.
    pub(crate) fn is_scarce(&self) -> bool {
        self.clients > self.polls
    }

    /// Requests a second of clients that need these.
    pub(crate) fn strict_clients(&self) -> f64 {
        self.clients * self.strict
    }

    /// New clients a second that need these.
    pub(crate) fn new_strict_clients(&self) -> f64 {
        self.strict_clients() * People::share_of_new(self.unserved)
    }

    /// Requests a second of all other clients.
    pub(crate) fn other_clients(&self) -> f64 {
        self.clients - self.strict_clients()
    }

    /// The numbers of proxies that everybody can reach.
    pub(crate) fn open_fleet(&self) -> Vec<(Kind, usize)> {
        self.fleet(self.open_polls(), self.strict_clients())
    }

    /// The numbers of all other proxies.
    pub(crate) fn other_fleet(&self) -> Vec<(Kind, usize)> {
        self.fleet(self.polls - self.open_polls(), self.other_clients())
    }

    /// The fleet that polls at this rate while that many clients want it. As polls are
    /// served in the order of their arrival, nearly all are parked for their whole time if
    /// there are enough, and not at all if not.
    fn fleet(&self, polls: f64, clients: f64) -> Vec<(Kind, usize)> {
        let parked = if clients < polls {
            PARKED
        } else {
            Duration::ZERO
        };
        let standalone = 1.0 - self.web_extensions - self.phones;
        let shares = [
            (Kind::WebExtension, self.web_extensions),
            (Kind::Phone, self.phones),
            (Kind::Standalone, standalone),
        ];
        let rate = |(kind, share): (Kind, f64)| share / kind.cycle(parked).as_secs_f64();
        let proxies = polls / shares.into_iter().map(rate).sum::<f64>();
        let number = |(kind, share): (Kind, f64)| (kind, whole(share * proxies));
        shares.map(number).into()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of proxies"
)]
fn whole(number: f64) -> usize {
    number.round() as usize
}
