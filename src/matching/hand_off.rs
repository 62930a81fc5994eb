//! A client's way to a proxy and to its answer: the steps behind the engine's public
//! methods.

use std::time::{Duration, Instant};

use crate::policy::{Choice, PolicyMarks};
use crate::wire::nat::NatClass;

use super::Matcher;
use super::deadlines::{Timer, later};
use super::outputs::{AnswerOutcome, ClientReply, Denied, HandOff, MatchingEvent, PollReply};
use super::pool::PollWanted;
use super::queue::Wait;
use super::requests::{Band, ClientKey, PollKey, ServiceStage};
use super::sessions::{Client, ClientState};
use super::settings::Settings;
use super::standing::KnownSource;

/// The time that honest proxies take for an answer at most: three quarters of the 5 s for
/// which they gather candidates.
pub(super) const HONEST_ANSWER: Duration = Duration::from_millis(3_750);

impl Matcher {
    /// Chooses the client for a proxy of this source and with these marks: the first queued
    /// client that it can serve, else the first overdue one. A rematch therefore never takes
    /// a proxy from a client that has had none.
    pub(super) fn take_client_for(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: Option<KnownSource>,
        marks: PolicyMarks,
    ) -> Option<ClientKey> {
        let may_have = |client: &Client| {
            client.may_try(source) && self.rules.may_meet(client.offer.marks, marks)
        };
        let may_try = |key| self.sessions.client(key).is_some_and(may_have);
        if let Some(key) = self.waiting.first_for(Wait::Queued, pool, may_try) {
            return Some(key);
        }
        let can_spare = self.pools.able_in(pool) >= self.settings.second_chance_reserve;
        while let Some(key) = self.waiting.first_for(Wait::Overdue, pool, |key| {
            let client = self.sessions.client(key);
            client.is_some_and(|client| {
                client.may_try(source)
                    && self.rules.may_meet(client.offer.marks, marks)
                    && (can_spare || honest_until(client) <= now)
            })
        }) {
            if self.may_have_another(now, key) {
                return Some(key);
            }
            self.leave_queues(key);
        }
        None
    }

    /// Returns true if an already offered client may get one more proxy.
    fn may_have_another(&self, now: Instant, key: ClientKey) -> bool {
        self.sessions.client(key).is_some_and(|client| {
            client.attempts() < self.settings.max_attempts
                && !self.is_unanswerable(client)
                && later(now, self.settings.min_answer_time) <= client.deadline
        })
    }

    /// Returns true if as many proxies as a client may have could not answer its offer.
    fn is_unanswerable(&self, client: &Client) -> bool {
        client.declines >= self.settings.max_attempts.max(1)
    }

    /// Takes the best idle poll out of a pool in which more than `spare` sources can serve.
    fn take_idle_poll(&mut self, client: ClientKey, spare: usize) -> Option<Choice<PollKey>> {
        let client = self.sessions.client(client)?;
        let wanted = PollWanted {
            spare,
            reserve: client.origin.reserve(),
            scarce: self.settings.second_chance_reserve,
            tried: self.band_to_try(),
            marks: client.offer.marks,
        };
        let class = client.class();
        let chosen = self.pools.best_for(class, wanted, &self.rules, |key| {
            let poll = self.sessions.poll(key)?;
            client.may_try(poll.source).then_some(poll.marks)
        })?;
        self.taken += 1;
        self.unpark(chosen.key);
        Some(chosen)
    }

    /// The band from which on a source is tried with the next client: now and then the
    /// unknown ones, and as often the bad ones.
    fn band_to_try(&self) -> Option<Band> {
        let every = u64::from(self.supply().explore_every);
        let number = self.taken + 1;
        let rounds = number
            .checked_div(every)
            .filter(|_| number.is_multiple_of(every))?;
        Some(if rounds.is_multiple_of(2) {
            Band::Bad
        } else {
            Band::Unknown
        })
    }

    /// Hands the client's offer to a proxy that is in no pool.
    pub(super) fn hand_off(
        &mut self,
        now: Instant,
        chosen: Choice<PollKey>,
        client_key: ClientKey,
    ) {
        let (poll_key, decided) = (chosen.key, chosen.decided);
        self.leave_queues(client_key);
        self.take_turns(now, poll_key, client_key, decided);
        let offered = self.sessions.offer(now, poll_key, client_key, decided);
        let Some(client) = offered else {
            return;
        };
        let hand_off = HandOff {
            client: client_key,
            offer: client.offer.clone(),
            attempt: client.attempts(),
            decided,
            softened: chosen.softened,
        };
        let wake = next_attempt_at(&self.settings, now, client);
        self.wake_client(client_key, wake);
        self.outputs.poll(poll_key, PollReply::Offer(hand_off));
    }

    /// Gives the client an idle proxy here, else asks peers, else queues it until
    /// `until`, else denies it.
    pub(super) fn match_or_queue(&mut self, now: Instant, key: ClientKey, until: Instant) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        let (place, deadline) = (client.place(), client.deadline);
        let origin = client.origin;
        if let Some(poll) = self.take_idle_poll(key, 0) {
            return self.hand_off(now, poll, key);
        }
        if !origin.is_ours() {
            return self.deny(key, Denied::NoneToLend);
        }
        if self.may_ask_first(now, key) {
            return self.ask_peers(now, key);
        }
        let last_call = deadline.checked_sub(self.settings.min_answer_time);
        let until = last_call.map_or(now, |last_call| last_call.min(until));
        if until <= now || self.settings.client_queue_max == 0 {
            self.deny(key, Denied::NoProxy);
        } else if self.waiting.len(Wait::Queued) >= self.settings.client_queue_max {
            self.deny(key, Denied::QueueFull);
        } else {
            self.waiting.insert(Wait::Queued, place, key);
            self.wake_client(key, until);
            self.outputs.event(MatchingEvent::ClientQueued);
        }
    }

    pub(super) fn handle_client_timer(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        match client.state {
            ClientState::Unmatched => self.deny(key, Denied::NoProxy),
            ClientState::Matched if now >= client.deadline => self.time_out(now, key),
            ClientState::Matched => self.offer_again(now, key, !client.is_held_back),
        }
    }

    /// Gives an overdue client one more proxy: an idle one here, else a peer's if
    /// `may_ask`, else the next one that polls here.
    fn offer_again(&mut self, now: Instant, key: ClientKey, may_ask: bool) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        let (place, deadline, honest_until) =
            (client.place(), client.deadline, honest_until(client));
        let origin = client.origin;
        self.leave_queues(key);
        self.wake_client(key, deadline);
        if !self.may_have_another(now, key) {
            return;
        }
        let reserve = if honest_until <= now {
            0
        } else {
            self.settings.second_chance_reserve.saturating_sub(1)
        };
        if let Some(poll) = self.take_idle_poll(key, reserve) {
            return self.hand_off(now, poll, key);
        }
        let is_asked = may_ask && self.may_ask_again(now, key);
        if is_asked {
            self.ask_peers(now, key);
        }
        if origin.is_ours() && self.may_have_another(now, key) {
            self.waiting.insert(Wait::Overdue, place, key);
            let has_reserve = self.settings.second_chance_reserve > 0;
            if has_reserve && !is_asked && honest_until > now {
                self.hold_back(key, honest_until.min(deadline));
            }
        }
    }

    /// Looks for another proxy again at `until`.
    fn hold_back(&mut self, key: ClientKey, until: Instant) {
        self.wake_client(key, until);
        if let Some(client) = self.sessions.client_mut(key) {
            client.is_held_back = true;
        }
    }

    /// Undoes the failed hand-off to `failed`, which does not count, and continues.
    pub(super) fn retry(&mut self, now: Instant, key: ClientKey, failed: PollKey) {
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        client.offered_to.retain(|poll| *poll != failed);
        client.hand_offs -= 1;
        let until = client.deadline;
        self.go_on(now, key, until, true);
    }

    /// Continues with a client after one of its attempts has failed. If nobody else has
    /// its offer, it starts again as on arrival, and is queued until `until` at most, unless
    /// a peer's proxy may have had the offer and it may have no other.
    pub(super) fn go_on(&mut self, now: Instant, key: ClientKey, until: Instant, may_ask: bool) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        if client.is_offered() {
            return self.offer_again(now, key, may_ask);
        }
        let is_another = client.peers.was_offered() || self.is_unanswerable(client);
        self.leave_queues(key);
        self.sessions.unmatch(key);
        if self.stage == ServiceStage::Draining {
            self.deny(key, Denied::Draining);
        } else if is_another && !self.may_have_another(now, key) {
            self.deny(key, Denied::NoProxy);
        } else {
            self.match_or_queue(now, key, until);
        }
    }

    pub(super) fn time_out(&mut self, now: Instant, key: ClientKey) {
        if self
            .remove_client(now, key, AnswerOutcome::TooLate)
            .is_some()
        {
            self.outputs.client(key, ClientReply::TimedOut);
        }
    }

    /// Denies a client that no proxy here has. If a peer's proxy may have had its offer,
    /// the client has timed out instead.
    pub(super) fn deny(&mut self, key: ClientKey, reason: Denied) {
        self.leave_queues(key);
        if let Some(client) = self.sessions.remove_client(key) {
            self.deadlines.stop(key, &client);
            let reply = if client.peers.was_offered() {
                ClientReply::TimedOut
            } else {
                ClientReply::Denied(reason)
            };
            self.outputs.client(key, reply);
        }
    }

    /// Removes a client. Later answers from its proxies will have the outcome `late`.
    pub(super) fn remove_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        late: AnswerOutcome,
    ) -> Option<Client> {
        self.leave_queues(key);
        let client = self.sessions.remove_client(key)?;
        self.deadlines.stop(key, &client);
        for &poll in &client.offered_to {
            self.close_unanswered(now, poll, late);
        }
        Some(client)
    }

    pub(super) fn leave_queues(&mut self, key: ClientKey) {
        if let Some(client) = self.sessions.client(key) {
            self.waiting.leave(client.place());
        }
    }

    pub(super) fn wake_client(&mut self, key: ClientKey, at: Instant) {
        if let Some(client) = self.sessions.client_mut(key) {
            self.deadlines.stop(key, client);
            client.wake = Some(at);
            client.is_held_back = false;
            let timer = Timer::Client(client.arrival, key);
            self.deadlines.insert(at, timer);
        }
    }
}

/// The time until which an honest proxy may still answer the client's last offer.
fn honest_until(client: &Client) -> Instant {
    later(client.last_hand_off, HONEST_ANSWER)
}

/// The time of the next step for a client whose offer is handed out now: its rematch or
/// its deadline.
pub(super) fn next_attempt_at(settings: &Settings, now: Instant, client: &Client) -> Instant {
    if client.attempts() < settings.max_attempts {
        later(now, settings.rematch_after).min(client.deadline)
    } else {
        client.deadline
    }
}
