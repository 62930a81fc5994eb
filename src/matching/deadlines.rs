//! The engine's timers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::requests::{ClientKey, PollKey};
use super::sessions::Client;

/// Longer than any broker runs, but always within the range of an `Instant`.
const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);

/// The time `span` after `at`. A span from the settings may be so long that the addition
/// would panic, so it is limited to [`FOR_EVER`].
pub(super) fn later(at: Instant, span: Duration) -> Instant {
    at + span.min(FOR_EVER)
}

/// The timer of a poll or client, which has at most one. Timers for the same moment are
/// ordered: polls come first, because a poll whose time is up must not be handed a
/// client, then earlier arrivals. The number is the arrival; keys alone have no order, as
/// they are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A parked poll's time is up.
    Poll(u64, PollKey),
    /// A client's time in the queue, time until a rematch, or whole time is up.
    Client(u64, ClientKey),
}

/// The timers, soonest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Timer)>);

impl Deadlines {
    pub(super) fn insert(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn remove(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// Removes a client's timer, if it has one.
    pub(super) fn stop(&mut self, key: ClientKey, client: &Client) {
        if let Some(at) = client.wake {
            self.remove(at, Timer::Client(client.arrival, key));
        }
    }

    /// The time of the first timer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Removes and returns the first timer if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
