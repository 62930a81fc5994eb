//! The reference's decisions.

use std::time::Duration;

use snowflake_broker::matching::{
    AnswerOutcome, ClientReply, Denied, HandOff, MatchingEvent, NoMatch, PollReply, SupplyHint,
};
use snowflake_broker::wire::nat::NatType::{
    self, Moderate, Open, Restricted, Strict, Unknown, Unrestricted,
};

use super::{ClientState, Output, Poll, PollState, Reference, Time, Whose};

/// The time before its client's deadline by which a peer must answer.
const PEER_MARGIN: Duration = Duration::from_millis(200);

/// The pools that can serve a client, in order of preference: PROTOCOL.md, section 6.
fn pools_for(client: NatType) -> &'static [&'static [NatType]] {
    match client {
        Open | Unrestricted => &[
            &[Strict, Restricted, Unknown],
            &[Moderate],
            &[Open, Unrestricted],
        ],
        Moderate => &[&[Moderate], &[Open, Unrestricted]],
        Strict | Restricted | Unknown => &[&[Open, Unrestricted]],
    }
}

fn can_serve(proxy: NatType, client: NatType) -> bool {
    pools_for(client).iter().any(|pool| pool.contains(&proxy))
}

impl Reference {
    pub(super) fn parked(&self) -> impl Iterator<Item = usize> {
        (0..self.polls.len()).filter(|&poll| self.polls[poll].state == PollState::Parked)
    }

    pub(super) fn queued(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len())
            .filter(|&client| matches!(self.clients[client].state, ClientState::Queued { .. }))
    }

    pub(super) fn matched(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len())
            .filter(|&client| matches!(self.clients[client].state, ClientState::Matched { .. }))
    }

    pub(super) fn overdue(&self) -> impl Iterator<Item = usize> {
        let is_overdue =
            |state| matches!(state, ClientState::Matched { is_overdue, .. } if is_overdue);
        (0..self.clients.len()).filter(move |&client| is_overdue(self.clients[client].state))
    }

    pub(super) fn next_due(&self) -> Option<(Time, bool, usize)> {
        let polls = self
            .parked()
            .map(|poll| (self.polls[poll].deadline, false, poll));
        let clients = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(index, client)| match client.state {
                ClientState::Queued { until } => Some((until, true, index)),
                ClientState::Matched { rematch_at, .. } => {
                    let at = rematch_at.map_or(client.deadline, |at| at.min(client.deadline));
                    Some((at, true, index))
                }
                ClientState::Gone => None,
            });
        polls.chain(clients).min()
    }

    pub(super) fn client_due(&mut self, now: Time, client: usize) {
        let queued = matches!(self.clients[client].state, ClientState::Queued { .. });
        if queued {
            self.deny(client, Denied::NoProxy);
        } else if self.clients[client].deadline <= now {
            self.end_client(now, client, AnswerOutcome::TooLate);
            self.said
                .push(Output::Client(client, ClientReply::TimedOut));
        } else {
            self.second_chance(now, client, true);
        }
    }

    pub(super) fn second_chance(&mut self, now: Time, client: usize, may_ask: bool) {
        self.clients[client].state = ClientState::Matched {
            rematch_at: None,
            is_overdue: false,
        };
        if !self.may_have_another(now, client) {
            return;
        }
        if let Some(poll) = self.idle_poll_for(client) {
            return self.hand_off(now, poll, client);
        }
        let has_peers = self.clients[client].supply != SupplyHint::NoPeers;
        if may_ask && has_peers && self.may_ask_peers(now, client) {
            self.ask_peer(now, client);
        }
        let may_have_another = self.may_have_another(now, client);
        let client = &mut self.clients[client];
        if let ClientState::Matched { is_overdue, .. } = &mut client.state {
            *is_overdue = client.whose == Whose::Ours && may_have_another;
        }
    }

    /// Each call to peers in progress counts. Afterwards all calls count as one if a
    /// proxy may have had the offer.
    pub(super) fn attempts(&self, client: usize) -> usize {
        let client = &self.clients[client];
        client.hand_offs + client.calls.max(usize::from(client.was_offered))
    }

    pub(super) fn may_have_another(&self, now: Time, index: usize) -> bool {
        let client = &self.clients[index];
        self.attempts(index) < self.settings.max_attempts
            && now + self.settings.min_answer_time <= client.deadline
    }

    /// The latest times for a peer's answer and for asking a peer.
    fn times_of_peers(&self, client: usize) -> [Time; 2] {
        let deadline = self.clients[client].deadline.saturating_sub(PEER_MARGIN);
        let last_call = deadline.saturating_sub(self.settings.min_answer_time);
        [deadline, last_call]
    }

    fn may_ask_peers(&self, now: Time, client: usize) -> bool {
        let [_, last_call] = self.times_of_peers(client);
        !self.draining && now <= last_call
    }

    /// For an unmatched client, peers are asked once, if one reports a proxy.
    pub(super) fn is_worth_asking(&self, now: Time, index: usize) -> bool {
        let client = &self.clients[index];
        client.supply == SupplyHint::Available
            && client.asked == 0
            && self.may_ask_peers(now, index)
    }

    pub(super) fn ask_peer(&mut self, now: Time, index: usize) {
        self.clients[index].asked += 1;
        self.clients[index].calls += 1;
        let attempt = self.attempts(index);
        self.clients[index].state = self.matched_from(now, attempt);
        let times = self.times_of_peers(index);
        self.said.push(Output::AskPeer(index, attempt, times));
    }

    fn matched_from(&self, now: Time, attempt: usize) -> ClientState {
        let another = attempt < self.settings.max_attempts;
        ClientState::Matched {
            rematch_at: another.then_some(now + self.settings.rematch_after),
            is_overdue: false,
        }
    }

    pub(super) fn match_or_queue(&mut self, now: Time, client: usize, until: Time) {
        if let Some(poll) = self.idle_poll_for(client) {
            return self.hand_off(now, poll, client);
        }
        if matches!(self.clients[client].whose, Whose::Theirs { .. }) {
            return self.deny(client, Denied::NoneToLend);
        }
        if self.is_worth_asking(now, client) {
            return self.ask_peer(now, client);
        }
        let deadline = self.clients[client].deadline;
        let last_call = deadline.saturating_sub(self.settings.min_answer_time);
        let until = until.min(last_call);
        let queued = self.queued().count();
        if until <= now || self.settings.client_queue_max == 0 {
            self.deny(client, Denied::NoProxy);
        } else if queued >= self.settings.client_queue_max {
            self.deny(client, Denied::QueueFull);
        } else {
            self.clients[client].state = ClientState::Queued { until };
            self.said.push(Output::Event(MatchingEvent::ClientQueued));
        }
    }

    pub(super) fn hand_off_failed(&mut self, now: Time, client: usize) {
        self.clients[client].hand_offs -= 1;
        self.attempt_failed(now, client, self.clients[client].deadline, true);
    }

    pub(super) fn attempt_failed(&mut self, now: Time, client: usize, until: Time, may_ask: bool) {
        let is_handed = self.polls.iter().any(|poll| has_offer_of(poll, client));
        if is_handed || self.clients[client].calls > 0 {
            self.second_chance(now, client, may_ask);
        } else if self.draining {
            self.deny(client, Denied::Draining);
        } else {
            self.clients[client].state = ClientState::Gone;
            self.match_or_queue(now, client, until);
        }
    }

    /// The least loaded proxy of the preferred pool; of equals, the first to arrive.
    pub(super) fn idle_poll_for(&self, client: usize) -> Option<usize> {
        let pools = pools_for(self.clients[client].offer.nat);
        let reserve = match self.clients[client].whose {
            Whose::Theirs { reserve } => reserve,
            Whose::Ours => 0,
        };
        pools.iter().find_map(|pool| {
            let in_pool = |&poll: &usize| pool.contains(&self.polls[poll].nat);
            if self.parked().filter(in_pool).count() <= reserve {
                return None;
            }
            self.parked()
                .filter(in_pool)
                .min_by_key(|&poll| (self.polls[poll].clients, poll))
        })
    }

    /// The oldest queued client, else the oldest overdue one. An overdue client that may
    /// have no further proxy when its turn comes is dropped.
    pub(super) fn client_for(&mut self, now: Time, proxy: NatType) -> Option<usize> {
        let queued = self.queued().find(|&client| self.is_served(client, proxy));
        if queued.is_some() {
            return queued;
        }
        let overdue: Vec<usize> = self.overdue().collect();
        for client in overdue {
            if self.is_served(client, proxy) {
                if self.may_have_another(now, client) {
                    return Some(client);
                }
                if let ClientState::Matched { is_overdue, .. } = &mut self.clients[client].state {
                    *is_overdue = false;
                }
            }
        }
        None
    }

    pub(super) fn is_served(&self, client: usize, proxy: NatType) -> bool {
        can_serve(proxy, self.clients[client].offer.nat)
    }

    pub(super) fn hand_off(&mut self, now: Time, poll: usize, client: usize) {
        self.polls[poll].state = PollState::Offered { client, since: now };
        self.clients[client].hand_offs += 1;
        let attempt = self.attempts(client);
        self.clients[client].state = self.matched_from(now, attempt);
        let hand_off = HandOff {
            client: self.clients[client].key,
            offer: self.clients[client].offer.clone(),
            attempt,
        };
        let reply = PollReply::Offer(hand_off);
        self.said.push(Output::Poll(poll, reply));
    }

    pub(super) fn no_match(&mut self, poll: usize, reason: NoMatch) {
        self.polls[poll].state = PollState::Gone;
        self.said
            .push(Output::Poll(poll, PollReply::NoMatch(reason)));
    }

    pub(super) fn deny(&mut self, client: usize, reason: Denied) {
        self.clients[client].state = ClientState::Gone;
        let reply = if self.clients[client].was_offered {
            ClientReply::TimedOut
        } else {
            ClientReply::Denied(reason)
        };
        self.said.push(Output::Client(client, reply));
    }

    pub(super) fn end_client(&mut self, now: Time, client: usize, late: AnswerOutcome) {
        self.clients[client].state = ClientState::Gone;
        for poll in 0..self.polls.len() {
            if has_offer_of(&self.polls[poll], client) {
                self.close(poll, late, now);
            }
        }
    }

    pub(super) fn close(&mut self, poll: usize, outcome: AnswerOutcome, since: Time) {
        self.polls[poll].state = PollState::Closed { outcome, since };
    }

    pub(super) fn forget(&mut self, which: impl Fn(&Poll) -> bool) {
        for poll in self.polls.iter_mut().filter(|poll| which(poll)) {
            poll.state = PollState::Gone;
        }
    }
}

fn has_offer_of(poll: &Poll, of: usize) -> bool {
    matches!(poll.state, PollState::Offered { client, .. } if client == of)
}
