//! The counts of a run.

use std::time::Duration;

use snowflake_broker::outcomes::OutcomeTotals;

/// The quarters of an hour.
pub(crate) const QUARTERS: usize = 4;
const QUARTER: Duration = Duration::from_mins(15);

/// The counts of clients and their requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u32,
    /// Requests, by what came of them.
    pub(crate) connected: u32,
    pub(crate) failed: u32,
    pub(crate) timed_out: u32,
    pub(crate) denied: u32,
    /// The tries of those who were connected, from the first on.
    pub(crate) tries: u32,
    /// Offers that proxies were handed, and those of attackers.
    pub(crate) offers: u32,
    pub(crate) attackers_offers: u32,
    /// Offers that the crowd's proxies were handed.
    pub(crate) crowd_offers: u32,
    /// The mended proxies that have got a client, and that are good again, by the ends of the
    /// quarters of the first hour.
    pub(crate) mended_with_client: [u32; QUARTERS],
    pub(crate) mended_good: [u32; QUARTERS],
    /// The outcomes as the broker sees them.
    pub(crate) totals: OutcomeTotals,
}

/// Counts what happened after this time for each quarter that ends later.
pub(crate) fn count_from(quarters: &mut [u32; QUARTERS], after: Duration) {
    for (end, count) in (1..).zip(quarters) {
        *count += u32::from(after <= end * QUARTER);
    }
}

impl Tally {
    pub(crate) fn count(&mut self, is_counted: bool, count: impl FnOnce(&mut Self)) {
        if is_counted {
            count(self);
        }
    }

    /// Tries with a proxy that came to nothing, for each client that was connected.
    pub(crate) fn wasted(&self) -> f64 {
        f64::from(self.failed + self.timed_out) / f64::from(self.connected.max(1))
    }

    /// The share of requests that timed out.
    pub(crate) fn timed_out_share(&self) -> f64 {
        f64::from(self.timed_out) / f64::from(self.requests.max(1))
    }

    /// Tries until a client was connected.
    pub(crate) fn tries_each(&self) -> f64 {
        f64::from(self.tries) / f64::from(self.connected.max(1))
    }

    /// The attackers' share of all offers.
    pub(crate) fn attackers_share(&self) -> f64 {
        f64::from(self.attackers_offers) / f64::from(self.offers.max(1))
    }
}
