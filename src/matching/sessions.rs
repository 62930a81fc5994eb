//! The polls and clients that the engine knows, and who has whose offer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use slotmap::{SlotMap, new_key_type};

use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{ProxyType, Sid};
use crate::wire::session_description::SessionDescription;

use super::CLOSED_POLL_MEMORY;
use super::outputs::AnswerOutcome;

/// Closed polls beyond this number are forgotten before their time; at the
/// design load of 2,500 matches a second there are 75,000.
const CLOSED_POLLS_MAX: usize = 100_000;

new_key_type! {
    /// Names one poll; never used again for another.
    pub struct PollKey;
    /// Names one client's request; never used again for another.
    pub struct ClientKey;
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOffer {
    /// Its offer.
    pub offer: SessionDescription,
    /// How it can be reached.
    pub nat: NatType,
    /// The WebSocket address of the bridge that it wants.
    pub relay_url: Arc<str>,
}

/// A client of another broker, which asks for one of our proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower {
    /// Until when its broker waits for an answer.
    pub deadline: Instant,
    /// The how many-th proxy it is to get, from 1 on.
    pub attempt: usize,
    /// How many proxies of each pool are not for others.
    pub reserve: usize,
}

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours.
    Own,
    /// Ours, and another broker has its offer as well, which is a hand-off.
    Borrowing,
    /// Another broker's: it gets a proxy beyond the reserve at once, or none.
    Borrower {
        reserve: usize,
        earlier_hand_offs: usize,
    },
}

impl Standing {
    pub(super) fn is_ours(self) -> bool {
        !matches!(self, Self::Borrower { .. })
    }

    /// How many proxies of each pool it does not get.
    pub(super) fn reserve(self) -> usize {
        match self {
            Self::Own | Self::Borrowing => 0,
            Self::Borrower { reserve, .. } => reserve,
        }
    }

    /// How many proxies have its offer when it comes.
    pub(super) fn earlier_hand_offs(self) -> usize {
        match self {
            Self::Own => 0,
            Self::Borrowing => 1,
            Self::Borrower {
                earlier_hand_offs, ..
            } => earlier_hand_offs,
        }
    }
}

/// A proxy's poll, from its arrival until its answer is of no interest.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) sid: Sid,
    pub(super) proxy_type: ProxyType,
    pub(super) nat: NatType,
    pub(super) clients: u64,
    pub(super) arrival: u64,
    pub(super) deadline: Instant,
    pub(super) state: PollState,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PollState {
    /// Waits for a client.
    Parked,
    /// Has a client's offer and owes an answer.
    Offered(Offered),
    /// Nobody waits for its answer; should it come, that is its outcome.
    Closed(AnswerOutcome),
}

/// Whose offer a poll has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) client: ClientKey,
    pub(super) since: Instant,
}

/// A client's request that has no reply yet.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) offer: ClientOffer,
    pub(super) standing: Standing,
    pub(super) arrival: u64,
    pub(super) deadline: Instant,
    pub(super) state: ClientState,
    /// The polls that have its offer now.
    pub(super) attempts: Vec<PollKey>,
    /// How many proxies were handed its offer, those of other brokers too.
    pub(super) hand_offs: usize,
    /// When its timer is set to.
    pub(super) wake: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientState {
    /// No proxy has its offer.
    Unmatched,
    /// At least one proxy has its offer.
    Matched,
}

impl Client {
    pub(super) fn class(&self) -> NatClass {
        NatClass::of(self.offer.nat)
    }
}

/// The tables. Each `Sid` belongs to one poll at a time.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    polls: SlotMap<PollKey, Poll>,
    by_sid: HashMap<Sid, PollKey>,
    clients: SlotMap<ClientKey, Client>,
    matched: usize,
    closed: VecDeque<(Instant, PollKey)>,
}

impl Sessions {
    /// Whether a poll with this `Sid` is parked or owes an answer.
    pub(super) fn is_in_use(&self, sid: &Sid) -> bool {
        self.poll_by_sid(sid)
            .is_some_and(|(_, poll)| !matches!(poll.state, PollState::Closed(_)))
    }

    /// Adds a poll whose `Sid` is not in use.
    pub(super) fn insert_poll(&mut self, poll: Poll) -> PollKey {
        let sid = poll.sid;
        let key = self.polls.insert(poll);
        if let Some(closed) = self.by_sid.insert(sid, key) {
            self.polls.remove(closed);
        }
        key
    }

    pub(super) fn poll(&self, key: PollKey) -> Option<&Poll> {
        self.polls.get(key)
    }

    pub(super) fn poll_by_sid(&self, sid: &Sid) -> Option<(PollKey, &Poll)> {
        let key = *self.by_sid.get(sid)?;
        Some((key, self.polls.get(key)?))
    }

    pub(super) fn remove_poll(&mut self, key: PollKey) -> Option<Poll> {
        let poll = self.polls.remove(key)?;
        self.by_sid.remove(&poll.sid);
        Some(poll)
    }

    /// Notes that nobody waits any more for the answer of a poll that owes one.
    pub(super) fn close_poll(&mut self, now: Instant, key: PollKey, outcome: AnswerOutcome) {
        let Some(poll) = self.polls.get_mut(key) else {
            return;
        };
        if matches!(poll.state, PollState::Offered(_)) {
            poll.state = PollState::Closed(outcome);
            self.closed.push_back((now + CLOSED_POLL_MEMORY, key));
        }
    }

    /// Forgets the closed polls whose time is up, and the oldest of too many.
    pub(super) fn forget_closed(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.closed.front() {
            if until > now && self.closed.len() <= CLOSED_POLLS_MAX {
                break;
            }
            self.closed.pop_front();
            self.remove_poll(key);
        }
    }

    pub(super) fn insert_client(&mut self, client: Client) -> ClientKey {
        self.clients.insert(client)
    }

    pub(super) fn client(&self, key: ClientKey) -> Option<&Client> {
        self.clients.get(key)
    }

    pub(super) fn client_mut(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.clients.get_mut(key)
    }

    pub(super) fn remove_client(&mut self, key: ClientKey) -> Option<Client> {
        let client = self.clients.remove(key)?;
        if client.state == ClientState::Matched {
            self.matched -= 1;
        }
        Some(client)
    }

    /// How many clients wait for an answer.
    pub(super) fn matched_clients(&self) -> usize {
        self.matched
    }

    pub(super) fn is_empty(&self) -> bool {
        self.polls.is_empty()
            && self.by_sid.is_empty()
            && self.clients.is_empty()
            && self.matched == 0
            && self.closed.is_empty()
    }

    /// Gives the client's offer to the poll.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        poll_key: PollKey,
        client_key: ClientKey,
    ) -> Option<&Client> {
        let poll = self.polls.get_mut(poll_key)?;
        let client = self.clients.get_mut(client_key)?;
        poll.state = PollState::Offered(Offered {
            client: client_key,
            since: now,
        });
        if client.state == ClientState::Unmatched {
            client.state = ClientState::Matched;
            self.matched += 1;
        }
        client.attempts.push(poll_key);
        client.hand_offs += 1;
        Some(client)
    }

    /// Takes back that the client's offer is with any proxy.
    pub(super) fn unmatch(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && client.state == ClientState::Matched
        {
            client.state = ClientState::Unmatched;
            self.matched -= 1;
        }
    }
}
