//! Logs calls of peers that are refused before they reach the service, such as one with
//! too large a message or none at all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::{Code, Status};
use tower::Service;

use super::auth::PeerAuth;
use crate::metrics::labels::PeerName;
use crate::proto::code_in_words;

/// A service that logs refusals.
#[derive(Clone, Debug)]
pub(super) struct LogRefusals<S> {
    inner: S,
    auth: Arc<PeerAuth>,
}

impl<S> LogRefusals<S> {
    pub(super) fn new(inner: S, auth: Arc<PeerAuth>) -> Self {
        Self { inner, auth }
    }
}

impl<S, B, R> Service<Request<B>> for LogRefusals<S>
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
        let auth = Arc::clone(&self.auth);
        let replied = self.inner.call(request);
        Box::pin(async move {
            let response = replied.await?;
            // An error before any message is in the head.
            let status = Status::from_header_map(response.headers());
            if let (Some(peer), Some(status)) = (peer, status)
                && status.code() != Code::Ok
            {
                auth.log_refusal(&peer, code_in_words(status.code()), status.message());
            }
            Ok(response)
        })
    }
}
