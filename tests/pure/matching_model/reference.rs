//! The same engine, slow and simple: two lists in the order of arrival, all of which are
//! searched for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snowflake_broker::matching::{
    AnswerOutcome, Answered, ClientKey, ClientOffer, ClientReply, Denied, MatchesElsewhere,
    MatchingEvent, NoMatch, OfferEnd, OverShare, PeerReply, PollKey, PollReply, Settings, Snapshot,
    Source, SourceRecord, SupplyHint, SupplySettings,
};
use snowflake_broker::policy::{Policy, RuleSet};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;
use snowflake_broker::wire::session_description::SessionDescription;

use super::rules::{self, Marks, Terms};

mod decisions;
mod shares;

/// A proxy's type, NAT, clients, source with its record, and marks.
pub(crate) type Who = (ProxyType, NatType, u64, Option<(u8, SourceRecord)>, Marks);

/// The source as the engine knows it. One has twice the share of the others.
pub(crate) fn source(number: u8) -> Source {
    Source {
        id: u64::from(number),
        network: u64::from(number / 2),
        share: if number == 3 { 2 } else { 1 },
        record: SourceRecord::default(),
        elsewhere: MatchesElsewhere::default(),
    }
}

/// The engine's outputs, with polls and clients numbered in the order of their arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Poll(usize, PollReply),
    Client(usize, ClientReply),
    /// The attempt, its deadline, and its last call for a proxy.
    AskPeer(usize, usize, [Time; 2]),
    Event(MatchingEvent),
}

/// The broker that the client polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whose {
    Ours,
    /// Another broker.
    Theirs {
        reserve: usize,
    },
}

/// Times since a common start.
type Time = Duration;

const CLOSED_POLL_MEMORY: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum PollState {
    Parked,
    Offered {
        client: usize,
        since: Time,
        /// The rules that decided it.
        decided: u8,
    },
    Closed {
        outcome: AnswerOutcome,
        since: Time,
        /// The number of its closing.
        number: u64,
    },
    Gone,
}

#[derive(Debug)]
struct Poll {
    /// The poll's key in the engine.
    key: PollKey,
    sid: u8,
    proxy_type: ProxyType,
    nat: NatType,
    clients: u64,
    source: Option<u8>,
    marks: Marks,
    /// The number of its arrival, among those of all events that have one.
    arrival: u64,
    deadline: Time,
    state: PollState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ClientState {
    Queued {
        until: Time,
    },
    Matched {
        rematch_at: Option<Time>,
        is_overdue: bool,
        is_held_back: bool,
    },
    Gone,
}

#[derive(Debug)]
struct Client {
    /// The client's key in the engine.
    key: ClientKey,
    offer: ClientOffer,
    marks: Marks,
    whose: Whose,
    deadline: Time,
    arrival: u64,
    /// Hand-offs to proxies here, their polls in order, the sources of those, and the time of the last attempt.
    hand_offs: usize,
    declines: usize,
    offered_to: Vec<usize>,
    tried: Vec<u8>,
    last_hand_off: Time,
    supply: SupplyHint,
    /// The number of calls to peers, the number still in progress, and whether a peer's
    /// proxy may have had the offer in one that ended.
    asked: usize,
    calls: usize,
    was_offered: bool,
    /// What is left of its time in the queue.
    patience: Duration,
    state: ClientState,
}

/// The lists, whose indices serve as keys.
#[derive(Debug)]
pub(crate) struct Reference {
    settings: Settings,
    polls: Vec<Poll>,
    clients: Vec<Client>,
    supply: SupplySettings,
    terms: Terms,
    policy: Policy,
    /// The rules that decided each match, by pool.
    decided: [Vec<u8>; 3],
    /// The last number of an arrival or turn.
    numbers: u64,
    turns: BTreeMap<u8, u64>,
    records: BTreeMap<u8, SourceRecord>,
    /// The number of idle polls that got a client.
    taken: u64,
    /// The number of polls closed so far.
    closings: u64,
    network_turns: BTreeMap<u64, u64>,
    /// The sources of the recent clients of each pool.
    served: [Vec<Option<u8>>; 3],
    /// When the minute after each match of a source that does not rest is over, its pool, and the source.
    fit: Vec<(Time, usize, Option<u8>)>,
    /// When each match of the last minute is over, and its source.
    recent: Vec<(Time, u8)>,
    /// The sources at a limit, and those that no longer are.
    resting: BTreeSet<u8>,
    released: BTreeSet<u8>,
    lame_duck: bool,
    draining: bool,
    said: Vec<Output>,
}

impl Reference {
    pub(crate) fn new(settings: Settings, supply: SupplySettings, terms: Terms) -> Self {
        Self {
            settings,
            polls: Vec::new(),
            clients: Vec::new(),
            supply,
            terms,
            policy: terms.policy(),
            decided: Default::default(),
            numbers: 0,
            turns: BTreeMap::new(),
            records: BTreeMap::new(),
            taken: 0,
            closings: 0,
            network_turns: BTreeMap::new(),
            served: Default::default(),
            fit: Vec::new(),
            recent: Vec::new(),
            resting: BTreeSet::new(),
            released: BTreeSet::new(),
            lame_duck: false,
            draining: false,
            said: Vec::new(),
        }
    }

    /// Returns true if the poll is accepted.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        arrived: Time,
        (sid, key): (u8, PollKey),
        who: Who,
    ) -> bool {
        self.tick(now);
        if self
            .polls
            .iter()
            .any(|poll| poll.sid == sid && in_use(poll))
        {
            return false;
        }
        let (proxy_type, nat, clients, source, marks) = who;
        if let Some((source, record)) = source {
            self.records.insert(source, record);
            self.note_released();
            self.serve_released(now);
        }
        let source = source.map(|(source, _)| source);
        let arrival = self.next_number();
        self.forget(|poll| poll.sid == sid);
        self.polls.push(Poll {
            key,
            sid,
            proxy_type,
            nat,
            clients,
            source,
            marks,
            arrival,
            deadline: arrived + self.settings.proxy_timeout,
            state: PollState::Gone,
        });
        let poll = self.polls.len() - 1;
        if self.draining {
            self.no_match(poll, NoMatch::NotParked);
        } else if let Some(limit) = source.and_then(|source| self.refusal(now, source, nat)) {
            self.no_match(poll, NoMatch::OverShare(limit));
        } else if let Some(client) = self.client_for(now, nat, source, marks) {
            self.hand_off(now, (poll, 0, 0), client);
        } else if self.lame_duck {
            self.no_match(poll, NoMatch::NotParked);
        } else if self.parked().count() >= self.settings.max_parked_polls {
            self.no_match(poll, NoMatch::Overloaded);
        } else if source.is_some_and(|source| self.is_parking_full(source)) {
            self.no_match(poll, NoMatch::OverShare(OverShare::Parked));
        } else {
            self.polls[poll].state = PollState::Parked;
        }
        true
    }

    pub(crate) fn client(
        &mut self,
        now: Time,
        arrived: Time,
        supply: SupplyHint,
        (offer, key): (ClientOffer, ClientKey),
        marks: Marks,
    ) {
        let deadline = arrived + self.settings.client_timeout;
        let client = (offer, key, marks);
        self.admit(now, deadline, client, Whose::Ours, (0, supply));
    }

    pub(crate) fn borrower(
        &mut self,
        now: Time,
        (deadline, attempt, reserve): (Time, usize, usize),
        (offer, key): (ClientOffer, ClientKey),
        marks: Marks,
    ) {
        let deadline = deadline.min(now + self.settings.client_timeout);
        let whose = Whose::Theirs { reserve };
        let before = (attempt - 1, SupplyHint::NoPeers);
        self.admit(now, deadline, (offer, key, marks), whose, before);
    }

    fn admit(
        &mut self,
        now: Time,
        deadline: Time,
        (offer, key, marks): (ClientOffer, ClientKey, Marks),
        whose: Whose,
        (hand_offs, supply): (usize, SupplyHint),
    ) {
        self.tick(now);
        let matched = self.matched().count();
        let arrival = self.next_number();
        self.clients.push(Client {
            key,
            offer,
            marks,
            whose,
            deadline,
            arrival,
            hand_offs,
            declines: 0,
            offered_to: Vec::new(),
            tried: Vec::new(),
            last_hand_off: now,
            supply,
            asked: 0,
            calls: 0,
            was_offered: false,
            patience: self.settings.client_queue_wait,
            state: ClientState::Gone,
        });
        let client = self.clients.len() - 1;
        let is_theirs = matches!(whose, Whose::Theirs { .. });
        if self.draining || (self.lame_duck && is_theirs) {
            self.deny(client, Denied::Draining);
        } else if deadline <= now {
            self.deny(client, Denied::NoTimeLeft);
        } else if matched >= self.settings.max_matched_clients {
            self.deny(client, Denied::Overloaded);
        } else {
            self.match_or_queue(now, client, now + self.settings.client_queue_wait);
        }
    }

    pub(crate) fn answer(
        &mut self,
        now: Time,
        sid: u8,
        answer: SessionDescription,
    ) -> AnswerOutcome {
        self.answered(now, sid, Some(answer))
    }

    pub(crate) fn decline(&mut self, now: Time, sid: u8) -> AnswerOutcome {
        self.answered(now, sid, None)
    }

    fn answered(
        &mut self,
        now: Time,
        sid: u8,
        answer: Option<SessionDescription>,
    ) -> AnswerOutcome {
        self.tick(now);
        let known = |poll: &Poll| poll.sid == sid && poll.state != PollState::Gone;
        let found = self.polls.iter().position(known);
        let state = found.map(|poll| self.polls[poll].state);
        let outcome = match (found, state) {
            (
                Some(poll),
                Some(PollState::Offered {
                    client,
                    since,
                    decided,
                }),
            ) => {
                self.close(poll, AnswerOutcome::Repeated, now);
                let Some(answer) = answer else {
                    self.offer_ended(poll, OfferEnd::Unanswered);
                    self.clients[client].declines += 1;
                    self.hand_off_failed(now, client);
                    return self.outcome(now, poll, AnswerOutcome::Declined);
                };
                self.offer_ended(poll, OfferEnd::Answered);
                self.end_client(now, client, AnswerOutcome::Beaten);
                let answered = Answered {
                    answer,
                    attempts: self.attempts(client),
                    since_hand_off: now.saturating_sub(since),
                    decided: rules::set(&self.policy, decided),
                };
                self.said
                    .push(Output::Client(client, ClientReply::Answer(answered)));
                AnswerOutcome::Delivered
            }
            (
                Some(poll),
                Some(PollState::Closed {
                    outcome,
                    since,
                    number,
                }),
            ) => {
                if matches!(outcome, AnswerOutcome::Beaten | AnswerOutcome::ClientLeft) {
                    let outcome = AnswerOutcome::Repeated;
                    self.polls[poll].state = PollState::Closed {
                        outcome,
                        since,
                        number,
                    };
                    self.offer_ended(poll, OfferEnd::Void);
                }
                outcome
            }
            _ => AnswerOutcome::Unknown,
        };
        let proxy_type = found.map_or(ProxyType::UNKNOWN, |poll| self.polls[poll].proxy_type);
        self.said.push(Output::Event(MatchingEvent::Answer {
            proxy_type,
            outcome,
        }));
        self.serve_released(now);
        outcome
    }

    fn outcome(&mut self, now: Time, poll: usize, outcome: AnswerOutcome) -> AnswerOutcome {
        let proxy_type = self.polls[poll].proxy_type;
        self.said.push(Output::Event(MatchingEvent::Answer {
            proxy_type,
            outcome,
        }));
        self.serve_released(now);
        outcome
    }

    pub(crate) fn poll_gone(&mut self, now: Time, poll: usize) {
        self.tick(now);
        match self.polls[poll].state {
            PollState::Parked => {
                self.polls[poll].state = PollState::Gone;
                self.said.push(Output::Event(MatchingEvent::PollAbandoned));
            }
            PollState::Offered { client, .. } => {
                self.polls[poll].state = PollState::Gone;
                self.note_released();
                self.offer_ended(poll, OfferEnd::Void);
                self.said.push(Output::Event(MatchingEvent::HandOffFailed));
                let source = self.polls[poll].source;
                let tried = &mut self.clients[client].tried;
                tried.retain(|tried| Some(*tried) != source);
                self.hand_off_failed(now, client);
            }
            PollState::Closed { .. } | PollState::Gone => {}
        }
        self.serve_released(now);
    }

    pub(crate) fn client_gone(&mut self, now: Time, client: usize) {
        self.tick(now);
        if self.clients[client].state != ClientState::Gone {
            self.end_client(now, client, AnswerOutcome::ClientLeft);
            self.said
                .push(Output::Event(MatchingEvent::ClientAbandoned));
        }
        self.serve_released(now);
    }

    /// Handles a peer's report of a proxy for the client.
    pub(crate) fn peer_supply(&mut self, now: Time, index: usize) {
        self.tick(now);
        let client = &mut self.clients[index];
        if client.supply == SupplyHint::Empty {
            client.supply = SupplyHint::Available;
        }
        if matches!(client.state, ClientState::Queued { .. }) && self.is_worth_asking(now, index) {
            self.ask_peer(now, index);
        }
    }

    /// Handles the reply of the peers asked for the client.
    pub(crate) fn peer_reply(&mut self, now: Time, index: usize, reply: PeerReply) {
        self.tick(now);
        let client = &mut self.clients[index];
        if client.state == ClientState::Gone || client.calls == 0 {
            return;
        }
        if let PeerReply::Answered {
            answer,
            since_asked,
        } = reply
        {
            let answered = Answered {
                answer,
                attempts: self.attempts(index),
                since_hand_off: since_asked,
                decided: RuleSet::NONE,
            };
            self.end_client(now, index, AnswerOutcome::Beaten);
            let reply = ClientReply::Answer(answered);
            self.said.push(Output::Client(index, reply));
            return self.serve_released(now);
        }
        client.calls -= 1;
        if reply == PeerReply::Unanswered {
            client.was_offered = true;
        } else if client.supply != SupplyHint::NoPeers {
            client.supply = SupplyHint::Empty;
            client.asked = 0;
        }
        let until = now.saturating_add(self.clients[index].patience);
        self.attempt_failed(now, index, until, false);
        self.serve_released(now);
    }

    /// Carries out all timers that are due, soonest first; at the same moment polls
    /// before clients, each in the order of arrival.
    pub(crate) fn tick(&mut self, now: Time) {
        self.forget(|poll| match poll.state {
            PollState::Closed { since, .. } => since + CLOSED_POLL_MEMORY <= now,
            _ => false,
        });
        self.serve_released(now);
        loop {
            let due = self.next_due().filter(|(at, ..)| *at <= now);
            let expiry = self.next_expiry().filter(|at| *at <= now);
            match (expiry, due) {
                (Some(expiry), due) if due.is_none_or(|(at, ..)| expiry <= at) => {
                    self.recent.remove(0);
                    self.note_released();
                }
                (_, Some((_, true, client))) => self.client_due(now, client),
                (_, Some((_, false, poll))) => self.no_match(poll, NoMatch::Idle),
                (_, None) => return,
            }
            self.serve_released(now);
        }
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        let due = self.next_due().map(|(at, ..)| at);
        let somebody_waits = self.parked().any(|poll| {
            self.polls[poll]
                .source
                .is_some_and(|source| self.limit(source).is_some())
        });
        let expiry = self.next_expiry().filter(|_| somebody_waits);
        due.into_iter().chain(expiry).min()
    }

    pub(crate) fn start_lame_duck(&mut self) {
        self.lame_duck = true;
    }

    pub(crate) fn start_draining(&mut self, now: Time) {
        self.tick(now);
        self.draining = true;
        for poll in self.parked().collect::<Vec<_>>() {
            self.no_match(poll, NoMatch::Evicted);
        }
        for client in self.queued().collect::<Vec<_>>() {
            self.deny(client, Denied::Draining);
        }
    }

    pub(crate) fn resume(&mut self) {
        self.lame_duck = false;
        self.draining = false;
    }

    pub(crate) fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    pub(crate) fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    pub(crate) fn share(&mut self, now: Time, supply: SupplySettings) {
        self.tick(now);
        self.supply = supply;
        self.forget_served();
        self.note_released();
        self.serve_released(now);
    }

    pub(crate) fn take_said(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut parked = Vec::new();
        for proxy_type in ProxyType::DEFAULT.into_iter().collect::<BTreeSet<_>>() {
            for nat in NatType::ALL {
                let alike = |&poll: &usize| {
                    self.polls[poll].proxy_type == proxy_type && self.polls[poll].nat == nat
                };
                match self.parked().filter(alike).count() {
                    0 => {}
                    count => parked.push((proxy_type, nat, count)),
                }
            }
        }
        Snapshot {
            parked,
            queued_clients: self.queued().count(),
            matched_clients: self.matched().count(),
        }
    }
}

fn in_use(poll: &Poll) -> bool {
    matches!(poll.state, PollState::Parked | PollState::Offered { .. })
}
