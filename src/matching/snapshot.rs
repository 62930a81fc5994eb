//! Snapshots of the engine's state.

use crate::wire::nat::NatClass;
use crate::wire::proxy::Sid;

use super::Matcher;
use super::outputs::{ParkedPoll, Snapshot};
use super::queue::Wait;
use super::requests::PollKey;
use super::sessions::PollState;

impl Matcher {
    /// The numbers of waiting polls and clients.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            parked: self.pools.counts(),
            queued_clients: self.waiting.len(Wait::Queued),
            matched_clients: self.sessions.matched_clients(),
        }
    }

    /// Returns true if no poll or client is waiting and no closed poll is remembered.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.pools.len() == 0
            && self.waiting.len(Wait::Queued) == 0
            && self.waiting.len(Wait::Overdue) == 0
            && self.sources.is_empty()
            && self.deadlines.next().is_none()
    }

    /// The number of queued clients of each class.
    pub fn queued_by_class(&self) -> Vec<(NatClass, usize)> {
        let classes = NatClass::ALL.into_iter();
        classes
            .map(|class| (class, self.waiting.queued_of(class)))
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

    /// The Sid of a poll.
    pub fn sid(&self, key: PollKey) -> Option<Sid> {
        self.sessions.poll(key).map(|poll| poll.sid)
    }

    /// Returns true if a poll with this `Sid` is parked, offered or not yet forgotten.
    pub fn knows(&self, sid: &Sid) -> bool {
        self.sessions.poll_by_sid(sid).is_some()
    }

    /// The number of parked polls in a pool beyond a reserve.
    pub fn parked_beyond(&self, reserve: usize, pool: NatClass) -> usize {
        self.pools.len_of(pool).saturating_sub(reserve)
    }
}
