//! Views of what waits in the engine.

use crate::wire::nat::NatClass;

use super::Matcher;
use super::outputs::{ParkedPoll, Snapshot};
use super::requests::PollKey;
use super::sessions::PollState;

impl Matcher {
    /// The numbers of who waits.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            parked: self.pools.counts(),
            queued_clients: self.queued.len(),
            matched_clients: self.sessions.matched_clients(),
        }
    }

    /// Returns true if nothing waits and nothing is remembered: every poll and
    /// client has ended, and the memory of the closed polls with them.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.pools.len() == 0
            && self.queued.len() == 0
            && self.overdue.len() == 0
            && self.deadlines.next().is_none()
    }

    /// The number of clients of each class that are queued for a proxy.
    pub fn queued_by_class(&self) -> Vec<(NatClass, usize)> {
        let classes = NatClass::ALL.into_iter();
        classes
            .map(|class| (class, self.queued.len_of(class)))
            .collect()
    }

    /// The poll, if it is parked.
    pub fn parked_poll(&self, key: PollKey) -> Option<ParkedPoll> {
        let poll = self.sessions.poll(key)?;
        matches!(poll.state, PollState::Parked).then_some(ParkedPoll {
            proxy_type: poll.proxy_type,
            nat: poll.nat,
            clients: poll.clients,
            arrival: poll.arrival,
        })
    }

    /// The number of parked polls of a pool beyond a reserve.
    pub fn parked_beyond(&self, reserve: usize, pool: NatClass) -> usize {
        self.pools.len_of(pool).saturating_sub(reserve)
    }
}
