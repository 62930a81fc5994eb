//! Proxy requests: polls, from their arrival to their reply, and answers.

use crate::matching::{AnswerOutcome, NoMatch, OverShare, PollReply, SidInUse};
use crate::metrics::labels::{Refusal, Request, StrayAnswerFate};
use crate::wire::answer::{AnswerStatus, ProxyAnswer};
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{PollResponse, PollStatus, ProxyPoll, Sid};

use super::arrived_poll::ArrivedPoll;
use super::caller::{Caller, OverLimit};
use super::directory::Directory;
use super::poll_interval::RefusalsAs;
use super::sightings::SightedAct;
use super::source_counts::SourceAct;
use super::waiters::PollEnd;
use super::{Broker, Guard};

/// The response to a proxy's poll. What it says of a refusal is the operator's choice, so
/// the reason stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredPoll {
    /// The response.
    pub response: PollResponse,
    /// The reason for refusing the poll, if it was refused.
    pub refused: Option<Refusal>,
}

impl Broker {
    /// Handles a proxy's poll. Removes the relay pattern and the name of the type
    /// once they are judged: they may be long, and the poll may be parked for long.
    pub async fn proxy_poll(
        &self,
        caller: Caller,
        poll: &mut ProxyPoll,
    ) -> Result<AnsweredPoll, SidInUse> {
        let record = self.metrics.begin_proxy_poll(poll);
        let directory = self.directory.load_full();
        if !self.admits(Request::ProxyPoll, caller.origin, || None) {
            self.note_poll(caller, poll, Some(Refusal::TooSoon));
            record.refuse(Refusal::TooSoon);
            return Ok(AnsweredPoll {
                response: self.polled_too_soon(),
                refused: Some(Refusal::TooSoon),
            });
        }
        if !directory.accepts(poll) {
            self.note_poll(caller, poll, Some(Refusal::Pattern));
            record.refuse(Refusal::Pattern);
            return Ok(AnsweredPoll {
                response: self.refused_pattern(&directory),
                refused: Some(Refusal::Pattern),
            });
        }
        let whereabouts = directory.whereabouts(caller.address);
        if let Some(address) = caller.address {
            self.metrics.proxy_seen(address, poll);
        }
        poll.accepted_relay_pattern = None;
        let type_name = poll.type_name.as_deref();
        let of_type = type_name.and_then(|name| directory.poll_interval.types.of(name));
        let factor = self.share_factor(caller.origin);
        let (source, added) = self.step(|state, now| {
            let source = state.source_of(now, caller.origin, factor);
            // By the NAT that it reports, whatever it counts as.
            let traits = state.traits_of(now, &directory.policy, poll, source, whereabouts);
            let class = NatClass::of(poll.nat);
            if source.is_some_and(|source| {
                state.learning.counts_as_strict(now, source.id)
                    && state.matcher.have_others(now, class, source.id)
            }) {
                poll.nat = NatType::Strict;
            }
            let arrival = ArrivedPoll {
                arrived: caller.arrived,
                source,
                traits,
                country: whereabouts.country,
                of_type,
            };
            let added = state.add_poll(now, poll, arrival);
            (source.map(|source| source.id), added)
        });
        poll.type_name = None;
        self.count_source(source, SourceAct::Poll);
        let (waiter, mut receiver) = match added {
            Ok(added) => added,
            Err(in_use) => {
                self.note_poll(caller, poll, Some(Refusal::SidInUse));
                record.refuse(Refusal::SidInUse);
                return Err(in_use);
            }
        };
        self.note_poll(caller, poll, None);
        let end = Guard::new(self, waiter)
            .reply(&mut receiver)
            .await
            .unwrap_or_else(|| PollEnd {
                reply: PollReply::NoMatch(NoMatch::Evicted),
                next_poll: directory.poll_interval.fixed(NatClass::of(poll.nat)),
            });
        let refused = refusal(&end.reply);
        match (&end.reply, refused) {
            (_, Some(reason)) => {
                self.note(caller.origin, SightedAct::Refusal(reason));
                record.refuse(reason);
            }
            (PollReply::Offer(_), None) => {
                self.note(caller.origin, SightedAct::Match);
                self.count_source(source, SourceAct::Match);
                record.matched();
            }
            (PollReply::NoMatch(_), None) => record.idle(),
        }
        let forms = directory.poll_interval.refusals_as;
        Ok(AnsweredPoll {
            response: poll_response(end, forms),
            refused,
        })
    }

    /// Notes a poll for the proxy's operator, with the reason if it is refused.
    fn note_poll(&self, caller: Caller, poll: &ProxyPoll, refused: Option<Refusal>) {
        let class = NatClass::of(poll.nat);
        self.note(caller.origin, SightedAct::Poll(class, poll.proxy_type));
        if let Some(reason) = refused {
            self.note(caller.origin, SightedAct::Refusal(reason));
        }
    }

    /// The response to a proxy from whose address too many polls came.
    pub fn polled_too_soon(&self) -> PollResponse {
        let directory = self.directory.load();
        let settings = &directory.poll_interval;
        PollResponse {
            status: settings.refusals_as.polled_too_soon(),
            next_poll: self.lock().jittered(settings.overloaded),
        }
    }

    fn refused_pattern(&self, directory: &Directory) -> PollResponse {
        let settings = &directory.poll_interval;
        PollResponse {
            status: settings.refusals_as.relay_pattern(),
            next_poll: self.lock().jittered(settings.refused),
        }
    }

    /// Handles a proxy's answer.
    pub async fn proxy_answer(
        &self,
        caller: Caller,
        answer: ProxyAnswer,
    ) -> Result<AnswerStatus, OverLimit> {
        self.admit_answer(caller)?;
        if let Some(fate) = self.pass_on(caller, answer.sid, Some(&answer.answer)).await {
            return Ok(match fate {
                StrayAnswerFate::Delivered => AnswerStatus::Success,
                StrayAnswerFate::ClientGone | StrayAnswerFate::Unknown => AnswerStatus::ClientGone,
            });
        }
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
    pub async fn proxy_declines(&self, caller: Caller, sid: Sid) -> Result<(), OverLimit> {
        self.admit_answer(caller)?;
        if self.pass_on(caller, sid, None).await.is_some() {
            return Ok(());
        }
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

/// The reason for which the engine turned a poll away.
fn refusal(reply: &PollReply) -> Option<Refusal> {
    match reply {
        PollReply::Offer(_)
        | PollReply::NoMatch(NoMatch::Idle | NoMatch::NotParked | NoMatch::Evicted) => None,
        PollReply::NoMatch(NoMatch::Overloaded) => Some(Refusal::Overloaded),
        PollReply::NoMatch(NoMatch::OverShare(limit)) => Some(match limit {
            OverShare::Matches => Refusal::SourceMatches,
            OverShare::Unanswered => Refusal::SourceUnanswered,
            OverShare::Parked => Refusal::SourceParked,
            OverShare::Network => Refusal::NetworkShare,
            OverShare::Resting => Refusal::SourceResting,
        }),
    }
}

fn poll_response(end: PollEnd, forms: RefusalsAs) -> PollResponse {
    let status = match end.reply {
        PollReply::NoMatch(NoMatch::OverShare(_)) => forms.over_share(),
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
