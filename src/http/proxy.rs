//! `/proxy` and `/answer`: polls and answers of proxies.

use std::fmt::Display;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Request;

use crate::broker::{AnsweredPoll, Broker, Caller, clock};
use crate::listener::accounts::Reservation;
use crate::listener::{ConnectionHandle, KeepOpenGuard};
use crate::metrics::labels::{self, Refusal};
use crate::rendezvous::refusals;
use crate::wire::answer::{InvalidProxyAnswer, ProxyAnswer, declined};
use crate::wire::proxy::{PollStatus, ProxyPoll};
use crate::wire::relay_pattern::RelayPattern;

use super::caller::caller;
use super::front::HttpFront;
use super::{body, error};

/// A poll, read and decoded, with everything that it keeps while parked.
struct ReadPoll {
    poll: ProxyPoll,
    caller: Caller,
    reservation: Reservation,
    /// If there is a match, the proxy's answer will arrive over this connection.
    hold: Option<KeepOpenGuard>,
}

/// Serves the poll of a proxy.
pub(super) async fn poll(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    // Reading needs more memory than a parked poll. The box is freed once the poll is read;
    // without it, this future would keep the memory until the reply.
    let read = Box::pin(read_poll(&front, request)).await;
    let mut parked = match read {
        Ok(read) => read,
        Err(response) => return response,
    };
    let reply = front.broker.proxy_poll(parked.caller, &mut parked.poll);
    let reply = match body::unless_revoked(&parked.reservation, reply).await {
        Ok(reply) => reply,
        Err(revoked) => return error::unreadable(revoked),
    };
    match reply {
        Ok(AnsweredPoll { response, refused }) => {
            match refused {
                Some(Refusal::Pattern) => log_pattern(&front.broker, &parked.poll),
                Some(Refusal::TooSoon) => refusals::log_limit(labels::Request::ProxyPoll),
                Some(reason) => refusals::log_share(reason),
                None => {}
            }
            if let PollStatus::ClientMatch { .. } = response.status {
                expect_answer(&front.broker, parked.hold);
            }
            body::json(response.encode())
        }
        Err(in_use) => {
            refusals::log(labels::Request::ProxyPoll, &in_use);
            error::bad_request()
        }
    }
}

/// Reads a poll, unless its sender polls too often. The error is the response.
async fn read_poll(front: &HttpFront, request: Request<Body>) -> Result<ReadPoll, Response> {
    let (head, body) = request.into_parts();
    let caller = caller(&head, &front.settings);
    let hold = head.extensions.get().map(ConnectionHandle::keep_open);
    let (body, reservation) = match body::read(&caller, &head, body, front).await {
        Ok(read) => read,
        Err(unreadable) => {
            refuse_poll(&front.broker, caller, unreadable.reason(), &unreadable);
            return Err(error::unreadable(unreadable));
        }
    };
    if front
        .broker
        .is_over_limit(labels::Request::ProxyPoll, caller.origin)
    {
        front.broker.metrics().bad_proxy_poll(Refusal::TooSoon);
        front.broker.refused_unread(caller.origin, Refusal::TooSoon);
        refusals::log_limit(labels::Request::ProxyPoll);
        return Err(body::json(front.broker.polled_too_soon().encode()));
    }
    let poll = match ProxyPoll::decode(&body, front.broker.metrics().proxy_types()) {
        Ok(poll) => poll,
        Err(invalid) => {
            refuse_poll(&front.broker, caller, Refusal::BadRequest, &invalid);
            return Err(error::bad_request());
        }
    };
    // Head and body are dropped here: the poll may be parked for a long time.
    reservation.shrink_to_least();
    Ok(ReadPoll {
        poll,
        caller,
        reservation,
        hold,
    })
}

/// Serves the answer of a proxy.
pub(super) async fn answer(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let caller = caller(&head, &front.settings);
    let (body, _reservation) = match body::read(&caller, &head, body, &front).await {
        Ok(read) => read,
        Err(unreadable) => {
            refuse_answer(&front.broker, caller, unreadable.reason(), &unreadable);
            return error::unreadable(unreadable);
        }
    };
    if front
        .broker
        .is_over_limit(labels::Request::ProxyAnswer, caller.origin)
    {
        front.broker.metrics().bad_proxy_answer(Refusal::Limit);
        return answered_too_often();
    }
    let answer = match ProxyAnswer::decode(&body) {
        Ok(answer) => answer,
        Err(invalid) => return refuse_or_decline(&front.broker, caller, &body, &invalid).await,
    };
    if let Ok(status) = front.broker.proxy_answer(caller, answer).await {
        if let Some(connection) = head.extensions.get::<ConnectionHandle>() {
            connection.release();
        }
        return body::json(status.encode());
    }
    answered_too_often()
}

/// Refuses an answer. If it says that the proxy cannot answer, its client gets another.
async fn refuse_or_decline(
    broker: &Broker,
    caller: Caller,
    body: &[u8],
    invalid: &InvalidProxyAnswer,
) -> Response {
    let Some(sid) = declined(body) else {
        refuse_answer(broker, caller, Refusal::BadRequest, invalid);
        return error::bad_request();
    };
    match broker.proxy_declines(caller, sid).await {
        Ok(()) => error::bad_request(),
        Err(_) => answered_too_often(),
    }
}

fn answered_too_often() -> Response {
    refusals::log_limit(labels::Request::ProxyAnswer);
    error::over_limit()
}

/// Keeps the connection open until the client would have given up.
fn expect_answer(broker: &Broker, hold: Option<KeepOpenGuard>) {
    if let Some(hold) = hold {
        hold.expect_until(clock::now() + broker.client_timeout());
    }
}

fn refuse_poll(broker: &Broker, caller: Caller, reason: Refusal, why: &dyn Display) {
    broker.metrics().bad_proxy_poll(reason);
    broker.refused_unread(caller.origin, reason);
    refuse(broker, labels::Request::ProxyPoll, caller, reason, why);
}

fn refuse_answer(broker: &Broker, caller: Caller, reason: Refusal, why: &dyn Display) {
    broker.metrics().bad_proxy_answer(reason);
    refuse(broker, labels::Request::ProxyAnswer, caller, reason, why);
}

/// Logs a refusal, and charges the sender if it is to blame.
fn refuse(
    broker: &Broker,
    request: labels::Request,
    caller: Caller,
    reason: Refusal,
    why: &dyn Display,
) {
    refusals::log(request, why);
    broker.charge_refused(request, caller.origin, reason);
}

fn log_pattern(broker: &Broker, poll: &ProxyPoll) {
    let reason = match &poll.accepted_relay_pattern {
        // Other text could be of anything.
        Some(pattern) if RelayPattern::checked(&pattern.to_string()).is_err() => {
            "its relay pattern is of no host name".to_owned()
        }
        Some(pattern) => {
            format!("its relay pattern \"{pattern}\" does not cover broker.allowed_relay_pattern")
        }
        None if broker.directory().default_relay_pattern.is_some() => {
            "broker.default_relay_pattern, as it sent none, does not cover \
             broker.allowed_relay_pattern"
                .to_owned()
        }
        None => "it sent no relay pattern, so it reaches the Tor Project's bridge only, and \
                 there are others (see broker.default_relay_pattern)"
            .to_owned(),
    };
    refusals::log(labels::Request::ProxyPoll, &reason);
}
