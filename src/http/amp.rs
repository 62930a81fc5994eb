//! `/amp/client/...`: client polls through an AMP cache.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse, Response};
use http::Request;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;

use crate::broker::{Caller, NoAnswer};
use crate::metrics::labels::{Refusal, Rendezvous};
use crate::rendezvous;
use crate::wire::amp_armor;
use crate::wire::amp_path::{self, InvalidAmpPath};
use crate::wire::client::encode_error;

use super::body;
use super::caller::behind_cache;
use super::front::HttpFront;

/// The prefix of the paths.
const PREFIX: &str = "/amp/client/";

/// The error when there is no memory for another poll.
const OVERLOADED: &str = "the broker is overloaded, slow down";

/// Serves a poll in the path of the URL. Always responds with 200, since caches do not
/// keep errors.
pub(super) async fn poll(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    if body.is_end_stream() {
        body::is_read(&head);
    }
    drop(body);
    let caller = behind_cache(&head, &front);
    let response = response(&front, caller, head).await;
    // A cache fetches again what is older, and each poll has a path of its own.
    let headers = [(CONTENT_TYPE, "text/html"), (CACHE_CONTROL, "max-age=15")];
    (headers, amp_armor::encode(&response)).into_response()
}

async fn response(front: &HttpFront, caller: Caller, head: Parts) -> Vec<u8> {
    let (broker, way) = (&front.broker, Rendezvous::Ampcache);
    if rendezvous::turns_away(broker, caller, way) {
        return encode_error(&NoAnswer::OverLimit.to_string());
    }
    // The offer is part of the path, and is held until there is a response.
    let reservation = match body::reserve(&caller, &head, front) {
        Ok(reservation) => reservation,
        Err(no_room) => {
            let reason = no_room.reason();
            rendezvous::refuse(broker, caller, way, reason, &no_room);
            return encode_error(OVERLOADED);
        }
    };
    let poll = match poll_in(head.uri.path()) {
        Ok(poll) => poll,
        Err(invalid) => {
            let reason = Refusal::BadRequest;
            rendezvous::refuse(broker, caller, way, reason, &invalid);
            return encode_error(&invalid.to_string());
        }
    };
    let is_sent_away = body::is_sent_away(&reservation, &head);
    drop(head);
    let exchange = rendezvous::exchange(broker, caller, way, poll.into(), is_sent_away);
    body::unless_revoked(&reservation, exchange)
        .await
        .unwrap_or_else(|_| encode_error(OVERLOADED))
}

fn poll_in(path: &str) -> Result<Vec<u8>, InvalidAmpPath> {
    amp_path::decode(path.strip_prefix(PREFIX).unwrap_or_default())
}
