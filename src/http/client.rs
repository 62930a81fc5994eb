//! `/client`: clients ask for a proxy.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;

use crate::broker::{Broker, Caller};
use crate::metrics::labels::{self, Rendezvous};
use crate::wire::client::{ClientPoll, encode_answer, encode_error};

use super::caller::caller;
use super::{Front, body, error, refusals};

/// The poll of a client, in today's form or the legacy one.
pub(super) async fn poll(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let caller = caller(&head, &front.settings);
    let body = match body::read(body, &front.settings).await {
        Ok(body) => body,
        Err(unreadable) => {
            refuse(&front.broker, caller, Rendezvous::Http, &unreadable);
            return error::bad_request();
        }
    };
    if ClientPoll::is_legacy(&body) {
        return legacy_poll(&front.broker, caller, &body, &head.headers).await;
    }
    body::json(response(&front.broker, caller, Rendezvous::Http, &body).await)
}

/// The response to a poll, whichever way the poll came.
pub(super) async fn response(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    poll: &[u8],
) -> Vec<u8> {
    let poll = match ClientPoll::decode(poll) {
        Ok(poll) => poll,
        Err(invalid) => {
            refuse(broker, caller, rendezvous, &invalid);
            return encode_error(&invalid.to_string());
        }
    };
    match broker.client_poll(caller, rendezvous, poll).await {
        Ok(answer) => encode_answer(&answer),
        Err(no_answer) => encode_error(&no_answer.to_string()),
    }
}

/// Counts and logs a request that is no poll.
pub(super) fn refuse(
    broker: &Broker,
    caller: Caller,
    rendezvous: Rendezvous,
    reason: &dyn std::error::Error,
) {
    broker.bad_client_poll(caller, rendezvous);
    refusals::log(labels::Request::ClientPoll, &reason);
}

async fn legacy_poll(
    broker: &Broker,
    caller: Caller,
    offer: &[u8],
    headers: &HeaderMap,
) -> Response {
    // What is no text is no NAT word either.
    let nat = headers.get("Snowflake-NAT-Type");
    let nat = nat.map(|nat| nat.to_str().unwrap_or("?"));
    let poll = match ClientPoll::decode_legacy(offer, nat) {
        Ok(poll) => poll,
        Err(invalid) => {
            refuse(broker, caller, Rendezvous::Http, &invalid);
            return error::bad_request();
        }
    };
    match broker.client_poll(caller, Rendezvous::Http, poll).await {
        Ok(answer) => body::json(answer.as_str().to_owned()),
        Err(no_answer) => error::legacy(no_answer),
    }
}
