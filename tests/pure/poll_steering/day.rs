//! The days of the large broker, and the fleet of proxies of each.

use std::time::Duration;

/// A day's averages, as published by the broker and derived from that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    pub(crate) name: &'static str,
    /// Proxy polls a second, at intervals of 20 s.
    pub(crate) polls: f64,
    /// The share of proxy polls that got no client.
    pub(crate) idle: f64,
    /// Client polls a second.
    pub(crate) clients: f64,
    /// The share of clients that were denied.
    pub(crate) denied: f64,
    /// The share of matched proxies that never answer.
    pub(crate) silent: f64,
}

pub(crate) const CALM_2025: Day = Day {
    name: "2025-05-21",
    polls: 812.0,
    idle: 0.93,
    clients: 54.0,
    denied: 0.0,
    silent: 0.27,
};
pub(crate) const SHUTDOWN_2025: Day = Day {
    name: "2025-06-17",
    polls: 614.0,
    idle: 0.35,
    clients: 838.0,
    denied: 0.52,
    silent: 0.27,
};
pub(crate) const SHUTDOWN_2026: Day = Day {
    name: "2026-01-27",
    polls: 478.0,
    idle: 0.38,
    clients: 550.0,
    denied: 0.46,
    silent: 0.26,
};
pub(crate) const CALM_2026: Day = Day {
    name: "2026-10-01",
    polls: 447.0,
    idle: 0.80,
    clients: 89.0,
    denied: 0.0,
    silent: 0.125,
};
pub(crate) const DAYS: [Day; 4] = [CALM_2025, SHUTDOWN_2025, SHUTDOWN_2026, CALM_2026];

/// The share of proxies that every client can reach (13 to 18 %).
pub(crate) const OPEN_PROXIES: f64 = 0.15;
/// The share of clients that can reach only these proxies. With it, the idle polls and
/// denied clients of all four days come out as published.
pub(crate) const STRICT_CLIENTS: f64 = 0.60;
/// The average time for which a client uses the proxy that answered it, in seconds.
pub(crate) const SERVED: f64 = 60.0;
/// The time that a proxy waits for a client that it could not reach, in seconds.
pub(crate) const UNREACHED: f64 = 20.0;
/// The reference broker's interval, and the time for which it parks a poll, in seconds.
pub(crate) const INTERVAL: f64 = 20.0;
pub(crate) const PARKED: f64 = 10.0;

impl Day {
    /// The numbers of open and of strict proxies that make these polls. An idle proxy
    /// returns after its poll and the interval, a matched one only after its client too.
    pub(crate) fn fleet(&self) -> [f64; 2] {
        let shares = [
            (OPEN_PROXIES, STRICT_CLIENTS),
            (1.0 - OPEN_PROXIES, 1.0 - STRICT_CLIENTS),
        ];
        shares.map(|(of_polls, of_clients)| {
            let polls = self.polls * of_polls;
            let clients = self.clients * of_clients;
            let away = (1.0 - self.silent) * SERVED + self.silent * UNREACHED;
            if clients < polls {
                polls * (PARKED + INTERVAL) + clients * away
            } else {
                polls * (INTERVAL + away)
            }
        })
    }
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
