//! The reference's decisions.

use std::time::Duration;

use snowflake_broker::matching::{
    AnswerOutcome, Band, ClientReply, Denied, HandOff, MatchingEvent, NoMatch, OfferEnd, PollReply,
    SupplyHint,
};
use snowflake_broker::wire::nat::NatType::{
    self, Moderate, Open, Restricted, Strict, Unknown, Unrestricted,
};

use super::{Client, ClientState, Output, Poll, PollState, Reference, Time, Whose};
use crate::matching_model::rules::{self, Chosen, Marks};

/// The time before its client's deadline by which a peer must answer.
const PEER_MARGIN: Duration = Duration::from_millis(200);

/// The time in which honest proxies answer.
const HONEST_ANSWER: Duration = Duration::from_millis(3_750);

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

/// The number of the proxy's pool.
pub(super) fn pool_of(proxy: NatType) -> usize {
    let mut pools = pools_for(Open).iter();
    let pool = pools.position(|pool| pool.contains(&proxy));
    pool.expect("everybody has a pool")
}

fn same_pool(one: NatType, other: NatType) -> bool {
    pool_of(one) == pool_of(other)
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
            let state = self.clients[client].state;
            let is_held_back =
                matches!(state, ClientState::Matched { is_held_back, .. } if is_held_back);
            self.second_chance(now, client, !is_held_back);
        }
    }

    pub(super) fn second_chance(&mut self, now: Time, client: usize, may_ask: bool) {
        self.clients[client].state = ClientState::Matched {
            rematch_at: None,
            is_overdue: false,
            is_held_back: false,
        };
        if !self.may_have_another(now, client) {
            return;
        }
        let honest_until = self.clients[client].last_hand_off + HONEST_ANSWER;
        let reserve = if honest_until <= now {
            0
        } else {
            self.settings.second_chance_reserve
        };
        if let Some(poll) = self.idle_poll_for(client, reserve) {
            return self.hand_off(now, poll, client);
        }
        let has_peers = self.clients[client].supply != SupplyHint::NoPeers;
        let is_asked = may_ask && has_peers && self.may_ask_peers(now, client);
        if is_asked {
            self.ask_peer(now, client);
        }
        let may_have_another = self.may_have_another(now, client);
        let client = &mut self.clients[client];
        if let ClientState::Matched {
            is_overdue,
            is_held_back,
            rematch_at,
        } = &mut client.state
            && client.whose == Whose::Ours
            && may_have_another
        {
            *is_overdue = true;
            let has_reserve = self.settings.second_chance_reserve > 0;
            if has_reserve && !is_asked && honest_until > now {
                *is_held_back = true;
                *rematch_at = Some(honest_until);
            }
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
            && !self.is_unanswerable(index)
            && now + self.settings.min_answer_time <= client.deadline
    }

    fn is_unanswerable(&self, client: usize) -> bool {
        self.clients[client].declines >= self.settings.max_attempts.max(1)
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

    /// For an unmatched client, peers are asked once for each report of a proxy, until one may
    /// have had the offer.
    pub(super) fn is_worth_asking(&self, now: Time, index: usize) -> bool {
        let client = &self.clients[index];
        client.supply == SupplyHint::Available
            && client.asked == 0
            && self.may_ask_peers(now, index)
    }

    pub(super) fn ask_peer(&mut self, now: Time, index: usize) {
        self.clients[index].asked += 1;
        self.clients[index].calls += 1;
        if let ClientState::Queued { until } = self.clients[index].state {
            self.clients[index].patience = until.saturating_sub(now);
        }
        let attempt = self.attempts(index);
        self.clients[index].state = self.matched_from(now, index);
        let times = self.times_of_peers(index);
        self.said.push(Output::AskPeer(index, attempt, times));
    }

    fn matched_from(&self, now: Time, index: usize) -> ClientState {
        let another = self.attempts(index) < self.settings.max_attempts;
        ClientState::Matched {
            rematch_at: another.then_some(now + self.settings.rematch_after),
            is_overdue: false,
            is_held_back: false,
        }
    }

    pub(super) fn match_or_queue(&mut self, now: Time, client: usize, until: Time) {
        if let Some(poll) = self.idle_poll_for(client, 0) {
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
        } else if self.is_unanswerable(client)
            || (self.clients[client].was_offered && !self.may_have_another(now, client))
        {
            self.deny(client, Denied::NoProxy);
        } else {
            self.clients[client].state = ClientState::Gone;
            self.match_or_queue(now, client, until);
        }
    }

    /// The first proxy of the preferred pool that has at least `least`: by the turn of its
    /// source; the least loaded one is first, then the first to arrive.
    ///
    /// Bad sources come after others of later pools that are not scarce. Now and then, a
    /// source that is not good comes first.
    pub(super) fn idle_poll_for(&mut self, client: usize, least: usize) -> Option<Chosen> {
        let number = self.taken + 1;
        let every = u64::from(self.supply.explore_every);
        let is_try = every > 0 && number.is_multiple_of(every);
        let tried = if is_try && (number / every).is_multiple_of(2) {
            Band::Bad
        } else {
            Band::Unknown
        };
        let pools = pools_for(self.clients[client].offer.nat).iter();
        let enough = pools.filter(|pool| self.has_enough(client, pool, least));
        let pools: Vec<_> = enough.collect();
        let first_tried = || {
            pools
                .iter()
                .find_map(|pool| self.first_from(client, pool, tried))
        };
        let found = is_try.then(first_tried).flatten();
        let found = found.or_else(|| self.best_of(client, &pools));
        self.taken += u64::from(found.is_some());
        found
    }

    fn best_of(&self, client: usize, pools: &[&&[NatType]]) -> Option<Chosen> {
        let able = |pool: &[NatType]| self.able(|&poll| pool.contains(&self.polls[poll].nat));
        let bests = pools.iter().filter_map(|pool| {
            let best = self.first_from(client, pool, Band::Good)?;
            Some((able(pool), best))
        });
        let bests: Vec<_> = bests.collect();
        let better = bests.iter().enumerate().find(|&(place, &(able, best))| {
            let is_scarce = able <= self.settings.second_chance_reserve;
            (place == 0 || !is_scarce) && self.turn_of_poll(best.0).0 != Band::Bad
        });
        let best = better.map(|(_, best)| best).or(bests.first());
        best.map(|&(_, poll)| poll)
    }

    fn has_enough(&self, client: usize, pool: &[NatType], least: usize) -> bool {
        let in_pool = |&poll: &usize| pool.contains(&self.polls[poll].nat);
        let reserve = match self.clients[client].whose {
            Whose::Theirs { reserve } => reserve,
            Whose::Ours => 0,
        };
        self.parked().filter(in_pool).count() > reserve && self.able(in_pool) >= least
    }

    /// The poll of a pool for a client, from the band on: by the rules, of the first of each
    /// source in order.
    fn first_from(&self, client: usize, pool: &[NatType], band: Band) -> Option<Chosen> {
        let may_have = |&poll: &usize| {
            self.polls[poll].source.is_none_or(|source| {
                self.limit(source).is_none() && !self.clients[client].tried.contains(&source)
            })
        };
        let place = |poll: usize| {
            let Poll {
                clients, arrival, ..
            } = self.polls[poll];
            (self.turn_of_poll(poll), clients, arrival)
        };
        let parked = self.parked();
        let in_pool = parked.filter(|&poll| pool.contains(&self.polls[poll].nat));
        let in_pool: Vec<usize> = in_pool.collect();
        let is_first = |&poll: &usize| {
            let source = self.polls[poll].source;
            let mates = in_pool
                .iter()
                .filter(|&&mate| self.polls[mate].source == source);
            source.is_none() || mates.min_by_key(|&&mate| place(mate)) == Some(&poll)
        };
        let firsts = in_pool.iter().copied().filter(is_first).filter(may_have);
        let mut polls: Vec<usize> = firsts
            .filter(|&poll| self.turn_of_poll(poll).0 >= band)
            .collect();
        polls.sort_by_key(|&poll| place(poll));
        let marked: Vec<_> = polls
            .into_iter()
            .map(|poll| (poll, self.polls[poll].marks))
            .collect();
        let matches = &self.decided[pool_of(pool[0])];
        rules::choose(self.terms, matches, self.clients[client].marks, &marked)
    }

    /// The sources of such polls that may have clients now, and the polls without a source.
    pub(super) fn able(&self, in_pool: impl Fn(&usize) -> bool) -> usize {
        let polls = self.parked().filter(|poll| in_pool(poll));
        let (known, unknown): (Vec<_>, Vec<_>) = polls
            .map(|poll| self.polls[poll].source)
            .partition(Option::is_some);
        let mut sources: Vec<u8> = known.into_iter().flatten().collect();
        sources.retain(|&source| self.limit(source).is_none());
        sources.sort_unstable();
        sources.dedup();
        sources.len() + unknown.len()
    }

    /// The first queued client, else the first overdue one. An overdue client that may
    /// have no further proxy when its turn comes is dropped.
    pub(super) fn client_for(
        &mut self,
        now: Time,
        proxy: NatType,
        source: Option<u8>,
        marks: Marks,
    ) -> Option<usize> {
        let queued: Vec<usize> = self.queued().collect();
        if let Some(client) = self.first_of(&queued, proxy, |model, client| {
            model.may_try(client, source) && model.may_meet(client, marks)
        }) {
            return Some(client);
        }
        let reserve = self.settings.second_chance_reserve;
        let alike = |&poll: &usize| same_pool(self.polls[poll].nat, proxy);
        let can_spare = self.able(alike) >= reserve;
        loop {
            let overdue: Vec<usize> = self.overdue().collect();
            let client = self.first_of(&overdue, proxy, |model, client| {
                let honest_until = model.clients[client].last_hand_off + HONEST_ANSWER;
                model.may_try(client, source)
                    && model.may_meet(client, marks)
                    && (can_spare || honest_until <= now)
            })?;
            if self.may_have_another(now, client) {
                return Some(client);
            }
            if let ClientState::Matched { is_overdue, .. } = &mut self.clients[client].state {
                *is_overdue = false;
            }
        }
    }

    fn may_meet(&self, client: usize, marks: Marks) -> bool {
        self.clients[client].marks.0 & marks.0 & rules::DENY == 0
    }

    fn may_try(&self, client: usize, source: Option<u8>) -> bool {
        source.is_none_or(|source| !self.clients[client].tried.contains(&source))
    }

    /// The first client that this proxy can serve and may have: in each class one network
    /// after the other, and of the classes the one whose client's network was served
    /// longest ago.
    fn first_of(
        &self,
        clients: &[usize],
        proxy: NatType,
        may_have: impl Fn(&Self, usize) -> bool,
    ) -> Option<usize> {
        let place = |client: usize| {
            let Client {
                arrival, ref offer, ..
            } = self.clients[client];
            (self.turn_of_client(client), arrival, offer.network)
        };
        let class = |client: usize| pools_for(self.clients[client].offer.nat).len();
        let firsts = (1..=3).filter_map(|members| {
            let mut alike: Vec<usize> = clients.to_vec();
            alike.retain(|&client| class(client) == members && self.is_served(client, proxy));
            let first_of_network = |client: usize| {
                let (turn, arrival, network) = place(client);
                let mates = alike.iter().map(|&mate| place(mate));
                let mates = mates.filter(|mate| network.is_some() && mate.2 == network);
                (
                    turn,
                    mates.map(|mate| mate.1).min().unwrap_or(arrival),
                    arrival,
                )
            };
            let mut ordered = alike.clone();
            ordered.sort_by_key(|&client| first_of_network(client));
            ordered.into_iter().find(|&client| may_have(self, client))
        });
        firsts.min_by_key(|&client| place(client))
    }

    pub(super) fn is_served(&self, client: usize, proxy: NatType) -> bool {
        can_serve(proxy, self.clients[client].offer.nat)
    }

    pub(super) fn hand_off(&mut self, now: Time, chosen: Chosen, client: usize) {
        let (poll, decided, softened) = chosen;
        self.take_turns(now, poll, client);
        self.decided[pool_of(self.polls[poll].nat)].push(decided);
        self.polls[poll].state = PollState::Offered {
            client,
            since: now,
            decided,
        };
        self.note_released();
        self.clients[client].hand_offs += 1;
        self.clients[client].offered_to.push(poll);
        self.clients[client].tried.extend(self.polls[poll].source);
        self.clients[client].last_hand_off = now;
        let attempt = self.attempts(client);
        self.clients[client].state = self.matched_from(now, client);
        let hand_off = HandOff {
            client: self.clients[client].key,
            offer: self.clients[client].offer.clone(),
            attempt,
            decided: rules::set(&self.policy, decided),
            softened: rules::set(&self.policy, softened),
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
        for poll in self.clients[client].offered_to.clone() {
            if let PollState::Offered {
                client: of, since, ..
            } = self.polls[poll].state
                && of == client
            {
                self.close(poll, late, now);
                let enough = HONEST_ANSWER.min(self.settings.client_timeout / 4 * 3);
                let had_time = since + enough <= now;
                match late {
                    AnswerOutcome::TooLate if had_time => {
                        self.offer_ended(poll, OfferEnd::Unanswered);
                    }
                    AnswerOutcome::TooLate => self.offer_ended(poll, OfferEnd::Void),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn close(&mut self, poll: usize, outcome: AnswerOutcome, since: Time) {
        self.closings += 1;
        self.polls[poll].state = PollState::Closed {
            outcome,
            since,
            number: self.closings,
        };
        self.note_released();
    }

    pub(super) fn forget(&mut self, which: impl Fn(&Poll) -> bool) {
        let polls = 0..self.polls.len();
        let mut forgotten: Vec<_> = polls.filter(|&poll| which(&self.polls[poll])).collect();
        forgotten.sort_by_key(|&poll| match self.polls[poll].state {
            PollState::Closed { number, .. } => number,
            _ => 0,
        });
        for poll in forgotten {
            let state = std::mem::replace(&mut self.polls[poll].state, PollState::Gone);
            if let PollState::Closed { outcome, .. } = state
                && matches!(outcome, AnswerOutcome::Beaten | AnswerOutcome::ClientLeft)
            {
                self.offer_ended(poll, OfferEnd::Unanswered);
            }
        }
    }

    pub(super) fn offer_ended(&mut self, poll: usize, end: OfferEnd) {
        let poll = self.polls[poll].key;
        let event = MatchingEvent::OfferEnded { poll, end };
        self.said.push(Output::Event(event));
    }
}

fn has_offer_of(poll: &Poll, of: usize) -> bool {
    matches!(poll.state, PollState::Offered { client, .. } if client == of)
}
