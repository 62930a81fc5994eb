//! The same engine again, slow and plain: two lists in the order of coming, and
//! every question answered by looking at all of them.

use std::time::Duration;

use snowflake_broker::matching::{
    AnswerOutcome, Answered, ClientKey, ClientOffer, ClientReply, Denied, Event, NoMatch,
    PollReply, Settings, Snapshot,
};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;
use snowflake_broker::wire::session_description::SessionDescription;

mod decisions;

/// What the engine says, with polls and clients by the order of their coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Poll(usize, PollReply),
    Client(usize, ClientReply),
    Overdue(usize),
    Event(Event),
}

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whose {
    Ours,
    /// Ours, and another broker has its offer too.
    Borrowing,
    /// Another broker's.
    Theirs {
        reserve: usize,
    },
}

/// Times are counted from some start.
type Time = Duration;

const CLOSED_POLL_MEMORY: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum PollState {
    Parked,
    Offered { client: usize, since: Time },
    Closed { outcome: AnswerOutcome, since: Time },
    Gone,
}

#[derive(Debug)]
struct Poll {
    sid: u8,
    proxy_type: ProxyType,
    nat: NatType,
    clients: u64,
    deadline: Time,
    state: PollState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ClientState {
    Queued { until: Time },
    Matched { rematch_at: Option<Time> },
    Overdue,
    Gone,
}

#[derive(Debug)]
struct Client {
    /// What the engine calls it.
    key: ClientKey,
    offer: ClientOffer,
    whose: Whose,
    deadline: Time,
    hand_offs: usize,
    state: ClientState,
}

/// The lists; the index is the name.
#[derive(Debug)]
pub(crate) struct Reference {
    settings: Settings,
    polls: Vec<Poll>,
    clients: Vec<Client>,
    lame_duck: bool,
    draining: bool,
    said: Vec<Said>,
}

impl Reference {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            polls: Vec::new(),
            clients: Vec::new(),
            lame_duck: false,
            draining: false,
            said: Vec::new(),
        }
    }

    /// Whether the poll is taken.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        arrived: Time,
        sid: u8,
        who: (ProxyType, NatType, u64),
    ) -> bool {
        self.tick(now);
        if self
            .polls
            .iter()
            .any(|poll| poll.sid == sid && in_use(poll))
        {
            return false;
        }
        self.forget(|poll| poll.sid == sid);
        let (proxy_type, nat, clients) = who;
        self.polls.push(Poll {
            sid,
            proxy_type,
            nat,
            clients,
            deadline: arrived + self.settings.proxy_timeout,
            state: PollState::Parked,
        });
        let poll = self.polls.len() - 1;
        if self.draining {
            self.no_match(poll, NoMatch::LameDuck);
        } else if let Some(client) = self.client_for(now, nat) {
            self.hand_off(now, poll, client);
        } else if self.lame_duck {
            self.no_match(poll, NoMatch::LameDuck);
        } else if self.parked().count() > self.settings.max_parked_polls {
            self.no_match(poll, NoMatch::Overloaded);
        }
        true
    }

    pub(crate) fn client(&mut self, now: Time, arrived: Time, offer: ClientOffer, key: ClientKey) {
        let deadline = arrived + self.settings.client_timeout;
        self.admit(now, deadline, (offer, key), Whose::Ours, 0);
    }

    pub(crate) fn borrowing_client(
        &mut self,
        now: Time,
        arrived: Time,
        offer: ClientOffer,
        key: ClientKey,
    ) {
        let deadline = arrived + self.settings.client_timeout;
        self.admit(now, deadline, (offer, key), Whose::Borrowing, 1);
    }

    pub(crate) fn borrower(
        &mut self,
        now: Time,
        (deadline, attempt, reserve): (Time, usize, usize),
        offer: ClientOffer,
        key: ClientKey,
    ) {
        let deadline = deadline.min(now + self.settings.client_timeout);
        let whose = Whose::Theirs { reserve };
        self.admit(now, deadline, (offer, key), whose, attempt - 1);
    }

    fn admit(
        &mut self,
        now: Time,
        deadline: Time,
        (offer, key): (ClientOffer, ClientKey),
        whose: Whose,
        hand_offs: usize,
    ) {
        self.tick(now);
        let matched = self.matched().count();
        self.clients.push(Client {
            key,
            offer,
            whose,
            deadline,
            hand_offs,
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
        self.tick(now);
        let known = |poll: &Poll| poll.sid == sid && poll.state != PollState::Gone;
        let found = self.polls.iter().position(known);
        let state = found.map(|poll| self.polls[poll].state);
        let outcome = match (found, state) {
            (Some(poll), Some(PollState::Offered { client, since })) => {
                self.close(poll, AnswerOutcome::Repeated, now);
                self.end_client(now, client, AnswerOutcome::Beaten);
                let answered = Answered {
                    answer,
                    attempts: self.clients[client].hand_offs,
                    since_hand_off: now.saturating_sub(since),
                };
                self.said
                    .push(Said::Client(client, ClientReply::Answer(answered)));
                AnswerOutcome::Delivered
            }
            (_, Some(PollState::Closed { outcome, .. })) => outcome,
            _ => AnswerOutcome::Unknown,
        };
        let proxy_type = found.map_or(ProxyType::Unknown, |poll| self.polls[poll].proxy_type);
        self.said.push(Said::Event(Event::Answer {
            proxy_type,
            outcome,
        }));
        outcome
    }

    pub(crate) fn poll_gone(&mut self, now: Time, poll: usize) {
        self.tick(now);
        match self.polls[poll].state {
            PollState::Parked => {
                self.polls[poll].state = PollState::Gone;
                self.said.push(Said::Event(Event::PollAbandoned));
            }
            PollState::Offered { client, .. } => {
                self.polls[poll].state = PollState::Gone;
                self.said.push(Said::Event(Event::HandOffFailed));
                self.hand_off_failed(now, client);
            }
            PollState::Closed { .. } | PollState::Gone => {}
        }
    }

    pub(crate) fn client_gone(&mut self, now: Time, client: usize) {
        self.tick(now);
        if self.clients[client].state != ClientState::Gone {
            self.end_client(now, client, AnswerOutcome::ClientLeft);
            self.said.push(Said::Event(Event::ClientAbandoned));
        }
    }

    /// Another broker is asked for the client.
    pub(crate) fn borrow(&mut self, now: Time, client: usize) {
        self.tick(now);
        let client = &mut self.clients[client];
        if client.state != ClientState::Gone && client.whose == Whose::Ours {
            client.whose = Whose::Borrowing;
            client.hand_offs += 1;
            if client.state == ClientState::Overdue {
                client.state = ClientState::Matched { rematch_at: None };
            }
        }
    }

    /// It had nothing.
    pub(crate) fn not_borrowed(&mut self, now: Time, index: usize) {
        self.tick(now);
        let client = &mut self.clients[index];
        if client.state == ClientState::Gone || client.whose != Whose::Borrowing {
            return;
        }
        client.whose = Whose::Ours;
        client.hand_offs -= 1;
        if !matches!(client.state, ClientState::Queued { .. }) {
            self.second_chance(now, index);
        }
    }

    /// It had an answer.
    pub(crate) fn borrowed(&mut self, now: Time, client: usize) {
        self.tick(now);
        if self.clients[client].state != ClientState::Gone {
            self.end_client(now, client, AnswerOutcome::Beaten);
        }
    }

    /// Does all that is due, one thing after the other, soonest first; at the
    /// same moment polls before clients, and each in the order of coming.
    pub(crate) fn tick(&mut self, now: Time) {
        self.forget(|poll| match poll.state {
            PollState::Closed { since, .. } => since + CLOSED_POLL_MEMORY <= now,
            _ => false,
        });
        while let Some((at, is_client, index)) = self.next_due()
            && at <= now
        {
            if is_client {
                self.client_due(now, index);
            } else {
                self.no_match(index, NoMatch::Idle);
            }
        }
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.next_due().map(|(at, ..)| at)
    }

    pub(crate) fn start_lame_duck(&mut self) {
        self.lame_duck = true;
    }

    pub(crate) fn start_draining(&mut self, now: Time) {
        self.tick(now);
        self.draining = true;
        for poll in self.parked().collect::<Vec<_>>() {
            self.no_match(poll, NoMatch::Draining);
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

    pub(crate) fn take_said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut parked = Vec::new();
        for proxy_type in ProxyType::ALL {
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
