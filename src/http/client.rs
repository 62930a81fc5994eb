//! `/client`: clients ask for a proxy.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;

use crate::broker::{Broker, clock};
use crate::wire::client::{ClientPoll, encode_answer, encode_error};

use super::{Front, body, error};

/// The poll of a client, in today's form or the legacy one.
pub(super) async fn poll(State(front): State<Arc<Front>>, request: Request) -> Response {
    let arrived = clock::now();
    let (head, body) = request.into_parts();
    let Ok(body) = body::read(body, &front.settings).await else {
        return error::bad_request();
    };
    if ClientPoll::is_legacy(&body) {
        return legacy_poll(&front.broker, arrived, &body, &head.headers).await;
    }
    body::json(response(&front.broker, arrived, &body).await)
}

/// The response to a poll, whichever way the poll came.
pub(super) async fn response(broker: &Broker, arrived: Instant, poll: &[u8]) -> Vec<u8> {
    let poll = match ClientPoll::decode(poll) {
        Ok(poll) => poll,
        Err(error) => return encode_error(&error.to_string()),
    };
    match broker.client_poll(arrived, poll).await {
        Ok(answer) => encode_answer(&answer),
        Err(no_answer) => encode_error(&no_answer.to_string()),
    }
}

async fn legacy_poll(
    broker: &Broker,
    arrived: Instant,
    offer: &[u8],
    headers: &HeaderMap,
) -> Response {
    let nat = headers.get("Snowflake-NAT-Type").map(|nat| nat.to_str());
    let Ok(nat) = nat.transpose() else {
        return error::bad_request();
    };
    let Ok(poll) = ClientPoll::decode_legacy(offer, nat) else {
        return error::bad_request();
    };
    match broker.client_poll(arrived, poll).await {
        Ok(answer) => body::json(answer.as_str().to_owned()),
        Err(no_answer) => error::legacy(no_answer),
    }
}
