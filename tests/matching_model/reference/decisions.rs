//! What the reference decides when something happens.

use snowflake_broker::matching::{
    AnswerOutcome, ClientReply, Denied, Event, HandOff, NoMatch, PollReply,
};
use snowflake_broker::wire::nat::NatType::{
    self, Moderate, Open, Restricted, Strict, Unknown, Unrestricted,
};

use super::{ClientState, Poll, PollState, Reference, Said, Time, Whose};

/// Who can serve a client, in the order of preference: PROTOCOL.md, section 6.
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
        (0..self.clients.len()).filter(|&client| {
            matches!(
                self.clients[client].state,
                ClientState::Matched { .. } | ClientState::Overdue
            )
        })
    }

    pub(super) fn overdue(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len()).filter(|&client| self.clients[client].state == ClientState::Overdue)
    }

    pub(super) fn next_due(&self) -> Option<(Time, bool, usize)> {
        let polls = self
            .parked()
            .map(|poll| (self.polls[poll].deadline, false, poll));
        let clients = self.clients.iter().enumerate();
        let clients = clients.filter_map(|(index, client)| match client.state {
            ClientState::Queued { until } => Some((until, true, index)),
            ClientState::Matched { rematch_at } => {
                let at = rematch_at.map_or(client.deadline, |at| at.min(client.deadline));
                Some((at, true, index))
            }
            ClientState::Overdue => Some((client.deadline, true, index)),
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
            self.said.push(Said::Client(client, ClientReply::TimedOut));
        } else {
            self.second_chance(now, client);
        }
    }

    pub(super) fn second_chance(&mut self, now: Time, client: usize) {
        self.clients[client].state = ClientState::Matched { rematch_at: None };
        if !self.may_have_another(now, client) {
            return;
        }
        match self.idle_poll_for(client) {
            Some(poll) => self.hand_off(now, poll, client),
            None => match self.clients[client].whose {
                Whose::Theirs { .. } => {}
                Whose::Borrowing => self.clients[client].state = ClientState::Overdue,
                Whose::Ours => {
                    self.clients[client].state = ClientState::Overdue;
                    if !self.draining {
                        self.said.push(Said::Overdue(client));
                    }
                }
            },
        }
    }

    pub(super) fn may_have_another(&self, now: Time, client: usize) -> bool {
        let client = &self.clients[client];
        client.hand_offs < self.settings.max_attempts
            && now + self.settings.min_answer_time <= client.deadline
    }

    pub(super) fn match_or_queue(&mut self, now: Time, client: usize, until: Time) {
        if let Some(poll) = self.idle_poll_for(client) {
            return self.hand_off(now, poll, client);
        }
        if matches!(self.clients[client].whose, Whose::Theirs { .. }) {
            return self.deny(client, Denied::NoneToLend);
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
            self.said.push(Said::Event(Event::ClientQueued));
        }
    }

    pub(super) fn hand_off_failed(&mut self, now: Time, client: usize) {
        self.clients[client].hand_offs -= 1;
        let still_offered = self.polls.iter().any(|poll| has_offer_of(poll, client));
        if still_offered {
            self.second_chance(now, client);
        } else if self.draining {
            self.deny(client, Denied::Draining);
        } else {
            self.clients[client].state = ClientState::Gone;
            self.match_or_queue(now, client, self.clients[client].deadline);
        }
    }

    /// The preferred pool's least loaded proxy, of equals the first that came.
    pub(super) fn idle_poll_for(&self, client: usize) -> Option<usize> {
        let pools = pools_for(self.clients[client].offer.nat);
        let reserve = match self.clients[client].whose {
            Whose::Theirs { reserve } => reserve,
            Whose::Ours | Whose::Borrowing => 0,
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

    /// The oldest queued client, else the oldest overdue one. An overdue one
    /// whose turn comes when it may have no other proxy has had its turn.
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
                self.clients[client].state = ClientState::Matched { rematch_at: None };
            }
        }
        None
    }

    pub(super) fn is_served(&self, client: usize, proxy: NatType) -> bool {
        can_serve(proxy, self.clients[client].offer.nat)
    }

    pub(super) fn hand_off(&mut self, now: Time, poll: usize, client: usize) {
        self.polls[poll].state = PollState::Offered { client, since: now };
        let offered = &mut self.clients[client];
        offered.hand_offs += 1;
        let another = offered.hand_offs < self.settings.max_attempts;
        offered.state = ClientState::Matched {
            rematch_at: another.then_some(now + self.settings.rematch_after),
        };
        let hand_off = HandOff {
            client: offered.key,
            offer: offered.offer.clone(),
            attempt: offered.hand_offs,
        };
        self.said.push(Said::Poll(poll, PollReply::Offer(hand_off)));
    }

    pub(super) fn no_match(&mut self, poll: usize, reason: NoMatch) {
        self.polls[poll].state = PollState::Gone;
        self.said.push(Said::Poll(poll, PollReply::NoMatch(reason)));
    }

    pub(super) fn deny(&mut self, client: usize, reason: Denied) {
        self.clients[client].state = ClientState::Gone;
        self.said
            .push(Said::Client(client, ClientReply::Denied(reason)));
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
