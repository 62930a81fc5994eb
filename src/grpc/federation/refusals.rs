//! Logs the calls of peers that are refused before they come to the service: a
//! message that is too large, say, or none at all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Gate;
use crate::metrics::labels::PeerName;
use crate::proto::code_in_words;

/// Wraps services so that their refusals are logged.
#[derive(Clone, Debug)]
pub(super) struct LogRefusals {
    gate: Arc<Gate>,
}

impl LogRefusals {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for LogRefusals {
    type Service = LoggedService<S>;

    fn layer(&self, inner: S) -> LoggedService<S> {
        LoggedService {
            inner,
            gate: Arc::clone(&self.gate),
        }
    }
}

/// A service whose refusals are logged.
#[derive(Clone, Debug)]
pub(super) struct LoggedService<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S, B, R> Service<Request<B>> for LoggedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerName>().cloned();
        let gate = Arc::clone(&self.gate);
        let replied = self.inner.call(request);
        Box::pin(async move {
            let response = replied.await?;
            // An error that comes before any message is in the head.
            let status = Status::from_header_map(response.headers());
            if let (Some(peer), Some(status)) = (peer, status)
                && status.code() != Code::Ok
            {
                gate.log_refusal(&peer, code_in_words(status.code()), status.message());
            }
            Ok(response)
        })
    }
}
