//! Answers of proxies.

use std::time::Instant;

use crate::wire::proxy::{ProxyType, Sid};
use crate::wire::session_description::SessionDescription;

use super::Matcher;
use super::outputs::{AnswerOutcome, Answered, ClientReply, MatchingEvent};
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
                    PollState::Closed(outcome) => outcome,
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
        let Some(client) = self.remove_client(now, offered.client, AnswerOutcome::Beaten) else {
            return AnswerOutcome::Unknown;
        };
        let answered = Answered {
            answer,
            attempts: client.attempts(),
            since_hand_off: now.saturating_duration_since(offered.since),
        };
        self.outputs
            .client(offered.client, ClientReply::Answer(answered));
        AnswerOutcome::Delivered
    }

    /// Gives the client of a proxy that cannot answer to another at once.
    fn decline(&mut self, now: Instant, poll: PollKey, offered: Offered) -> AnswerOutcome {
        self.close_poll(now, poll, AnswerOutcome::Repeated);
        self.retry(now, offered.client, poll);
        AnswerOutcome::Declined
    }
}
