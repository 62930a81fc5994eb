//! The intervals that proxies are told.

use std::time::{Duration, Instant};

use crate::matching::{NoMatch, PollReply};
use crate::wire::nat::NatClass;

use super::shutdown::{reconnect_delay_new, reconnect_delay_parked};
use super::trace::Polled;
use super::waiters::BrokerState;

impl BrokerState {
    /// The interval until the next poll of a proxy; `of_type` is that of its type.
    pub(super) fn next_poll(
        &mut self,
        now: Instant,
        polled: Polled,
        of_type: Option<Duration>,
        reply: &PollReply,
    ) -> Duration {
        let pool = NatClass::of(polled.nat);
        match reply {
            PollReply::NoMatch(NoMatch::Overloaded | NoMatch::OverShare(_)) => {
                let overloaded = self.intervals.settings().overloaded;
                return self.jittered(overloaded);
            }
            PollReply::Offer(_) => self.intervals.handed_off(pool),
            PollReply::NoMatch(NoMatch::NotParked) if self.has_successor => {
                return reconnect_delay_new(self.jitter.f64());
            }
            PollReply::NoMatch(NoMatch::Evicted) if self.has_successor => {
                let usual = self.intervals.interval(pool);
                return reconnect_delay_parked(usual, self.jitter.f64());
            }
            PollReply::NoMatch(NoMatch::Idle | NoMatch::NotParked | NoMatch::Evicted) => {}
        }
        let parked = now.saturating_duration_since(polled.arrived);
        let jitter = self.jitter.f64();
        self.intervals.tell(pool, of_type, parked, jitter)
    }

    /// Adds jitter to an interval that is the same for all pools.
    pub(super) fn jittered(&mut self, interval: Duration) -> Duration {
        let jitter = self.jitter.f64();
        self.intervals.settings().jittered(interval, jitter)
    }
}
