//! Responses being written: their bytes are charged to the connection's account until
//! they are written, and an HTTP/2 request remains open as long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use hyper::body::{Frame, SizeHint};

use super::activity::{ConnectionActivity, PIECE, RequestUnderWay, UnwrittenKey};
use super::streams::StreamWatch;

/// The body of a response, returned in pieces, each of which must be taken in time.
pub(super) struct UnwrittenBody {
    body: Body,
    /// The part of the body that was received but not returned yet.
    rest: Bytes,
    response: Arc<Unwritten>,
}

/// A response that is not fully written.
struct Unwritten {
    activity: ConnectionActivity,
    bytes: usize,
    stream: Option<OnStream>,
}

/// The HTTP/2 part of a response.
pub(super) struct OnStream {
    progress: Mutex<WriteProgress>,
    stream: Arc<StreamWatch>,
    _request: RequestUnderWay,
}

/// The state of a response on a stream.
struct WriteProgress {
    key: UnwrittenKey,
    /// The pieces that are not written yet.
    pieces: usize,
    /// True if the body has no further piece for now.
    waits: bool,
}

impl OnStream {
    /// A response to this request on this stream.
    pub(super) fn new(
        activity: &ConnectionActivity,
        stream: &Arc<StreamWatch>,
        request: RequestUnderWay,
    ) -> Self {
        Self {
            progress: Mutex::new(WriteProgress {
                key: activity.begin_response(stream),
                pieces: 0,
                waits: false,
            }),
            stream: Arc::clone(stream),
            _request: request,
        }
    }

    /// Each change leaves the state whole, so a panic elsewhere does not matter.
    fn progress(&self) -> MutexGuard<'_, WriteProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of a body, until it is written.
struct Piece {
    bytes: Bytes,
    response: Arc<Unwritten>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.response.piece_written();
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Charges a response to its connection's account. A small one is always allowed: its
/// request has released as much. A response that does not fit is replaced with 503.
pub(super) fn unwritten(
    mut response: Response,
    activity: &ConnectionActivity,
    stream: Option<OnStream>,
) -> Response<UnwrittenBody> {
    let mut bytes = length(response.body());
    if bytes <= PIECE {
        activity.place().grow_anyway(bytes);
    } else if activity.place().grow(bytes).is_err() {
        bytes = 0;
        response = overloaded(response);
    }
    let unwritten = Unwritten {
        activity: activity.clone(),
        bytes,
        stream,
    };
    response.map(|body| UnwrittenBody {
        body,
        rest: Bytes::new(),
        response: Arc::new(unwritten),
    })
}

fn length(body: &Body) -> usize {
    let hint = body.size_hint();
    let length = hint.upper().unwrap_or(hint.lower());
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn overloaded(response: Response) -> Response {
    let mut response = response.map(|_| Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    for header in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG] {
        response.headers_mut().remove(header);
    }
    response
}

impl UnwrittenBody {
    fn next_piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.response.goes_on();
        Bytes::from_owner(Piece {
            bytes,
            response: Arc::clone(&self.response),
        })
    }
}

impl HttpBody for UnwrittenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                self.response.waits();
                return Poll::Pending;
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.next_piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl Unwritten {
    fn goes_on(&self) {
        if let Some(stream) = &self.stream {
            let mut progress = stream.progress();
            progress.pieces += 1;
            progress.waits = false;
            let key = progress.key;
            progress.key = self.activity.response_goes_on(key, &stream.stream);
        }
    }

    fn waits(&self) {
        if let Some(stream) = &self.stream {
            let mut progress = stream.progress();
            progress.waits = true;
            self.cannot_be_late(&progress);
        }
    }

    fn piece_written(&self) {
        if let Some(stream) = &self.stream {
            let mut progress = stream.progress();
            progress.pieces -= 1;
            self.cannot_be_late(&progress);
        }
    }

    /// Ends the deadline if there is nothing to write. hyper asks for more of a body even if
    /// the peer has no room for what h2 already holds.
    fn cannot_be_late(&self, progress: &WriteProgress) {
        if progress.waits && progress.pieces == 0 {
            self.activity.response_waits(progress.key);
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.activity.place().shrink(self.bytes);
        }
        if let Some(stream) = &self.stream {
            self.activity.end_response(stream.progress().key);
        }
    }
}
