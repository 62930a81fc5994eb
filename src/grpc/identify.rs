//! Finds out who sends a request before any service is asked. Who is refused waits
//! for the answer, see [`slow_down`](super::slow_down); and no call goes on for longer
//! than its caller waits.

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

/// Knows who may call.
pub(super) trait CallerAuth: Send + Sync + 'static {
    /// Finds out who sent a request over this connection; an extension says so. The
    /// error is for whom nobody knows.
    fn identify(&self, request: &mut Parts, peer: &PeerIdentity) -> Result<(), Status>;

    /// The endpoint of the connections.
    fn endpoint(&self) -> &TlsEndpoint;
}

/// A service that only those ask who are known.
#[derive(Debug)]
pub(super) struct Guarded<A, S> {
    inner: S,
    auth: Arc<A>,
    /// The time that a call may take until there is a response, whatever its caller
    /// says.
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
        // While a refusal waits, the message is not kept.
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
