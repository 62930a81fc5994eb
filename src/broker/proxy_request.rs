//! Proxy requests: polls, from their arrival to their reply, and answers.

use crate::matching::{AnswerOutcome, NoMatch, OverShare, PollReply, SidInUse};
use crate::metrics::labels::{Refusal, Request};
use crate::wire::answer::{AnswerStatus, ProxyAnswer};
use crate::wire::nat::NatClass;
use crate::wire::proxy::{PollResponse, PollStatus, ProxyPoll, Sid};

use super::caller::{Caller, OverLimit};
use super::source_counts::SourceAct;
use super::waiters::PollEnd;
use super::{Broker, Guard};

impl Broker {
    /// Handles a proxy's poll. Removes the relay pattern once it is accepted, because it
    /// may be as long as a body and the poll may be parked for long.
    pub async fn proxy_poll(
        &self,
        caller: Caller,
        poll: &mut ProxyPoll,
    ) -> Result<PollResponse, SidInUse> {
        let record = self.metrics.begin_proxy_poll(poll);
        let directory = self.directory.load_full();
        if !self.admits(Request::ProxyPoll, caller.origin, || None) {
            record.refuse(Refusal::TooSoon);
            return Ok(self.polled_too_soon());
        }
        if !directory.accepts(poll) {
            record.refuse(Refusal::Pattern);
            return Ok(PollResponse {
                status: PollStatus::IncorrectRelayPattern,
                next_poll: self.lock().jittered(directory.poll_interval.refused),
            });
        }
        let country = directory.country(caller.address);
        if let Some(address) = caller.address {
            self.metrics.proxy_seen(address, poll);
        }
        poll.accepted_relay_pattern = None;
        let factor = self.share_factor(caller.origin);
        let (source, added) = self.step(|state, now| {
            let source = state.source_of(now, caller.origin, factor);
            let added = state.add_poll(now, caller.arrived, poll, source, country);
            (source.map(|source| source.id), added)
        });
        self.count_source(source, SourceAct::Poll);
        let (waiter, mut receiver) = match added {
            Ok(added) => added,
            Err(in_use) => {
                record.refuse(Refusal::SidInUse);
                return Err(in_use);
            }
        };
        let end = Guard::new(self, waiter)
            .reply(&mut receiver)
            .await
            .unwrap_or_else(|| PollEnd {
                reply: PollReply::NoMatch(NoMatch::Evicted),
                next_poll: directory.poll_interval.fixed(NatClass::of(poll.nat)),
            });
        match &end.reply {
            PollReply::Offer(_) => {
                self.count_source(source, SourceAct::Match);
                record.matched();
            }
            PollReply::NoMatch(NoMatch::Overloaded) => record.refuse(Refusal::Overloaded),
            PollReply::NoMatch(NoMatch::OverShare(limit)) => record.refuse(refusal(*limit)),
            PollReply::NoMatch(NoMatch::Idle | NoMatch::NotParked | NoMatch::Evicted) => {
                record.idle();
            }
        }
        Ok(poll_response(end))
    }

    /// The response to a proxy from whose address too many polls came.
    pub fn polled_too_soon(&self) -> PollResponse {
        let interval = self.directory.load().poll_interval.overloaded;
        PollResponse {
            status: PollStatus::PolledTooSoon,
            next_poll: self.lock().jittered(interval),
        }
    }

    /// Handles a proxy's answer.
    pub fn proxy_answer(
        &self,
        caller: Caller,
        answer: ProxyAnswer,
    ) -> Result<AnswerStatus, OverLimit> {
        self.admit_answer(caller)?;
        let (source, outcome) = self.step(|state, now| {
            let source = state.source_of(now, caller.origin, 1);
            let matcher = &mut state.matcher;
            let outcome = matcher.handle_answer(now, &answer.sid, answer.answer);
            (source.map(|source| source.id), outcome)
        });
        if outcome != AnswerOutcome::Delivered {
            return Ok(AnswerStatus::ClientGone);
        }
        self.count_source(source, SourceAct::Answer);
        Ok(AnswerStatus::Success)
    }

    /// Handles the word of a proxy that it cannot answer.
    pub fn proxy_declines(&self, caller: Caller, sid: Sid) -> Result<(), OverLimit> {
        self.admit_answer(caller)?;
        self.step(|state, now| state.matcher.handle_decline(now, &sid));
        Ok(())
    }

    fn admit_answer(&self, caller: Caller) -> Result<(), OverLimit> {
        if self.admits(Request::ProxyAnswer, caller.origin, || None) {
            return Ok(());
        }
        self.metrics.bad_proxy_answer(Refusal::Limit);
        Err(OverLimit)
    }
}

fn refusal(limit: OverShare) -> Refusal {
    match limit {
        OverShare::Matches => Refusal::SourceMatches,
        OverShare::Unanswered => Refusal::SourceUnanswered,
        OverShare::Parked => Refusal::SourceParked,
        OverShare::Network => Refusal::NetworkShare,
    }
}

fn poll_response(end: PollEnd) -> PollResponse {
    let status = match end.reply {
        PollReply::NoMatch(_) => PollStatus::NoMatch,
        PollReply::Offer(hand_off) => PollStatus::ClientMatch {
            offer: hand_off.offer.offer,
            nat: hand_off.offer.nat,
            relay_url: hand_off.offer.relay_url,
        },
    };
    PollResponse {
        status,
        next_poll: end.next_poll,
    }
}
