//! The response to a request over HTTP/1, awaited apart from the connection.
//!
//! hyper keeps two buffers of 8 KB for each connection. So that a poll which is
//! parked does not cost them, its connection is taken from hyper. Once there is a
//! response, hyper gets the connection again, with a request that asks for it.
//!
//! hyper answers whoever has closed its sending side, and so does not notice who has
//! left. Whoever closes while its request is parked counts as gone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::{MaybeDone, maybe_done};
use http::header::CONNECTION;
use http::{Method, Request, Version};

/// The response to the request that a connection is at.
pub(super) struct ParkedResponse<F: Future>(Mutex<ParkingState<F>>);

struct ParkingState<F: Future> {
    replay: Option<&'static [u8]>,
    /// It stays where it is from one request to the next.
    response: Pin<Box<MaybeDone<F>>>,
}

impl<F: Future> ParkedResponse<F> {
    /// Without a request.
    pub(super) fn new() -> Self {
        Self(Mutex::new(ParkingState {
            replay: None,
            response: Box::pin(MaybeDone::Gone),
        }))
    }

    /// A request has come; `replay` asks for the same response.
    pub(super) fn begin(&self, replay: Option<&'static [u8]>, response: F) {
        let mut state = self.state();
        state.replay = replay;
        state.response.set(maybe_done(response));
    }

    /// The bytes that ask for the response to the request that there was, if any can.
    pub(super) fn replay(&self) -> Option<&'static [u8]> {
        self.state().replay
    }

    /// Returns once there is a response.
    pub(super) async fn done(&self) {
        poll_fn(|context| self.poll_done(context)).await;
    }

    /// The response, if it is there and was not taken before.
    pub(super) fn take(&self) -> Option<F::Output> {
        self.state().response.as_mut().take_output()
    }

    /// Returns the response once it is there, to the first who asks.
    pub(super) async fn response(&self) -> F::Output {
        poll_fn(|context| {
            ready!(self.poll_done(context));
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn poll_done(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state().response.as_mut().poll(context)
    }

    fn state(&self) -> MutexGuard<'_, ParkingState<F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request without a body whose response has as long a one, and after which the
/// connection is kept as after this one. It never is one of CONNECT, whose response
/// would begin a tunnel.
pub(super) fn replay_request<B>(request: &Request<B>) -> Option<&'static [u8]> {
    let says = |word: &str| {
        let values = request.headers().get_all(CONNECTION).into_iter();
        let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let is_head = request.method() == Method::HEAD;
    let replay = match (request.version(), is_head) {
        (Version::HTTP_11, false) if says("close") => {
            "POST / HTTP/1.1\r\nconnection: close\r\n\r\n"
        }
        (Version::HTTP_11, true) if says("close") => "HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n",
        (Version::HTTP_11, false) => "POST / HTTP/1.1\r\n\r\n",
        (Version::HTTP_11, true) => "HEAD / HTTP/1.1\r\n\r\n",
        (Version::HTTP_10, false) if says("keep-alive") => {
            "POST / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
        }
        (Version::HTTP_10, true) if says("keep-alive") => {
            "HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
        }
        (Version::HTTP_10, false) => "POST / HTTP/1.0\r\n\r\n",
        (Version::HTTP_10, true) => "HEAD / HTTP/1.0\r\n\r\n",
        _ => return None,
    };
    Some(replay.as_bytes())
}
