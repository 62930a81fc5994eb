//! HTTP on one connection.

use std::convert::Infallible;
use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::Arc;

use axum::response::Response;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tower::ServiceExt as _;

use super::accounts::Reservation;
use super::activity::{ConnectionActivity, HEAD_FREE};
use super::buffers::Buffers;
use super::identity::{PeerIdentity, RemoteAddress};
use super::keep_open::{ConnectionHandle, KeepOpen};
use super::observer::DropCause;
use super::overdue::{DueAction, Overdue};
use super::parking::{ParkedResponse, replay_request};
use super::rules::ConnectionRules;
use super::server::{Serve, Server};
use super::stream::{CountedStream, FreshConnection};
use super::streams::{StreamExecutor, StreamWatch};
use super::unwritten::{OnStream, UnwrittenBody, unwritten};
use super::version::HttpVersion;

/// One connection, its peer and its state.
struct Session<'a, S> {
    server: &'a Server<S>,
    address: Option<RemoteAddress>,
    identity: Option<Arc<PeerIdentity>>,
    activity: ConnectionActivity,
    keep_open: Arc<KeepOpen>,
}

impl<S: Serve> Server<S> {
    /// Serves HTTP/1 requests until the peer or the server closes the connection, or the
    /// peer takes too long to send a request.
    pub(super) async fn serve_http1(
        &self,
        begun: FreshConnection,
        rules: &ConnectionRules,
        place: Arc<Reservation>,
    ) {
        let session = Session::new(self, HttpVersion::Http1, &begun, rules, place);
        let parked_response = ParkedResponse::new();
        let mut service = service_fn(|request: Request<Incoming>| {
            let parked = parked_response.take();
            if parked.is_some() {
                // This is our own synthetic request, which ends at once.
                drop(session.activity.begin_request());
            } else {
                parked_response.begin(replay_request(&request), session.respond(request, None));
            }
            async {
                match parked {
                    Some(response) => response,
                    None => parked_response.response().await,
                }
            }
        });
        let mut stream = session.watch(begun);
        let mut overdue = Overdue::new(session.activity.clone(), rules.limits());
        loop {
            let activity = &session.activity;
            let is_parkable = || parked_response.replay().is_some() && !activity.is_write_blocked();
            let connection = rules.http1.serve_connection(TokioIo::new(stream), service);
            // Boxed, to be freed while the request is parked.
            let mut connection = Box::pin(connection);
            let parked = session.serve_until_parked(connection.as_mut(), &mut overdue, is_parkable);
            if !parked.await {
                return;
            }
            let http1::Parts {
                io,
                read_buf,
                service: same,
                ..
            } = Pin::into_inner(connection).into_parts();
            service = same;
            stream = io.into_inner();
            if read_buf.len() > HEAD_FREE {
                self.observer.dropped(DropCause::Memory);
                return;
            }
            stream.unread(&read_buf);
            // Even an empty one keeps the buffer that parking should free.
            drop(read_buf);
            tokio::select! {
                biased;
                () = parked_response.done() => {}
                () = stream.closed() => {
                    if stream.early() > HEAD_FREE {
                        self.observer.dropped(DropCause::Memory);
                    }
                    return;
                }
            }
            stream.unread(parked_response.replay().unwrap_or_default());
        }
    }

    /// Like [`Self::serve_http1`], over HTTP/2.
    pub(super) async fn serve_http2(
        &self,
        begun: FreshConnection,
        rules: &ConnectionRules,
        place: Arc<Reservation>,
    ) {
        let session = Session::new(self, HttpVersion::Http2, &begun, rules, place);
        let executor = StreamExecutor::default();
        let max_streams = rules.max_streams(self.is_exempt(begun.address));
        let http2 = rules.http2(executor.clone(), max_streams, self.keep_alive());
        let service = service_fn(|request| session.respond(request, Some(executor.watch_next())));
        let stream = TokioIo::new(session.watch(begun));
        let connection = pin!(http2.serve_connection(stream, service));
        let mut overdue = Overdue::new(session.activity.clone(), rules.limits());
        session
            .serve_until_parked(connection, &mut overdue, || false)
            .await;
    }
}

impl<'a, S: Serve> Session<'a, S> {
    /// A session with a new peer.
    fn new(
        server: &'a Server<S>,
        version: HttpVersion,
        begun: &FreshConnection,
        rules: &ConnectionRules,
        place: Arc<Reservation>,
    ) -> Self {
        let buffers = Buffers::of(server.is_exempt(begun.address)).most(server.tls.is_some());
        let write_timeout = rules.settings.write_timeout;
        let activity = ConnectionActivity::new(version, place, write_timeout, buffers);
        if server.is_patient() {
            activity.idle_once_begun();
        }
        Self {
            server,
            address: begun.address,
            identity: begun.identity.clone(),
            activity,
            keep_open: KeepOpen::new(),
        }
    }

    fn watch(&self, begun: FreshConnection) -> CountedStream {
        let mut stream = CountedStream::new(begun.stream, self.activity.clone());
        stream.unread(&begun.early);
        stream
    }

    /// Serves requests until the connection ends, or until there is a slow request that
    /// can be parked. Returns true in the second case.
    async fn serve_until_parked(
        &self,
        mut connection: Pin<&mut impl GracefulConnection<Error = hyper::Error>>,
        overdue: &mut Overdue,
        is_parkable: impl Fn() -> bool,
    ) -> bool {
        let mut farewell = pin!(self.server.closing.farewell(&self.keep_open));
        let mut is_closing = false;
        loop {
            tokio::select! {
                // Biased: polling the connection can change what is due.
                biased;
                served = connection.as_mut() => {
                    self.ended(served);
                    return false;
                }
                due = overdue.next() => match due {
                    DueAction::Drop(reason) => {
                        self.server.observer.dropped(reason);
                        return false;
                    }
                    DueAction::Park if is_parkable() => return true,
                    // Some data is still to be written.
                    DueAction::Park => overdue.park_later(),
                    DueAction::Stall if overdue.end_stalled() => {}
                    DueAction::Stall => {
                        self.server.observer.dropped(DropCause::WriteTimeout);
                        return false;
                    }
                },
                () = self.activity.place().revoked() => {
                    if self.activity.is_idle() {
                        self.server.observer.dropped(DropCause::Revoked);
                        return false;
                    }
                    // A request has arrived in the meantime.
                    self.activity.place().stay();
                }
                () = farewell.as_mut(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn ended(&self, served: hyper::Result<()>) {
        let Err(error) = served else {
            return;
        };
        if is_http2_abuse(&error) || self.activity.is_flooded() {
            self.server.observer.dropped(DropCause::Http2Abuse);
        } else if self.activity.lacks_memory() {
            self.server.observer.dropped(DropCause::Memory);
        }
        tracing::debug!(%error, "a connection broke off");
    }

    /// The response to a request; over HTTP/2, on its own stream.
    fn respond(
        &self,
        mut request: Request<Incoming>,
        stream: Option<Arc<StreamWatch>>,
    ) -> impl Future<Output = Result<Response<UnwrittenBody>, Infallible>> + Send + use<S> {
        let is_http2 = request.version() == http::Version::HTTP_2;
        let under_way = self.activity.begin_request();
        self.keep_open.begin_request();
        if let Some(address) = self.address {
            request.extensions_mut().insert(address);
        }
        if let Some(identity) = &self.identity {
            request
                .extensions_mut()
                .insert(PeerIdentity::clone(identity));
        }
        request.extensions_mut().insert(ConnectionHandle {
            keep_open: Arc::clone(&self.keep_open),
            activity: self.activity.clone(),
        });
        let response = self.server.service.clone().oneshot(request);
        let (closing, keep_open) = (self.server.closing.clone(), Arc::clone(&self.keep_open));
        let activity = self.activity.clone();
        async move {
            let mut response = response.await?;
            if !is_http2 && closing.is_last_response(&keep_open) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            let stream = stream.map(|stream| OnStream::new(&activity, &stream, under_way));
            Ok(unwritten(response, &activity, stream))
        }
    }
}

/// Returns true if we ended a connection for `ENHANCE_YOUR_CALM` in h2's terms (RFC 9113,
/// section 7).
fn is_http2_abuse(error: &(dyn Error + 'static)) -> bool {
    let is_abuse = |error: &h2::Error| {
        !error.is_remote() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    };
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref().is_some_and(is_abuse) {
            return true;
        }
        next = error.source();
    }
    false
}
