//! A client's poll and the response to it as bytes: the same whichever way they
//! travel.

use std::error::Error;

use bytes::Bytes;

use crate::metrics::labels::{Refusal, Rendezvous, Request};
use crate::wire::client::{ClientPoll, encode_answer, encode_error};
use crate::wire::session_description::SessionDescription;

use super::{Broker, Caller, NoAnswer, refusals};

impl Broker {
    /// The response to a poll in today's form; see [`Self::client_poll`].
    pub async fn exchange(
        &self,
        caller: Caller,
        rendezvous: Rendezvous,
        body: Bytes,
        is_sent_away: impl Fn() -> bool,
    ) -> Vec<u8> {
        let poll = match ClientPoll::decode(&body) {
            Ok(poll) => poll,
            Err(invalid) => {
                self.refuse_client(caller, rendezvous, Refusal::BadRequest, &invalid);
                return encode_error(&invalid.to_string());
            }
        };
        drop(body);
        match self.ask(caller, rendezvous, poll, is_sent_away).await {
            Ok(answer) => encode_answer(&answer),
            Err(no_answer) => encode_error(&no_answer.to_string()),
        }
    }

    /// A client asks for a proxy; if too many did from where it is, the log says
    /// so. See [`Self::client_poll`].
    pub async fn ask(
        &self,
        caller: Caller,
        rendezvous: Rendezvous,
        poll: ClientPoll,
        is_sent_away: impl Fn() -> bool,
    ) -> Result<SessionDescription, NoAnswer> {
        let answered = self.client_poll(caller, rendezvous, poll, is_sent_away);
        let answered = answered.await;
        if answered == Err(NoAnswer::OverLimit) {
            refusals::log_limit(Request::ClientPoll);
        }
        answered
    }

    /// Whether a client's request is turned away before it is read, as too many
    /// came from where it is. If so, that is counted and logged.
    pub fn turns_client_away(&self, caller: Caller, rendezvous: Rendezvous) -> bool {
        let is_over = self.is_over_limit(Request::ClientPoll, caller.origin);
        if is_over {
            self.metrics().bad_client_poll(rendezvous, Refusal::Limit);
            refusals::log_limit(Request::ClientPoll);
        }
        is_over
    }

    /// Counts and logs a client's request that is not taken for a poll, and has it
    /// paid for if its sender is to blame.
    pub fn refuse_client(
        &self,
        caller: Caller,
        rendezvous: Rendezvous,
        reason: Refusal,
        why: &dyn Error,
    ) {
        self.metrics().bad_client_poll(rendezvous, reason);
        refusals::log(Request::ClientPoll, &why);
        self.charge_refused(Request::ClientPoll, caller.origin, reason);
    }
}
