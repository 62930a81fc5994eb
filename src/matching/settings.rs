//! Settings of the matching engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{COUNT_MAX, SPAN, SPAN_OR_ZERO, SettingsReport};

/// The longest sensible [`Settings::client_timeout`]. Nobody waits longer: neither CDNs
/// nor clients for an answer, nor proxies for an offer.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Time limits and quotas of the matching engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Maximum time that a client waits in all, from the arrival of its request. CDNs
    /// give up after 5 to 6 s.
    #[serde(with = "crate::timespan")]
    pub client_timeout: Duration,
    /// Maximum time that a proxy's poll is parked, from its arrival.
    #[serde(with = "crate::timespan")]
    pub proxy_timeout: Duration,
    /// Maximum time that a client is queued if there is no proxy; 0 denies it at once.
    #[serde(with = "crate::timespan")]
    pub client_queue_wait: Duration,
    /// Maximum number of queued clients; 0 denies clients at once.
    pub client_queue_max: usize,
    /// Minimum time that a proxy needs to answer. A client with less time left is not
    /// taken from the queue and not offered to a second proxy.
    #[serde(with = "crate::timespan")]
    pub min_answer_time: Duration,
    /// The time after a hand-off without an answer at which a client is offered to
    /// another proxy.
    #[serde(with = "crate::timespan")]
    pub rematch_after: Duration,
    /// Number of sources with idle polls in a pool below which it has no rematch until honest
    /// proxies would have answered (3.75 s after the hand-off).
    pub second_chance_reserve: usize,
    /// Maximum number of proxies that a client is offered to; 1 means no rematch.
    pub max_attempts: usize,
    /// Maximum number of parked polls; later ones get `no match` at once.
    pub max_parked_polls: usize,
    /// Number of clients waiting for an answer at which a new client is denied at once.
    /// Clients already queued may still be matched beyond it.
    pub max_matched_clients: usize,
    /// The time for which the engine is a lame duck before it drains; its owner has to
    /// observe it.
    #[serde(with = "crate::timespan")]
    pub drain_grace: Duration,
}

impl Settings {
    /// Reports invalid and doubtful settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("client_timeout", self.client_timeout, &SPAN);
        report.within("proxy_timeout", self.proxy_timeout, &SPAN);
        report.within("rematch_after", self.rematch_after, &SPAN);
        report.within("client_queue_wait", self.client_queue_wait, &SPAN_OR_ZERO);
        report.within("min_answer_time", self.min_answer_time, &SPAN_OR_ZERO);
        report.within("drain_grace", self.drain_grace, &SPAN_OR_ZERO);
        report.within("client_queue_max", self.client_queue_max, &(0..=COUNT_MAX));
        let reserve = self.second_chance_reserve;
        report.within("second_chance_reserve", reserve, &(0..=COUNT_MAX));
        report.within("max_attempts", self.max_attempts, &(1..=COUNT_MAX));
        report.within("max_parked_polls", self.max_parked_polls, &(1..=COUNT_MAX));
        let clients = self.max_matched_clients;
        report.within("max_matched_clients", clients, &(1..=COUNT_MAX));
        if !self.client_timeout.is_zero() {
            self.check_patience(report);
        }
    }

    /// Checks that a client's time limits fit together.
    fn check_patience(&self, report: &mut SettingsReport) {
        if self.client_timeout <= self.min_answer_time {
            report.refuse(
                &["client_timeout", "min_answer_time"],
                "must be longer than matching.min_answer_time: no proxy could answer in time",
            );
        }
        if self.client_timeout > PATIENCE_MAX {
            report.warn(
                &["client_timeout"],
                "should be 30 s or less: CDNs give up after 5 to 6 s, and proxies would go on \
                 answering clients that have left",
            );
        }
        if self.max_attempts > 1 && self.rematch_after >= self.client_timeout {
            report.warn(
                &["rematch_after", "client_timeout", "max_attempts"],
                "should be shorter than matching.client_timeout: no client will get a second proxy",
            );
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_timeout: Duration::from_secs(5),
            proxy_timeout: Duration::from_secs(10),
            client_queue_wait: Duration::from_secs(1),
            client_queue_max: 10_000,
            min_answer_time: Duration::from_millis(500),
            rematch_after: Duration::from_secs(2),
            second_chance_reserve: 16,
            max_attempts: 2,
            max_parked_polls: 200_000,
            max_matched_clients: 100_000,
            drain_grace: Duration::from_secs(3),
        }
    }
}
