//! `/proxy` and `/answer`: proxies ask for a client, and answer its offer.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::broker::{Broker, clock};
use crate::listener::{Connection, Hold};
use crate::metrics::labels::{self, AnswerFate};
use crate::wire::answer::ProxyAnswer;
use crate::wire::proxy::{PollStatus, ProxyPoll, ProxyType};

use super::caller::caller;
use super::{Front, body, error, refusals};

/// The longest host name has 253 characters.
const LOGGED_PATTERN_MAX: usize = 260;

/// The poll of a proxy.
pub(super) async fn poll(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let caller = caller(&head, &front.settings);
    // The answer will come over this connection, if there is a client.
    let hold = head.extensions.get().map(Connection::hold);
    let body = match body::read(body, &front.settings).await {
        Ok(body) => body,
        Err(unreadable) => return refuse_poll(&front.broker, &unreadable),
    };
    let poll = match ProxyPoll::decode(&body) {
        Ok(poll) => poll,
        Err(invalid) => return refuse_poll(&front.broker, &invalid),
    };
    // The poll may be parked for long, and its body is of no more use.
    drop(body);
    drop(head);
    match front.broker.proxy_poll(caller, &poll).await {
        Ok(response) => {
            match response.status {
                PollStatus::ClientMatch { .. } => expect_answer(&front.broker, hold),
                PollStatus::IncorrectRelayPattern => log_pattern(&poll),
                _ => {}
            }
            body::json(response.encode())
        }
        Err(in_use) => {
            refusals::log(labels::Request::ProxyPoll, &in_use);
            error::bad_request()
        }
    }
}

/// The answer of a proxy.
pub(super) async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match body::read(body, &front.settings).await {
        Ok(body) => body,
        Err(unreadable) => return refuse_answer(&front.broker, &unreadable),
    };
    match ProxyAnswer::decode(&body) {
        Ok(answer) => {
            let status = front.broker.proxy_answer(answer);
            if let Some(connection) = head.extensions.get::<Connection>() {
                connection.release();
            }
            body::json(status.encode())
        }
        Err(invalid) => refuse_answer(&front.broker, &invalid),
    }
}

/// A client waits for the proxy's answer no longer than clients do.
fn expect_answer(broker: &Broker, hold: Option<Hold>) {
    if let Some(hold) = hold {
        hold.expect_until(clock::now() + broker.client_timeout());
    }
}

fn refuse_poll(broker: &Broker, reason: &dyn Display) -> Response {
    broker.metrics().bad_proxy_poll();
    refusals::log(labels::Request::ProxyPoll, reason);
    error::bad_request()
}

fn refuse_answer(broker: &Broker, reason: &dyn Display) -> Response {
    let metrics = broker.metrics();
    metrics.proxy_answered(ProxyType::Unknown, AnswerFate::Refused);
    refusals::log(labels::Request::ProxyAnswer, reason);
    error::bad_request()
}

fn log_pattern(poll: &ProxyPoll) {
    let pattern = match &poll.accepted_relay_pattern {
        Some(pattern) => format!("its relay pattern {:?}", shortened(&pattern.to_string())),
        None => "broker.default_relay_pattern, as it sent none,".to_owned(),
    };
    let reason = format!("{pattern} does not cover broker.allowed_relay_pattern");
    refusals::log(labels::Request::ProxyPoll, &reason);
}

/// A proxy can send a pattern as long as a body may be.
fn shortened(pattern: &str) -> String {
    pattern.chars().take(LOGGED_PATTERN_MAX).collect()
}
