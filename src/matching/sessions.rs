//! The polls and clients known to the engine, and which poll has whose offer.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::policy::{PolicyMarks, RuleSet};
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{ProxyType, Sid};

use super::outputs::AnswerOutcome;
use super::queue::Place;
use super::requests::{ClientKey, ClientOffer, PollKey, SupplyHint};
use super::standing::KnownSource;

/// Maximum number of closed polls; the oldest ones beyond it are forgotten early. At the
/// design load of 2,500 matches a second there are 75,000.
const CLOSED_POLLS_MAX: usize = 100_000;

/// The time that a poll is remembered after its offer has ended, so that a late answer is
/// recognized: the slowest proxies take a few seconds.
const CLOSED_POLL_MEMORY: Duration = Duration::from_secs(30);

/// The broker that a client sent its request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientOrigin {
    /// This broker.
    Own,
    /// A peer. Its client gets a proxy beyond the reserve at once, or none.
    Borrower {
        reserve: usize,
        earlier_hand_offs: usize,
    },
}

impl ClientOrigin {
    pub(super) fn is_ours(self) -> bool {
        self == Self::Own
    }

    /// The number of proxies in each pool that this client does not get.
    pub(super) fn reserve(self) -> usize {
        match self {
            Self::Own => 0,
            Self::Borrower { reserve, .. } => reserve,
        }
    }

    /// The number of proxies that already had the offer on arrival.
    pub(super) fn earlier_hand_offs(self) -> usize {
        match self {
            Self::Own => 0,
            Self::Borrower {
                earlier_hand_offs, ..
            } => earlier_hand_offs,
        }
    }
}

/// A proxy's poll, from its arrival until its answer no longer matters.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) sid: Sid,
    pub(super) proxy_type: ProxyType,
    pub(super) nat: NatType,
    pub(super) clients: u64,
    pub(super) source: Option<KnownSource>,
    /// The marks by which rules of the policy apply to the poll.
    pub(super) marks: PolicyMarks,
    pub(super) arrival: u64,
    pub(super) deadline: Instant,
    pub(super) state: PollState,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PollState {
    /// The poll waits for a client.
    Parked,
    /// The poll has a client's offer, and its answer is outstanding.
    Offered(Offered),
    /// No client waits for the answer; an answer that still comes has this outcome.
    Closed(AnswerOutcome),
}

/// The client whose offer a poll has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) client: ClientKey,
    pub(super) since: Instant,
    /// The rules that decided this match.
    pub(super) decided: RuleSet,
}

/// A client's request without a reply yet.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) offer: ClientOffer,
    pub(super) origin: ClientOrigin,
    pub(super) arrival: u64,
    pub(super) deadline: Instant,
    pub(super) state: ClientState,
    /// The polls that have the offer now.
    pub(super) offered_to: Vec<PollKey>,
    /// The sources that have had the offer.
    pub(super) tried: Vec<u64>,
    /// The number of proxies here that were handed the offer.
    pub(super) hand_offs: usize,
    /// The number of proxies here that could not answer it.
    pub(super) declines: usize,
    /// The time of the last hand-off here, or of the arrival.
    pub(super) last_hand_off: Instant,
    /// True while it waits for nothing but the end of the time of honest proxies.
    pub(super) is_held_back: bool,
    pub(super) peers: PeerAttempts,
    /// The time that it may still wait in the queue.
    pub(super) patience: Duration,
    /// The time of the client's timer.
    pub(super) wake: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientState {
    /// Nobody has the offer.
    Unmatched,
    /// A proxy here has the offer, or peers are being asked.
    Matched,
}

impl Client {
    pub(super) fn class(&self) -> NatClass {
        self.offer.class()
    }

    /// The client's place where clients wait.
    pub(super) fn place(&self) -> Place {
        Place {
            class: self.class(),
            network: self.offer.network,
            arrival: self.arrival,
        }
    }

    /// Returns true if a proxy of this source may have the offer.
    pub(super) fn may_try(&self, source: Option<KnownSource>) -> bool {
        source.is_none_or(|source| !self.tried.contains(&source.id))
    }

    /// The number of attempts so far. Each [`AskPeer`](super::AskPeer) in progress counts
    /// as one. Afterwards all of them together count as one if a peer's proxy may have
    /// had the offer.
    pub(super) fn attempts(&self) -> usize {
        let peers = self
            .peers
            .under_way
            .max(usize::from(self.peers.was_offered));
        self.hand_offs + peers
    }

    /// Returns true if a proxy here has the offer, or peers are being asked.
    pub(super) fn is_offered(&self) -> bool {
        !self.offered_to.is_empty() || self.peers.is_asked()
    }
}

/// The state of one client's requests to peers.
#[derive(Debug)]
pub(super) struct PeerAttempts {
    supply: SupplyHint,
    was_asked: bool,
    under_way: usize,
    was_offered: bool,
}

impl PeerAttempts {
    pub(super) fn none_yet(supply: SupplyHint) -> Self {
        Self {
            supply,
            was_asked: false,
            under_way: 0,
            was_offered: false,
        }
    }

    pub(super) fn exist(&self) -> bool {
        self.supply != SupplyHint::NoPeers
    }

    /// Returns true if a peer reports a proxy and none was asked since.
    pub(super) fn has_untried_supply(&self) -> bool {
        self.supply == SupplyHint::Available && !self.was_asked
    }

    /// Returns true if peers are being asked.
    pub(super) fn is_asked(&self) -> bool {
        self.under_way > 0
    }

    /// Returns true if a peer's proxy may have had the offer but did not answer.
    pub(super) fn was_offered(&self) -> bool {
        self.was_offered
    }

    /// Notes that a peer reports a proxy.
    pub(super) fn supplied(&mut self) {
        if self.exist() {
            self.supply = SupplyHint::Available;
        }
    }

    fn asked(&mut self) {
        self.was_asked = true;
        self.under_way += 1;
    }

    /// Notes that the peers asked have no answer. If none had a proxy, they are worth asking
    /// once more when one reports another.
    pub(super) fn ended(&mut self, was_offered: bool) {
        self.under_way -= 1;
        self.was_offered |= was_offered;
        if !was_offered && self.exist() {
            self.supply = SupplyHint::Empty;
            self.was_asked = false;
        }
    }
}

/// The tables of polls and clients. Each `Sid` belongs to one poll at a time.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    polls: SlotMap<PollKey, Poll>,
    by_sid: HashMap<Sid, PollKey>,
    clients: SlotMap<ClientKey, Client>,
    matched: usize,
    closed: VecDeque<(Instant, PollKey)>,
}

impl Sessions {
    /// Returns true if a poll with this `Sid` is parked or has an answer outstanding.
    pub(super) fn is_in_use(&self, sid: &Sid) -> bool {
        self.poll_by_sid(sid)
            .is_some_and(|(_, poll)| !matches!(poll.state, PollState::Closed(_)))
    }

    /// Adds a poll whose `Sid` is not known.
    pub(super) fn insert_poll(&mut self, poll: Poll) -> PollKey {
        let sid = poll.sid;
        let key = self.polls.insert(poll);
        self.by_sid.insert(sid, key);
        key
    }

    pub(super) fn poll(&self, key: PollKey) -> Option<&Poll> {
        self.polls.get(key)
    }

    /// All parked polls.
    pub(super) fn parked(&self) -> Vec<PollKey> {
        let polls = self.polls.iter();
        let parked = polls.filter(|(_, poll)| matches!(poll.state, PollState::Parked));
        parked.map(|(key, _)| key).collect()
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

    /// Marks an offered poll as closed, because no client waits for its answer any more.
    /// Returns its source, if it was not closed before.
    pub(super) fn close_poll(
        &mut self,
        now: Instant,
        key: PollKey,
        outcome: AnswerOutcome,
    ) -> Option<KnownSource> {
        let poll = self.polls.get_mut(key)?;
        if !matches!(poll.state, PollState::Offered(_)) {
            return None;
        }
        poll.state = PollState::Closed(outcome);
        self.closed.push_back((now + CLOSED_POLL_MEMORY, key));
        poll.source
    }

    /// The next closed poll to forget: one whose time is up, or the oldest one beyond the
    /// maximum.
    pub(super) fn next_to_forget(&mut self, now: Instant) -> Option<PollKey> {
        let &(until, key) = self.closed.front()?;
        let is_over = until <= now || self.closed.len() > CLOSED_POLLS_MAX;
        is_over.then(|| {
            self.closed.pop_front();
            key
        })
    }

    /// Notes that a closed poll's answer has come late.
    pub(super) fn answered_late(&mut self, key: PollKey) {
        if let Some(poll) = self.polls.get_mut(key) {
            poll.state = PollState::Closed(AnswerOutcome::Repeated);
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

    /// The number of clients waiting for an answer.
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

    /// Marks the client's offer as handed to the poll.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        poll_key: PollKey,
        client_key: ClientKey,
        decided: RuleSet,
    ) -> Option<&Client> {
        let poll = self.polls.get_mut(poll_key)?;
        let client = self.clients.get_mut(client_key)?;
        poll.state = PollState::Offered(Offered {
            client: client_key,
            since: now,
            decided,
        });
        if client.state == ClientState::Unmatched {
            client.state = ClientState::Matched;
            self.matched += 1;
        }
        client.offered_to.push(poll_key);
        client.tried.extend(poll.source.map(|source| source.id));
        client.hand_offs += 1;
        client.last_hand_off = now;
        Some(client)
    }

    /// Marks the client's offer as sent to peers.
    pub(super) fn ask_peers(&mut self, key: ClientKey) -> Option<&Client> {
        let client = self.clients.get_mut(key)?;
        if client.state == ClientState::Unmatched {
            client.state = ClientState::Matched;
            self.matched += 1;
        }
        client.peers.asked();
        Some(client)
    }

    /// Marks the client's offer as being with nobody.
    pub(super) fn unmatch(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key)
            && client.state == ClientState::Matched
        {
            client.state = ClientState::Unmatched;
            self.matched -= 1;
        }
    }
}
