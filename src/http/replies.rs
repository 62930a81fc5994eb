//! The layer around every endpoint: responses that need no handler, common headers, and
//! counting.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready as or_pending};

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::Either;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH,
};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use pin_project_lite::pin_project;
use prometheus_client::metrics::counter::Counter;
use tower::{Layer, Service};

use crate::metrics::labels::{self, Endpoint};

use super::front::HttpFront;
use super::status::Audience;
use super::{body, error};

/// Turns a handler into an endpoint of a router.
#[derive(Clone)]
pub(super) struct ReplyLayer(Arc<ReplyRules>);

struct ReplyRules {
    front: Arc<HttpFront>,
    endpoint: Endpoint,
    audience: Audience,
    /// The counter for status 200, the most frequent one.
    replies_ok: Counter,
}

impl ReplyLayer {
    pub(super) fn new(front: &Arc<HttpFront>, endpoint: Endpoint, audience: Audience) -> Self {
        Self(Arc::new(ReplyRules {
            front: Arc::clone(front),
            endpoint,
            audience,
            replies_ok: front
                .broker
                .metrics()
                .replies(endpoint, labels::StatusCode::Ok),
        }))
    }
}

impl<H> Layer<H> for ReplyLayer {
    type Service = Replies<H>;

    fn layer(&self, handler: H) -> Replies<H> {
        Replies {
            handler,
            rules: Arc::clone(&self.0),
        }
    }
}

/// A handler wrapped in [`ReplyLayer`].
#[derive(Clone)]
pub(super) struct Replies<H> {
    handler: H,
    rules: Arc<ReplyRules>,
}

impl<H> Service<Request<Body>> for Replies<H>
where
    H: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Reply<H::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.handler.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_head = request.method() == Method::HEAD;
        let response = match self.rules.answer(&request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(self.handler.call(request)),
        };
        Reply {
            response,
            rules: Arc::clone(&self.rules),
            is_head,
        }
    }
}

pin_project! {
    /// The future response to a request.
    pub(super) struct Reply<F> {
        #[pin]
        response: Either<Ready<Result<Response, Infallible>>, F>,
        rules: Arc<ReplyRules>,
        is_head: bool,
    }
}

impl<F> Future for Reply<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = or_pending!(this.response.poll(context));
        Poll::Ready(Ok(this.rules.finish(response, *this.is_head)))
    }
}

impl ReplyRules {
    /// The response to a request that the handler does not see.
    fn answer(&self, request: &Request<Body>) -> Option<Response> {
        let is_there = self.endpoint != Endpoint::Other || is_of_the_server(request.uri());
        if request.method() == Method::OPTIONS && is_there {
            return Some(StatusCode::OK.into_response());
        }
        let is_too_large = match self.endpoint {
            Endpoint::Amp => body::are_fields_too_large(request.headers()),
            _ => body::is_head_too_large(request.uri(), request.headers()),
        };
        is_too_large.then(error::head_too_large)
    }

    /// Adds the common headers to a handler's response and counts it.
    fn finish(&self, mut response: Response, is_head: bool) -> Response {
        if self.audience == Audience::Public && is_for_peers(self.endpoint) {
            allow_any_origin(&mut response);
        }
        if let Some(rule) = cache_rule(self.endpoint) {
            response.headers_mut().insert(CACHE_CONTROL, rule);
        }
        if is_head {
            response = without_body(response);
        }
        match code(response.status()) {
            labels::StatusCode::Ok => self.replies_ok.inc(),
            code => self
                .front
                .broker
                .metrics()
                .replies(self.endpoint, code)
                .inc(),
        };
        response
    }
}

/// Returns true if a request concerns the server as a whole (RFC 9110, section 7.1).
fn is_of_the_server(target: &Uri) -> bool {
    target.path() == "*"
}

/// Returns true for the endpoints of clients and browser proxies.
fn is_for_peers(endpoint: Endpoint) -> bool {
    use Endpoint::{Amp, Answer, Client, Debug, Metrics, Proxy};
    matches!(endpoint, Client | Proxy | Answer | Amp | Debug | Metrics)
}

/// The cache rule for an endpoint's responses, including errors: without one, a cache may
/// keep a 404. Figures change all the time, and readers of the metrics log revalidate it.
fn cache_rule(endpoint: Endpoint) -> Option<HeaderValue> {
    use Endpoint::{Amp, Answer, Client, Debug, Livez, Metrics, Other};
    use Endpoint::{Prometheus, Proxy, Readyz, Robots, Status};
    let rule = match endpoint {
        Debug | Prometheus | Livez | Readyz | Status => "no-store",
        Metrics => "no-cache",
        Client | Proxy | Answer | Amp | Robots | Other => return None,
    };
    Some(HeaderValue::from_static(rule))
}

/// Browser proxies come from any origin, and read errors, too.
fn allow_any_origin(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Origin, X-Session-ID"),
    );
}

/// The response to HEAD (RFC 9110, section 9.3.2): the length of the body without the
/// body.
fn without_body(response: Response) -> Response {
    let length = response.body().size_hint().exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

/// The label under which a status code is counted.
fn code(status: StatusCode) -> labels::StatusCode {
    match status {
        StatusCode::OK => labels::StatusCode::Ok,
        StatusCode::NOT_MODIFIED => labels::StatusCode::NotModified,
        StatusCode::BAD_REQUEST => labels::StatusCode::BadRequest,
        StatusCode::NOT_FOUND => labels::StatusCode::NotFound,
        StatusCode::TOO_MANY_REQUESTS => labels::StatusCode::TooManyRequests,
        StatusCode::SERVICE_UNAVAILABLE => labels::StatusCode::ServiceUnavailable,
        StatusCode::GATEWAY_TIMEOUT => labels::StatusCode::GatewayTimeout,
        _ => labels::StatusCode::Other,
    }
}
