//! Bodies of requests: read whole, within bounds of size, time and memory.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::listener::Connection;
use crate::metrics::labels::Refusal;

use super::{Front, Settings};

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableBody {
    /// It is too large, or broke off.
    #[error("the body cannot be read")]
    Broken,
    /// It did not come in time.
    #[error("the body did not come within http.body_read_timeout")]
    TooSlow,
    /// Others take all the memory there is for requests.
    #[error("all requests together are over http.max_bytes_in_flight")]
    NoRoom,
}

impl UnreadableBody {
    /// How it is counted.
    pub(super) fn reason(self) -> Refusal {
        match self {
            Self::Broken => Refusal::BadRequest,
            Self::TooSlow => Refusal::TooSlow,
            Self::NoRoom => Refusal::Overloaded,
        }
    }
}

/// The memory for what requests bring, in bytes; all of them share it.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// So much of it as one request takes, given back by its drop.
#[derive(Debug)]
#[must_use = "dropped, the memory counts as free"]
pub(super) struct Taken(OwnedSemaphorePermit);

impl Room {
    pub(super) fn new(settings: &Settings) -> Self {
        let bytes = settings.max_bytes_in_flight.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Takes so many bytes, unless fewer are left.
    pub(super) fn take(&self, bytes: usize) -> Result<Taken, UnreadableBody> {
        let bytes = u32::try_from(bytes).map_err(|_| UnreadableBody::NoRoom)?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        taken.map(Taken).map_err(|_| UnreadableBody::NoRoom)
    }
}

/// Reads a body whole. What it and its head take of the memory is to be held for
/// as long as anything of them is.
pub(super) async fn read<B>(
    head: &Parts,
    body: B,
    front: &Front,
) -> Result<(Bytes, Taken), UnreadableBody>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let taken = front.room.take(head_bytes(head))?;
    let whole = collect(body, front.settings.max_body_bytes, &front.room, taken);
    let read = timeout(front.settings.body_read_timeout, whole)
        .await
        .unwrap_or(Err(UnreadableBody::TooSlow))?;
    if let Some(connection) = head.extensions.get::<Connection>() {
        connection.request_read();
    }
    Ok(read)
}

/// What the head of a request holds that its sender determines.
pub(super) fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map(PathAndQuery::as_str);
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
    target.unwrap_or_default().len() + headers.sum::<usize>()
}

async fn collect<B>(
    mut body: B,
    most: usize,
    room: &Room,
    mut taken: Taken,
) -> Result<(Bytes, Taken), UnreadableBody>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| UnreadableBody::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > most - whole.len() {
            return Err(UnreadableBody::Broken);
        }
        taken.0.merge(room.take(data.len())?.0);
        // Mostly it comes at once, and need not be copied.
        if whole.is_empty() && body.is_end_stream() {
            return Ok((data, taken));
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), taken))
}

/// An answer with a JSON body.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}
