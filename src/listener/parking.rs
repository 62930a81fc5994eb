//! Waiting for the response to an HTTP/1 request without keeping hyper's connection.
//!
//! hyper keeps two buffers of 8 KB for each connection. To avoid this cost for a parked
//! poll, its connection is taken away from hyper. Once there is a response, hyper gets
//! the connection back, together with a synthetic request that yields the response.
//!
//! hyper also answers peers that have closed their sending side, and so does not notice
//! peers that have left. A peer that closes while its request is parked counts as gone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::{MaybeDone, maybe_done};
use http::header::CONNECTION;
use http::{Method, Request, Version};

/// The response to a connection's current request.
pub(super) struct ParkedResponse<F: Future>(Mutex<ParkingState<F>>);

struct ParkingState<F: Future> {
    replay: Option<&'static [u8]>,
    /// Pinned in place from one request to the next.
    response: Pin<Box<MaybeDone<F>>>,
}

impl<F: Future> ParkedResponse<F> {
    /// A state without a request.
    pub(super) fn new() -> Self {
        Self(Mutex::new(ParkingState {
            replay: None,
            response: Box::pin(MaybeDone::Gone),
        }))
    }

    /// Begins a request; `replay` is a synthetic request for the same response.
    pub(super) fn begin(&self, replay: Option<&'static [u8]>, response: F) {
        let mut state = self.state();
        state.replay = replay;
        state.response.set(maybe_done(response));
    }

    /// The synthetic request for the last request's response, if there can be one.
    pub(super) fn replay(&self) -> Option<&'static [u8]> {
        self.state().replay
    }

    /// Returns once there is a response.
    pub(super) async fn done(&self) {
        poll_fn(|context| self.poll_done(context)).await;
    }

    /// The response, if it is ready and was not taken before.
    pub(super) fn take(&self) -> Option<F::Output> {
        self.state().response.as_mut().take_output()
    }

    /// Waits for the response; only the first caller gets it.
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

/// A synthetic request, without a body, whose response has a body of the same length and
/// the same effect on the connection as that of `request`. It is never CONNECT, whose
/// response would begin a tunnel.
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::Response;
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, join, split};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const REQUEST: &[u8] = b"POST /proxy HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi";
    /// Sent while the first request is parked.
    const NEXT: &[u8] = b"POST /next HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    /// A failure after an upgrade of hyper means that parking no longer works with it:
    /// hyper must release a connection whose request is read, together with any bytes
    /// read beyond it, and must answer another request on that connection in its place.
    #[tokio::test(start_paused = true)]
    async fn hyper_gives_a_connection_up_and_goes_on_with_it() {
        let (mut client, server) = duplex(4096);
        client.write_all(REQUEST).await.unwrap();
        let (answer, answered) = oneshot::channel::<&str>();
        let (answered, calls) = (Mutex::new(Some(answered)), AtomicUsize::new(0));
        let parked = ParkedResponse::new();
        let service = service_fn(|request: Request<Incoming>| {
            // The second request is the replay, which yields the same response.
            if calls.fetch_add(1, Ordering::Relaxed) != 1 {
                let answered = answered.lock().unwrap().take();
                parked.begin(replay_request(&request), async move {
                    let body = request.collect().await.unwrap().to_bytes();
                    let answer = match answered {
                        Some(answered) => answered.await.unwrap(),
                        None => "next",
                    };
                    let text = format!("{answer} to {}", String::from_utf8_lossy(&body));
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
                });
            }
            parked.response()
        });
        let builder = http1::Builder::new();
        let connection = builder.serve_connection(TokioIo::new(server), &service);
        let mut connection = Box::pin(connection);
        let waiting = timeout(Duration::from_secs(1), connection.as_mut()).await;
        assert!(
            waiting.is_err(),
            "it is answered before there is a response"
        );
        let parts = Pin::into_inner(connection).into_parts();
        assert!(parts.read_buf.is_empty(), "{:?}", parts.read_buf);

        client.write_all(NEXT).await.unwrap();
        answer.send("answer").unwrap();
        let (reader, writer) = split(parts.io.into_inner());
        let replayed = join(parked.replay().unwrap().chain(reader), writer);
        let again = builder.serve_connection(TokioIo::new(replayed), &service);
        timeout(Duration::from_secs(1), again)
            .await
            .unwrap()
            .unwrap();
        let mut replies = String::new();
        client.read_to_string(&mut replies).await.unwrap();
        let replies: Vec<&str> = replies.split("HTTP/1.1 200 OK\r\n").collect();
        assert_eq!(replies.len(), 3, "{replies:?}");
        assert!(replies[1].ends_with("\r\n\r\nanswer to hi"), "{replies:?}");
        assert!(replies[2].ends_with("\r\n\r\nnext to "), "{replies:?}");
        assert_eq!(calls.into_inner(), 3);
    }
}
