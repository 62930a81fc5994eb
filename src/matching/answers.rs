//! Answers of proxies.

use std::time::Instant;

use crate::wire::proxy::{ProxyType, Sid};
use crate::wire::session_description::SessionDescription;

use super::Matcher;
use super::deadlines::later;
use super::hand_off::HONEST_ANSWER;
use super::outputs::{AnswerOutcome, Answered, ClientReply, MatchingEvent, OfferEnd};
use super::requests::PollKey;
use super::sessions::{Offered, PollState};

impl Matcher {
    /// Accepts a proxy's answer to the offer handed to its poll `sid`.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        sid: &Sid,
        answer: SessionDescription,
    ) -> AnswerOutcome {
        self.answered(now, sid, |engine, key, offered| {
            engine.deliver(now, key, offered, answer)
        })
    }

    /// Accepts a proxy's word that it cannot answer the offer handed to its poll `sid`. The
    /// client goes to the next proxy at once.
    pub fn handle_decline(&mut self, now: Instant, sid: &Sid) -> AnswerOutcome {
        self.answered(now, sid, |engine, key, offered| {
            engine.decline(now, key, offered)
        })
    }

    fn answered(
        &mut self,
        now: Instant,
        sid: &Sid,
        accept: impl FnOnce(&mut Self, PollKey, Offered) -> AnswerOutcome,
    ) -> AnswerOutcome {
        self.handle_timeout(now);
        let (proxy_type, outcome) = match self.sessions.poll_by_sid(sid) {
            None => (ProxyType::UNKNOWN, AnswerOutcome::Unknown),
            Some((key, poll)) => {
                let proxy_type = poll.proxy_type;
                let outcome = match poll.state {
                    PollState::Parked => AnswerOutcome::Unknown,
                    PollState::Closed(outcome) => {
                        self.answered_late(key, outcome);
                        outcome
                    }
                    PollState::Offered(offered) => accept(self, key, offered),
                };
                (proxy_type, outcome)
            }
        };
        self.outputs.event(MatchingEvent::Answer {
            proxy_type,
            outcome,
        });
        self.serve_released(now);
        outcome
    }

    fn deliver(
        &mut self,
        now: Instant,
        poll: PollKey,
        offered: Offered,
        answer: SessionDescription,
    ) -> AnswerOutcome {
        self.close_poll(now, poll, AnswerOutcome::Repeated);
        self.offer_ended(poll, OfferEnd::Answered);
        let Some(client) = self.remove_client(now, offered.client, AnswerOutcome::Beaten) else {
            return AnswerOutcome::Unknown;
        };
        let answered = Answered {
            answer,
            attempts: client.attempts(),
            since_hand_off: now.saturating_duration_since(offered.since),
            decided: offered.decided,
        };
        self.outputs
            .client(offered.client, ClientReply::Answer(answered));
        AnswerOutcome::Delivered
    }

    /// Gives the client of a proxy that cannot answer to another at once. That is not an attempt,
    /// but some offers are such that no proxy can answer them: so it happens as often as there
    /// are attempts, and then the client has none any more.
    fn decline(&mut self, now: Instant, poll: PollKey, offered: Offered) -> AnswerOutcome {
        self.close_poll(now, poll, AnswerOutcome::Repeated);
        self.offer_ended(poll, OfferEnd::Unanswered);
        if let Some(client) = self.sessions.client_mut(offered.client) {
            client.declines += 1;
        }
        self.retry(now, offered.client, poll);
        AnswerOutcome::Declined
    }

    /// Closes a poll whose client has gone or has another answer.
    pub(super) fn close_unanswered(&mut self, now: Instant, poll: PollKey, late: AnswerOutcome) {
        let had_time = self.had_time(now, poll);
        self.close_poll(now, poll, late);
        if late == AnswerOutcome::TooLate {
            let end = if had_time {
                OfferEnd::Unanswered
            } else {
                OfferEnd::Void
            };
            self.offer_ended(poll, end);
        }
    }

    /// Returns true if a proxy had the offer for as long as an honest one may take, or for
    /// most of its client's time. With less, it is not to blame.
    fn had_time(&self, now: Instant, poll: PollKey) -> bool {
        let most_of_the_time = self.settings.client_timeout / 4 * 3;
        let enough = HONEST_ANSWER.min(most_of_the_time);
        let poll = self.sessions.poll(poll);
        poll.is_some_and(|poll| match poll.state {
            PollState::Offered(offered) => later(offered.since, enough) <= now,
            PollState::Parked | PollState::Closed(_) => false,
        })
    }

    /// Notes an answer that comes after its offer was closed.
    fn answered_late(&mut self, poll: PollKey, outcome: AnswerOutcome) {
        if may_still_answer(outcome) {
            self.sessions.answered_late(poll);
            self.offer_ended(poll, OfferEnd::Void);
        }
    }

    /// Forgets a closed poll. One whose client did not wait for it has had its time to answer.
    pub(super) fn forget_closed(&mut self, key: PollKey) {
        let poll = self.sessions.remove_poll(key);
        if let Some(PollState::Closed(outcome)) = poll.map(|poll| poll.state)
            && may_still_answer(outcome)
        {
            self.offer_ended(key, OfferEnd::Unanswered);
        }
    }

    pub(super) fn offer_ended(&mut self, poll: PollKey, end: OfferEnd) {
        self.outputs.event(MatchingEvent::OfferEnded { poll, end });
    }
}

/// Returns true if nothing is known yet of a closed poll's proxy.
fn may_still_answer(outcome: AnswerOutcome) -> bool {
    matches!(outcome, AnswerOutcome::Beaten | AnswerOutcome::ClientLeft)
}
