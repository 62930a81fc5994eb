//! `/client`: client polls.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;

use crate::broker::{Broker, Caller, NoAnswer};
use crate::listener::accounts::Reservation;
use crate::metrics::labels::{Refusal, Rendezvous};
use crate::rendezvous;
use crate::wire::client::{ClientPoll, encode_error};

use super::caller::caller;
use super::front::HttpFront;
use super::{body, error};

/// Serves the poll of a client, in the current or the legacy form.
pub(super) async fn poll(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let caller = caller(&head, &front.settings);
    let broker = &front.broker;
    // The offer is held until there is a response.
    let (body, reservation) = match body::read(&caller, &head, body, &front).await {
        Ok(read) => read,
        Err(unreadable) => {
            let reason = unreadable.reason();
            rendezvous::refuse(broker, caller, Rendezvous::Http, reason, &unreadable);
            return error::unreadable(unreadable);
        }
    };
    let is_legacy = ClientPoll::is_legacy(&body);
    if rendezvous::turns_away(broker, caller, Rendezvous::Http) {
        return if is_legacy {
            error::over_limit()
        } else {
            body::json(encode_error(&NoAnswer::OverLimit.to_string()))
        };
    }
    if is_legacy {
        // A header that is not text is not a NAT word either.
        let nat = head
            .headers
            .get("Snowflake-NAT-Type")
            .map(|nat| nat.to_str().unwrap_or("?").to_owned());
        let is_sent_away = body::is_sent_away(&reservation, &head);
        drop(head);
        let response = legacy_poll(broker, caller, body, nat, is_sent_away);
        return unless_revoked(&reservation, response).await;
    }
    let is_sent_away = body::is_sent_away(&reservation, &head);
    // The head may be large and is not needed while the client waits.
    drop(head);
    let exchange = rendezvous::exchange(broker, caller, Rendezvous::Http, body, is_sent_away);
    unless_revoked(&reservation, exchange.map(body::json)).await
}

async fn unless_revoked(
    reservation: &Reservation,
    response: impl Future<Output = Response>,
) -> Response {
    body::unless_revoked(reservation, response)
        .await
        .unwrap_or_else(error::unreadable)
}

async fn legacy_poll(
    broker: &Broker,
    caller: Caller,
    body: Bytes,
    nat: Option<String>,
    is_sent_away: impl Fn() -> bool,
) -> Response {
    let poll = match ClientPoll::decode_legacy(&body, nat.as_deref()) {
        Ok(poll) => poll,
        Err(invalid) => {
            let reason = Refusal::BadRequest;
            rendezvous::refuse(broker, caller, Rendezvous::Http, reason, &invalid);
            return error::bad_request();
        }
    };
    drop(nat);
    drop(body);
    let asked = rendezvous::ask(broker, caller, Rendezvous::Http, poll, is_sent_away);
    match asked.await {
        Ok(answer) => body::json(answer.text()),
        Err(no_answer) => error::legacy(no_answer),
    }
}
