//! Identifies the caller before any service runs. The response to a refused caller is
//! delayed (see [`slow_down`](super::slow_down)), and no call outlasts its caller's
//! deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tower::Service;

use super::deadline::time_left;
use super::endpoint::TlsEndpoint;
use crate::listener::PeerIdentity;

/// Authentication of callers.
pub(super) trait CallerAuth: Send + Sync + 'static {
    /// Identifies the sender of a request over this connection, and records it in an
    /// extension. Returns an error for an unknown sender.
    fn identify(&self, request: &mut Parts, peer: &PeerIdentity) -> Result<(), Status>;

    /// The endpoint that connections come from.
    fn endpoint(&self) -> &TlsEndpoint;
}

/// A service that only known callers reach.
#[derive(Debug)]
pub(super) struct Guarded<A, S> {
    inner: S,
    auth: Arc<A>,
    /// The time limit for a response, whatever deadline the caller sets.
    call_timeout: Duration,
}

impl<A, S> Guarded<A, S> {
    pub(super) fn new(inner: S, auth: Arc<A>, call_timeout: Duration) -> Self {
        Self {
            inner,
            auth,
            call_timeout,
        }
    }
}

impl<A, S: Clone> Clone for Guarded<A, S> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            Arc::clone(&self.auth),
            self.call_timeout,
        )
    }
}

impl<A, S, B, R> Service<Request<B>> for Guarded<A, S>
where
    A: CallerAuth,
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The message is not kept in memory while a refusal is delayed.
        let (mut head, body) = request.into_parts();
        let Some(peer) = head.extensions.get::<PeerIdentity>().cloned() else {
            let unknown = Status::internal("nothing is known of who calls");
            return Box::pin(async move { Ok(unknown.into_http()) });
        };
        let endpoint = self.auth.endpoint();
        match self.auth.identify(&mut head, &peer) {
            Ok(()) => {
                endpoint.accepted(&peer);
                let asked = time_left(&head.headers).unwrap_or(self.call_timeout);
                let time = asked.min(self.call_timeout);
                let called = self.inner.call(Request::from_parts(head, body));
                Box::pin(async move {
                    let late = |_| Ok(Status::cancelled("Timeout expired").into_http());
                    timeout(time, called).await.unwrap_or_else(late)
                })
            }
            Err(status) => {
                let pause = endpoint.refused(&peer);
                Box::pin(async move {
                    sleep(pause).await;
                    Ok(status.into_http())
                })
            }
        }
    }
}
