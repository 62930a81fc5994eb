//! `/proxy` and `/answer`: proxies ask for a client, and answer its offer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::broker::clock;
use crate::wire::answer::ProxyAnswer;
use crate::wire::proxy::ProxyPoll;

use super::{Front, body, error};

/// The poll of a proxy.
pub(super) async fn poll(State(front): State<Arc<Front>>, request: Request) -> Response {
    let arrived = clock::now();
    let Ok(body) = body::read(request.into_body(), &front.settings).await else {
        return error::bad_request();
    };
    let Ok(poll) = ProxyPoll::decode(&body) else {
        return error::bad_request();
    };
    drop(body);
    match front.broker.proxy_poll(arrived, &poll).await {
        Ok(response) => body::json(response.encode()),
        Err(_sid_in_use) => error::bad_request(),
    }
}

/// The answer of a proxy.
pub(super) async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let Ok(body) = body::read(request.into_body(), &front.settings).await else {
        return error::bad_request();
    };
    let Ok(answer) = ProxyAnswer::decode(&body) else {
        return error::bad_request();
    };
    body::json(front.broker.proxy_answer(answer).encode())
}
