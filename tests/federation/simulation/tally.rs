//! Counts of events in simulations: a test in which nothing happens proves nothing.

use std::collections::BTreeMap;
use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A client was answered by a proxy of its own broker.
    AnsweredHere,
    /// A client was answered by another broker's proxy.
    AnsweredElsewhere,
    /// A client was told that no proxy answered.
    TimedOut,
    /// A client was told that there is no proxy.
    WithoutProxy,
    /// A client did not wait for its reply.
    ClientLeft,
    /// The broker of a client crashed.
    ClientLost,
    /// An answer of a proxy came too late, or twice.
    VainAnswer,
    /// A proxy got an offer of the lying borrower.
    LieHandedOff,
    /// A fault was applied to the network or a broker.
    Fault,
}

impl Event {
    const ALL: [Self; 9] = [
        Self::AnsweredHere,
        Self::AnsweredElsewhere,
        Self::TimedOut,
        Self::WithoutProxy,
        Self::ClientLeft,
        Self::ClientLost,
        Self::VainAnswer,
        Self::LieHandedOff,
        Self::Fault,
    ];
}

/// The number of each event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<Event, u64>);

impl Tally {
    pub(crate) fn count(&mut self, event: Event) {
        *self.0.entry(event).or_default() += 1;
    }

    pub(crate) fn assert_everything_happened(&self) {
        for event in Event::ALL {
            assert!(self.0.contains_key(&event), "no {event:?} in {self:?}");
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (event, count) in other.0 {
            *self.0.entry(event).or_default() += count;
        }
    }
}
