//! Borrowing for one client: its offer goes to one peer after the other.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::broker::clock;
use crate::broker::overflow::Wanted;
use crate::matching::PeerReply;
use crate::metrics::labels::{PeerName, PrivatePoolName};
use crate::peers::{Ended, Need, PeerProblem};
use crate::proto::federation::v1;
use crate::proto::federation::v1::federation_client::FederationClient;
use crate::proto::federation::v1::match_offer_response::Outcome;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

use super::convert::{refusal, request};
use super::error::of_call;
use super::state::Federation;

/// The maximum length of session descriptions between brokers, in bytes.
const LENGTH_MAX: usize = 100_000;
/// The maximum size of an answer's message, in bytes.
const ANSWER_MAX: usize = LENGTH_MAX + 1024;
/// The header that carries the trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// A call to a peer, cancelled when dropped early.
struct BorrowCall<'a> {
    federation: &'a Federation,
    peer: PeerName,
    need: &'a Need,
    began: Instant,
    ended: Ended,
}

impl Federation {
    /// Asks one peer after the other while there is time.
    pub(super) async fn ask_peers(
        &self,
        private_pool: Option<PrivatePoolName>,
        wanted: Wanted,
    ) -> PeerReply {
        let mut reply = PeerReply::NotAsked;
        let message = request(private_pool.as_ref(), &wanted);
        let need = Need {
            private_pool,
            class: NatClass::of(wanted.want.nat),
            fingerprint: wanted.want.fingerprint,
        };
        if message.offer.len() > LENGTH_MAX {
            return reply;
        }
        while clock::now() <= wanted.ask.last_call {
            let Some((mut call, channel)) = self.begin_call(&need, &wanted) else {
                break;
            };
            match call.ask(channel, &wanted, message.clone()).await {
                Ok(answer) => {
                    let since_asked = call.took();
                    return PeerReply::Answered {
                        answer,
                        since_asked,
                    };
                }
                Err(ended) => reply = reply.followed_by(ended.without_answer()),
            }
        }
        reply
    }

    fn begin_call<'a>(
        &'a self,
        need: &'a Need,
        wanted: &Wanted,
    ) -> Option<(BorrowCall<'a>, Channel)> {
        let now = clock::now();
        let mut asked = wanted.asked.names();
        let mut state = self.state();
        let draws = [state.rng.f64(), state.rng.f64()];
        let peer = state.peers.choose(now, need, &asked, draws)?;
        let channel = state.channels.get(&peer).cloned();
        drop(state);
        asked.insert(peer.clone());
        drop(asked);
        let call = BorrowCall {
            federation: self,
            peer,
            need,
            began: now,
            ended: Ended::Cancelled,
        };
        Some((call, channel?))
    }
}

impl BorrowCall<'_> {
    async fn ask(
        &mut self,
        channel: Channel,
        wanted: &Wanted,
        message: v1::MatchOfferRequest,
    ) -> Result<SessionDescription, Ended> {
        let time = wanted.ask.deadline.saturating_duration_since(self.began);
        let mut request = Request::new(message);
        request.set_timeout(time);
        let traceparent = wanted.want.traceparent.as_ref();
        if let Some(Ok(traceparent)) = traceparent.map(|traceparent| traceparent.parse()) {
            request.metadata_mut().insert(TRACEPARENT, traceparent);
        }
        let mut client = FederationClient::new(channel).max_decoding_message_size(ANSWER_MAX);
        // tonic enforces the deadline, but not while the connection is busy.
        let replied = timeout_at(wanted.ask.deadline.into(), client.match_offer(request))
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
        let answered = match replied {
            Ok(response) => self.understand(response.into_inner().outcome),
            Err(status) => {
                self.note_problem(&of_call(&status));
                Err(Ended::Failed)
            }
        };
        self.ended = match &answered {
            Ok(_) => Ended::Answered,
            Err(ended) => *ended,
        };
        answered
    }

    fn understand(&self, outcome: Option<Outcome>) -> Result<SessionDescription, Ended> {
        match outcome {
            Some(Outcome::Answer(answer)) => {
                SessionDescription::parse(&answer.answer).map_err(|error| {
                    self.note(format!("its answer is malformed: {error}"));
                    Ended::Failed
                })
            }
            Some(Outcome::NoProxies(_)) => Err(Ended::NoProxies),
            Some(Outcome::TimedOut(_)) => Err(Ended::TimedOut),
            Some(Outcome::Refused(refused)) => {
                let reason = refusal(refused.reason());
                self.note(format!("it does not take an offer: {}", reason.as_str()));
                Err(Ended::Refused(reason))
            }
            None => {
                self.note("its reply says nothing".to_owned());
                Err(Ended::Failed)
            }
        }
    }

    fn took(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    fn note(&self, words: String) {
        self.note_problem(&PeerProblem {
            words,
            is_vague: false,
        });
    }

    fn note_problem(&self, problem: &PeerProblem) {
        let federation = self.federation;
        federation.note_problem(Some(&self.peer), "it fails a client", problem);
    }
}

impl Drop for BorrowCall<'_> {
    fn drop(&mut self) {
        let (federation, took) = (self.federation, self.took());
        let now = clock::now();
        let mut state = federation.state();
        let jitter = state.rng.f64();
        let end = (took, self.ended);
        state.peers.ended(now, &self.peer, self.need, end, jitter);
        drop(state);
        let metrics = &federation.metrics;
        metrics.borrowed(&self.peer, self.ended.outcome());
        match self.ended {
            Ended::Answered => metrics.borrowed_answer(&self.peer, took),
            Ended::Refused(reason) => metrics.borrowing_refused(&self.peer, reason),
            _ => {}
        }
    }
}
