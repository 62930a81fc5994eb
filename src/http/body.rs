//! Request bodies: read whole, within limits of size, time and memory.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter;

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::broker::{Caller, RequestOrigin};
use crate::listener::ConnectionHandle;
use crate::listener::accounts::{Payer, Reservation};

use super::error::UnreadableBody;
use super::front::HttpFront;

/// The limits of a head: number of fields, and size in bytes.
const FIELDS_MAX: usize = 100;
const HEAD_MAX: usize = 16 * 1024;
/// Bytes that a header field takes in addition to its name and value.
const FIELD_COST: usize = 100;

/// Returns true if a head is too large for a request with a short target. HTTP/1 enforces
/// the same number of fields earlier; both versions enforce a number of bytes that leaves
/// room for a poll in the path.
pub(super) fn is_head_too_large(target: &Uri, fields: &HeaderMap) -> bool {
    fields.len() > FIELDS_MAX || target_bytes(target) + field_bytes(fields) > HEAD_MAX
}

/// Like [`is_head_too_large`], for a request with a poll in its path.
pub(super) fn are_fields_too_large(fields: &HeaderMap) -> bool {
    fields.len() > FIELDS_MAX || field_bytes(fields) > HEAD_MAX
}

/// Charges the head of a request to its sender's account. Hold the reservation as long as
/// any part of the request is in memory.
pub(super) fn reserve(
    caller: &Caller,
    head: &Parts,
    front: &HttpFront,
) -> Result<Reservation, UnreadableBody> {
    let fields = head.headers.len() * FIELD_COST;
    let bytes = target_bytes(&head.uri) + field_bytes(&head.headers) + fields;
    Ok(front.accounts.open(payer(caller), bytes)?)
}

/// The payer for a request's memory.
pub(super) fn payer(caller: &Caller) -> Payer {
    match caller.origin {
        // An address claimed by an unconfirmed peer does not pay.
        RequestOrigin::Sender(address) | RequestOrigin::Unconfirmed { peer: address, .. } => {
            Payer::Address(address)
        }
        RequestOrigin::Local | RequestOrigin::Intermediary(_) | RequestOrigin::Queue => Payer::Many,
    }
}

/// Reads a whole body. Hold the reservation as long as any part of the body or the head
/// is in memory.
pub(super) async fn read(
    caller: &Caller,
    head: &Parts,
    body: Body,
    front: &HttpFront,
) -> Result<(Bytes, Reservation), UnreadableBody> {
    // Polling the body would request it from the sender: by `100 Continue` or HTTP/2 flow
    // control.
    if body.size_hint().lower() > most_bytes(front) {
        return Err(UnreadableBody::Broken);
    }
    let reservation = reserve(caller, head, front)?;
    let whole = collect(body, front.settings.max_body_bytes, &reservation);
    let read = timeout(front.settings.body_read_timeout, whole);
    match unless_revoked(&reservation, read)
        .await?
        .unwrap_or(Err(UnreadableBody::TooSlow))
    {
        Ok(body) => {
            is_read(head);
            Ok((body, reservation))
        }
        // The broker cut the body off, not its sender.
        Err(_) if lacks_memory(head) => Err(UnreadableBody::NoRoom),
        Err(unreadable) => Err(unreadable),
    }
}

fn lacks_memory(head: &Parts) -> bool {
    let connection = head.extensions.get();
    connection.is_some_and(ConnectionHandle::lacks_memory)
}

/// Returns a check of whether a request was ended for lack of memory rather than because
/// its sender left.
pub(super) fn is_sent_away<'a>(
    reservation: &'a Reservation,
    head: &Parts,
) -> impl Fn() -> bool + use<'a> {
    let connection = head.extensions.get::<ConnectionHandle>().cloned();
    move || {
        let lacks_memory = connection
            .as_ref()
            .is_some_and(ConnectionHandle::lacks_memory);
        reservation.is_revoked() || lacks_memory
    }
}

/// Tells the connection that the whole request has been read.
pub(super) fn is_read(head: &Parts) {
    if let Some(connection) = head.extensions.get::<ConnectionHandle>() {
        connection.request_read();
    }
}

/// Waits for `something`, unless the memory of its request is revoked first.
pub(super) async fn unless_revoked<T>(
    reservation: &Reservation,
    something: impl Future<Output = T>,
) -> Result<T, UnreadableBody> {
    tokio::select! {
        biased;
        result = something => Ok(result),
        () = reservation.revoked() => Err(UnreadableBody::NoRoom),
    }
}

fn most_bytes(front: &HttpFront) -> u64 {
    u64::try_from(front.settings.max_body_bytes).unwrap_or(u64::MAX)
}

fn target_bytes(target: &Uri) -> usize {
    let path_and_query = target.path_and_query().map(PathAndQuery::as_str);
    path_and_query.unwrap_or_default().len()
}

fn field_bytes(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

async fn collect(
    mut body: Body,
    most: usize,
    reservation: &Reservation,
) -> Result<Bytes, UnreadableBody> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > most - whole.len() {
            return Err(UnreadableBody::Broken);
        }
        reservation.grow(data.len())?;
        // Usually the body arrives in one piece and need not be copied.
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Tells an incomplete body from an invalid one.
fn unreadable(error: &(dyn Error + 'static)) -> UnreadableBody {
    let mut errors = iter::successors(Some(error), |&error| error.source());
    if errors.any(is_cut_off) {
        UnreadableBody::CutOff
    } else {
        UnreadableBody::Broken
    }
}

fn is_cut_off(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::TimedOut
        );
    }
    let error = error.downcast_ref::<h2::Error>();
    error.is_some_and(|error| error.is_remote() || error.is_io())
}

/// A response with a JSON body.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}
