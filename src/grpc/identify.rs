//! Finds out who sends a request before any service is asked. Who is refused waits
//! for the answer, see [`slow_down`](super::slow_down).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tokio::time::sleep;
use tonic::Status;
use tower::{Layer, Service};

use super::accept::Entrance;
use super::connection::ConnectInfo;

/// Knows who may call.
pub(super) trait Gatekeeper: Send + Sync + 'static {
    /// Finds out who sent a request over this connection; an extension says so. The
    /// error is for whom nobody knows.
    fn identify(&self, request: &mut Parts, connection: &ConnectInfo) -> Result<(), Status>;

    /// Where the connections come in.
    fn entrance(&self) -> &Entrance;
}

/// Wraps services so that they are asked only by who is known.
#[derive(Debug)]
pub(super) struct Identify<G>(Arc<G>);

impl<G> Identify<G> {
    pub(super) fn by(gatekeeper: Arc<G>) -> Self {
        Self(gatekeeper)
    }
}

impl<G> Clone for Identify<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G, S> Layer<S> for Identify<G> {
    type Service = Guarded<G, S>;

    fn layer(&self, inner: S) -> Guarded<G, S> {
        Guarded {
            inner,
            gatekeeper: Arc::clone(&self.0),
        }
    }
}

/// A service that only those ask who are known.
#[derive(Debug)]
pub(super) struct Guarded<G, S> {
    inner: S,
    gatekeeper: Arc<G>,
}

impl<G, S: Clone> Clone for Guarded<G, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gatekeeper: Arc::clone(&self.gatekeeper),
        }
    }
}

impl<G, S, B, R> Service<Request<B>> for Guarded<G, S>
where
    G: Gatekeeper,
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
        let Some(connection) = head.extensions.get::<ConnectInfo>().cloned() else {
            let unknown = Status::internal("nothing is known of who calls");
            return Box::pin(async move { Ok(unknown.into_http()) });
        };
        let entrance = self.gatekeeper.entrance();
        match self.gatekeeper.identify(&mut head, &connection) {
            Ok(()) => {
                entrance.accepted(&connection);
                Box::pin(self.inner.call(Request::from_parts(head, body)))
            }
            Err(status) => {
                let pause = entrance.refused(&connection);
                Box::pin(async move {
                    sleep(pause).await;
                    Ok(status.into_http())
                })
            }
        }
    }
}
