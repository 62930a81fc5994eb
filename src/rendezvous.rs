//! A client's poll in bytes, for every rendezvous method: decode, ask the broker, encode.

pub mod refusals;

use std::error::Error;

use bytes::Bytes;

use crate::broker::{Broker, Caller, NoAnswer};
use crate::metrics::labels::{Refusal, Rendezvous, Request};
use crate::wire::client::{ClientPoll, encode_answer, encode_error};
use crate::wire::session_description::SessionDescription;

/// Returns the response to a poll in the current format; see [`Broker::client_poll`].
pub async fn exchange(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    body: Bytes,
    is_sent_away: impl Fn() -> bool,
) -> Vec<u8> {
    let poll = match ClientPoll::decode(&body) {
        Ok(poll) => poll,
        Err(invalid) => {
            refuse(broker, caller, rendezvous, Refusal::BadRequest, &invalid);
            return encode_error(&invalid.to_string());
        }
    };
    drop(body);
    match ask(broker, caller, rendezvous, poll, is_sent_away).await {
        Ok(answer) => encode_answer(&answer),
        Err(no_answer) => encode_error(&no_answer.to_string()),
    }
}

/// Asks for a proxy. Logs if too many clients did from the same origin. See
/// [`Broker::client_poll`].
pub async fn ask(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    poll: ClientPoll,
    is_sent_away: impl Fn() -> bool,
) -> Result<SessionDescription, NoAnswer> {
    let answered = broker
        .client_poll(caller, rendezvous, poll, is_sent_away)
        .await;
    match answered {
        Err(NoAnswer::OverLimit) => refusals::log_limit(Request::ClientPoll),
        Err(NoAnswer::PoolOverLimit) => {
            refusals::log(
                Request::ClientPoll,
                &"its private pool is over its clients_per_minute",
            );
        }
        _ => {}
    }
    answered
}

/// Returns true if a client's request is refused before it is read, because too many came
/// from its origin. Counts and logs the refusal.
pub fn turns_away(broker: &Broker, caller: Caller, rendezvous: Rendezvous) -> bool {
    let is_over = broker.is_over_limit(Request::ClientPoll, caller.origin);
    if is_over {
        broker.metrics().bad_client_poll(rendezvous, Refusal::Limit);
        refusals::log_limit(Request::ClientPoll);
    }
    is_over
}

/// Counts and logs a client's request that is not accepted as a poll, and charges it to
/// its sender's quota if the sender is at fault.
pub fn refuse(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    reason: Refusal,
    why: &dyn Error,
) {
    broker.metrics().bad_client_poll(rendezvous, reason);
    refusals::log(Request::ClientPoll, &why);
    broker.charge_refused(Request::ClientPoll, caller.origin, reason);
}
