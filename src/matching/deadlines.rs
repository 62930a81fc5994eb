//! The engine's timers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::requests::{ClientKey, PollKey};
use super::sessions::Client;

/// Longer than any broker runs, and never beyond what an `Instant` can hold.
const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);

/// The time `span` after `at`. A span out of somebody's settings may be so long
/// that adding it would panic; then it is for ever.
pub(super) fn later(at: Instant, span: Duration) -> Instant {
    at + span.min(FOR_EVER)
}

/// The poll or client whose time it is. Each poll and each client has one timer at most. The
/// number is the arrival: of timers that are due at the same moment those of
/// polls come first, as a poll whose time is up must not be handed a client,
/// then first come first served. Keys alone would not do, as they are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A parked poll has waited long enough.
    Poll(u64, PollKey),
    /// A client's wait, second chance or whole time is up.
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

    /// Removes the timer of a client, if it has one.
    pub(super) fn stop(&mut self, key: ClientKey, client: &Client) {
        if let Some(at) = client.wake {
            self.remove(at, Timer::Client(client.arrival, key));
        }
    }

    /// The time of the first timer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes the first timer if its time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
