//! `/client`: clients ask for a proxy.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;

use crate::broker::{Broker, Caller, NoAnswer};
use crate::metrics::labels::{self, Refusal, Rendezvous};
use crate::wire::client::{ClientPoll, encode_answer, encode_error};
use crate::wire::session_description::SessionDescription;

use super::caller::caller;
use super::{Front, body, error, refusals};

/// The poll of a client, in today's form or the legacy one.
pub(super) async fn poll<B>(front: Arc<Front>, head: Parts, body: B) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let caller = caller(&head, &front.settings);
    // The offer is held until there is a response.
    let (body, _taken) = match body::read(&head, body, &front).await {
        Ok(read) => read,
        Err(unreadable) => {
            let (rendezvous, reason) = (Rendezvous::Http, unreadable.reason());
            refuse(&front.broker, caller, rendezvous, reason, &unreadable);
            return error::unreadable(unreadable);
        }
    };
    if ClientPoll::is_legacy(&body) {
        // What is no text is no NAT word either.
        let nat = head.headers.get("Snowflake-NAT-Type");
        let nat = nat.map(|nat| nat.to_str().unwrap_or("?").to_owned());
        drop(head);
        return legacy_poll(&front.broker, caller, body, nat).await;
    }
    // The head may be long, and is of no more use while the client waits.
    drop(head);
    body::json(response(&front.broker, caller, Rendezvous::Http, body).await)
}

/// The response to a poll, whichever way the poll came.
pub(super) async fn response(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    body: Bytes,
) -> Vec<u8> {
    let poll = match ClientPoll::decode(&body) {
        Ok(poll) => poll,
        Err(invalid) => {
            refuse(broker, caller, rendezvous, Refusal::BadRequest, &invalid);
            return encode_error(&invalid.to_string());
        }
    };
    drop(body);
    match ask(broker, caller, rendezvous, poll).await {
        Ok(answer) => encode_answer(&answer),
        Err(no_answer) => encode_error(&no_answer.to_string()),
    }
}

/// Counts and logs a request that is not taken for a poll.
pub(super) fn refuse(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    reason: Refusal,
    why: &dyn std::error::Error,
) {
    broker.bad_client_poll(caller, rendezvous, reason);
    refusals::log(labels::Request::ClientPoll, &why);
}

async fn legacy_poll(
    broker: &Broker,
    caller: Caller,
    body: Bytes,
    nat: Option<String>,
) -> Response {
    let poll = match ClientPoll::decode_legacy(&body, nat.as_deref()) {
        Ok(poll) => poll,
        Err(invalid) => {
            let (rendezvous, reason) = (Rendezvous::Http, Refusal::BadRequest);
            refuse(broker, caller, rendezvous, reason, &invalid);
            return error::bad_request();
        }
    };
    drop(nat);
    drop(body);
    match ask(broker, caller, Rendezvous::Http, poll).await {
        Ok(answer) => body::json(answer.text()),
        Err(no_answer) => error::legacy(no_answer),
    }
}

async fn ask(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    poll: ClientPoll,
) -> Result<SessionDescription, NoAnswer> {
    let answered = broker.client_poll(caller, rendezvous, poll).await;
    if answered == Err(NoAnswer::OverLimit) {
        refusals::log_limit(labels::Request::ClientPoll);
    }
    answered
}
