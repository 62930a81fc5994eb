//! How a client comes to a proxy and to its answer: the steps behind the
//! engine's methods.

use std::time::Instant;

use crate::wire::session_description::SessionDescription;

use super::deadlines::{Timer, later};
use super::outputs::{AnswerOutcome, Answered, ClientReply, Denied, Event, HandOff, PollReply};
use super::sessions::{Client, ClientKey, ClientState, Offered, PollKey, Standing};
use super::{Matcher, Stage};
use crate::wire::nat::NatClass;

impl Matcher {
    /// The client for a proxy that polls now: the oldest queued one it can
    /// serve, else the oldest overdue one. So a second chance never takes a
    /// proxy from a client that has had none.
    pub(super) fn take_client_for(&mut self, now: Instant, pool: NatClass) -> Option<ClientKey> {
        if let Some(key) = self.queued.oldest_for(pool) {
            return Some(key);
        }
        while let Some(key) = self.overdue.oldest_for(pool) {
            if self.may_have_another(now, key) {
                return Some(key);
            }
            self.leave_queues(key);
        }
        None
    }

    /// Whether a client that a proxy has already may be offered to one more.
    pub(super) fn may_have_another(&self, now: Instant, key: ClientKey) -> bool {
        self.sessions.client(key).is_some_and(|client| {
            client.hand_offs < self.settings.max_attempts
                && later(now, self.settings.min_answer_time) <= client.deadline
        })
    }

    fn take_idle_poll(&mut self, client: ClientKey) -> Option<PollKey> {
        let client = self.sessions.client(client)?;
        let key = self
            .pools
            .best_for(client.class(), client.standing.reserve())?;
        self.unpark(key);
        Some(key)
    }

    /// Hands the client's offer to a proxy that is in no pool.
    pub(super) fn hand_off(&mut self, now: Instant, poll_key: PollKey, client_key: ClientKey) {
        self.leave_queues(client_key);
        let Some(client) = self.sessions.offer(now, poll_key, client_key) else {
            return;
        };
        let attempt = client.hand_offs;
        let mut wake = client.deadline;
        if attempt < self.settings.max_attempts {
            wake = wake.min(later(now, self.settings.rematch_after));
        }
        let offer = client.offer.clone();
        self.wake_client(client_key, wake);
        let hand_off = HandOff {
            client: client_key,
            offer,
            attempt,
        };
        self.outputs.poll(poll_key, PollReply::Offer(hand_off));
    }

    /// A proxy for the client now, or a place in the queue until `until`, or a
    /// denial.
    pub(super) fn match_or_queue(&mut self, now: Instant, key: ClientKey, until: Instant) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        let (class, arrival, deadline) = (client.class(), client.arrival, client.deadline);
        let standing = client.standing;
        if let Some(poll) = self.take_idle_poll(key) {
            return self.hand_off(now, poll, key);
        }
        if !standing.is_ours() {
            return self.deny(key, Denied::NoneToLend);
        }
        let last_call = deadline.checked_sub(self.settings.min_answer_time);
        let until = last_call.map_or(now, |last_call| last_call.min(until));
        if until <= now || self.settings.client_queue_max == 0 {
            self.deny(key, Denied::NoProxy);
        } else if self.queued.len() >= self.settings.client_queue_max {
            self.deny(key, Denied::QueueFull);
        } else {
            self.queued.insert(class, arrival, key);
            self.wake_client(key, until);
            self.outputs.event(Event::ClientQueued);
        }
    }

    pub(super) fn handle_client_timer(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        match client.state {
            ClientState::Unmatched => self.deny(key, Denied::NoProxy),
            ClientState::Matched if now >= client.deadline => self.time_out(now, key),
            ClientState::Matched => self.offer_again(now, key),
        }
    }

    /// The second chance of a client whose proxy has not answered in time.
    pub(super) fn offer_again(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.sessions.client(key) else {
            return;
        };
        let (class, arrival, deadline) = (client.class(), client.arrival, client.deadline);
        let standing = client.standing;
        self.wake_client(key, deadline);
        if !self.may_have_another(now, key) {
            return;
        }
        if let Some(poll) = self.take_idle_poll(key) {
            self.hand_off(now, poll, key);
        } else if standing.is_ours() {
            self.overdue.insert(class, arrival, key);
            if standing == Standing::Own && self.stage != Stage::Draining {
                self.outputs.overdue(key);
            }
        }
    }

    /// The hand-off to `failed` did not arrive; it does not count.
    pub(super) fn retry(&mut self, now: Instant, key: ClientKey, failed: PollKey) {
        let Some(client) = self.sessions.client_mut(key) else {
            return;
        };
        client.attempts.retain(|attempt| *attempt != failed);
        client.hand_offs -= 1;
        let deadline = client.deadline;
        let others_left = !client.attempts.is_empty();
        self.leave_queues(key);
        if others_left {
            return self.offer_again(now, key);
        }
        self.sessions.unmatch(key);
        if self.stage == Stage::Draining {
            self.deny(key, Denied::Draining);
        } else {
            self.match_or_queue(now, key, deadline);
        }
    }

    pub(super) fn deliver(
        &mut self,
        now: Instant,
        poll: PollKey,
        offered: Offered,
        answer: SessionDescription,
    ) -> AnswerOutcome {
        self.sessions.close_poll(now, poll, AnswerOutcome::Repeated);
        let Some(client) = self.remove_client(now, offered.client, AnswerOutcome::Beaten) else {
            return AnswerOutcome::Unknown;
        };
        let answered = Answered {
            answer,
            attempts: client.hand_offs,
            since_hand_off: now.saturating_duration_since(offered.since),
        };
        self.outputs
            .client(offered.client, ClientReply::Answer(answered));
        AnswerOutcome::Delivered
    }

    pub(super) fn time_out(&mut self, now: Instant, key: ClientKey) {
        if self
            .remove_client(now, key, AnswerOutcome::TooLate)
            .is_some()
        {
            self.outputs.client(key, ClientReply::TimedOut);
        }
    }

    pub(super) fn deny(&mut self, key: ClientKey, reason: Denied) {
        self.leave_queues(key);
        if let Some(client) = self.sessions.remove_client(key) {
            self.deadlines.stop(key, &client);
            self.outputs.client(key, ClientReply::Denied(reason));
        }
    }

    /// Forgets a client; what its proxies still answer will be `late`.
    pub(super) fn remove_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        late: AnswerOutcome,
    ) -> Option<Client> {
        self.leave_queues(key);
        let client = self.sessions.remove_client(key)?;
        self.deadlines.stop(key, &client);
        for &poll in &client.attempts {
            self.sessions.close_poll(now, poll, late);
        }
        Some(client)
    }

    pub(super) fn leave_queues(&mut self, key: ClientKey) {
        if let Some(client) = self.sessions.client(key) {
            let (class, arrival) = (client.class(), client.arrival);
            self.queued.remove(class, arrival);
            self.overdue.remove(class, arrival);
        }
    }

    pub(super) fn leave_overdue(&mut self, key: ClientKey) {
        if let Some(client) = self.sessions.client(key) {
            let (class, arrival) = (client.class(), client.arrival);
            self.overdue.remove(class, arrival);
        }
    }

    pub(super) fn wake_client(&mut self, key: ClientKey, at: Instant) {
        if let Some(client) = self.sessions.client_mut(key) {
            self.deadlines.stop(key, client);
            client.wake = Some(at);
            let timer = Timer::Client(client.arrival, key);
            self.deadlines.insert(at, timer);
        }
    }
}
