//! The HTTP front: decode, call the broker, encode.
//!
//! The method is not looked at, as with the reference broker: a `GET /client`
//! is a client's poll with an empty body.

mod accept;
mod amp;
mod body;
mod caller;
mod client;
pub mod client_address;
mod compressible;
mod error;
mod metrics_log;
pub mod operator;
mod pages;
mod paths;
mod proxy;
mod replies;
mod settings;
mod status;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use ipnet::IpNet;
use tower::Service;

use crate::broker::Broker;
use crate::listener::accounts::Accounts;
use crate::metrics::ProcessFigures;
use crate::metrics::labels::Endpoint;

pub use metrics_log::MetricsLog;
pub use settings::{ForwardedBy, InvalidForwardedBy, Settings};

use metrics_log::LogPage;
use paths::normalized;
use status::{Audience, FigurePages};

/// Where the front gets what it does not know itself; reading files is not its
/// business.
#[derive(Clone)]
pub struct Sources {
    /// Reads the metrics log; `None` where there is none.
    pub metrics_log: Option<ReadMetricsLog>,
    /// Whose memory requests take.
    pub accounts: Arc<Accounts>,
    /// Asks the operating system for the figures of this process.
    pub process_figures: fn() -> Option<ProcessFigures>,
}

/// Reads the part of the metrics log that is published. It may block.
pub type ReadMetricsLog = Arc<dyn Fn() -> io::Result<MetricsLog> + Send + Sync>;

/// What the handlers share.
struct Front {
    broker: Arc<Broker>,
    settings: Settings,
    sources: Sources,
    figures: FigurePages,
    metrics_log: LogPage,
    /// Who is an operator on the public port, too.
    operator_networks: ArcSwap<Vec<IpNet>>,
}

/// The endpoints of the broker, as a service: those of the public port, or those of
/// operators. There are few paths, none of which has parts to take out: one `match`
/// for each of the two is all the router there is.
#[derive(Clone)]
pub struct Endpoints {
    front: Arc<Front>,
    audience: Audience,
}

impl Endpoints {
    /// The public endpoints of this broker.
    pub fn new(broker: Arc<Broker>, settings: Settings, sources: Sources) -> Self {
        let front = Front {
            broker,
            settings,
            sources,
            figures: FigurePages::new(),
            metrics_log: metrics_log::page(),
            operator_networks: ArcSwap::default(),
        };
        Self {
            front: Arc::new(front),
            audience: Audience::Public,
        }
    }

    /// The endpoints of the same broker for operators alone.
    #[must_use]
    pub fn for_operators(&self) -> Self {
        Self {
            front: Arc::clone(&self.front),
            audience: Audience::Operator,
        }
    }

    /// Shows everything on the public port to who comes from these networks, from now
    /// on, and to nobody else.
    pub fn set_operator_networks(&self, networks: Vec<IpNet>) {
        self.front.operator_networks.store(Arc::new(networks));
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        let path = normalized(path);
        match self.audience {
            Audience::Public => match public_endpoint(&path) {
                Endpoint::Amp if !self.front.settings.amp => Endpoint::Other,
                endpoint => endpoint,
            },
            Audience::Operator => operator_endpoint(&path),
        }
    }
}

/// The response to a request, once it is there.
pub type Reply = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<B> Service<Request<B>> for Endpoints
where
    B: HttpBody<Data = Bytes, Error: Error + Send + 'static> + Unpin + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Reply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let endpoint = self.endpoint(request.uri().path());
        let call = Call {
            endpoints: self.clone(),
            endpoint,
            is_head: request.method() == Method::HEAD,
        };
        if request.method() == Method::OPTIONS
            && (endpoint != Endpoint::Other || is_of_the_server(request.uri()))
        {
            return call.reply(ready(StatusCode::OK.into_response()));
        }
        let (front, audience) = (Arc::clone(&self.front), self.audience);
        let (head, body) = request.into_parts();
        if is_head_too_large(endpoint, &head) {
            return call.reply(ready(error::head_too_large()));
        }
        match endpoint {
            Endpoint::Proxy => call.reply(proxy::poll(front, head, body)),
            Endpoint::Answer => call.reply(proxy::answer(front, head, body)),
            Endpoint::Client => call.reply(client::poll(front, head, body)),
            Endpoint::Amp => call.reply(amp::poll(front, head, body)),
            Endpoint::Debug => call.reply(status::debug(front, audience)),
            Endpoint::Metrics => call.reply(metrics_log::serve(front, head)),
            Endpoint::Prometheus => call.reply(status::prometheus(front, head, audience)),
            Endpoint::Livez => call.reply(ready(status::livez())),
            Endpoint::Readyz => call.reply(ready(status::readyz(&front))),
            Endpoint::Robots => call.reply(ready(status::robots())),
            Endpoint::Other => call.reply(ready(error::not_found())),
        }
    }
}

/// A request that is being answered.
struct Call {
    endpoints: Endpoints,
    endpoint: Endpoint,
    is_head: bool,
}

impl Call {
    /// Makes a handler's response that of the front, and counts it. Each handler
    /// has a box of its own size, for a poll may be parked in it for long.
    fn reply(self, response: impl Future<Output = Response> + Send + 'static) -> Reply {
        Box::pin(response.map(|response| Ok(self.finish(response))))
    }

    fn finish(self, mut response: Response) -> Response {
        if self.endpoints.audience == Audience::Public && is_for_peers(self.endpoint) {
            allow_any_origin(&mut response);
        }
        if let Some(rule) = cache_rule(self.endpoint) {
            response.headers_mut().insert(CACHE_CONTROL, rule);
        }
        if self.is_head {
            response = without_body(response);
        }
        let metrics = self.endpoints.front.broker.metrics();
        metrics.replied(self.endpoint, replies::code(response.status()));
        response
    }
}

/// Returns true if a request is about the server as a whole (RFC 9110, section 7.1).
fn is_of_the_server(target: &Uri) -> bool {
    target.path() == "*"
}

fn is_head_too_large(endpoint: Endpoint, head: &Parts) -> bool {
    match endpoint {
        Endpoint::Amp => body::are_fields_too_large(head),
        _ => body::is_head_too_large(head),
    }
}

/// What everybody may ask for.
fn public_endpoint(path: &str) -> Endpoint {
    match path {
        "/client" => Endpoint::Client,
        "/proxy" => Endpoint::Proxy,
        "/answer" => Endpoint::Answer,
        "/debug" => Endpoint::Debug,
        "/metrics" => Endpoint::Metrics,
        "/prometheus" => Endpoint::Prometheus,
        "/robots.txt" => Endpoint::Robots,
        _ if path.starts_with(amp::PREFIX) => Endpoint::Amp,
        _ => Endpoint::Other,
    }
}

/// What is on the operator's own addresses.
fn operator_endpoint(path: &str) -> Endpoint {
    match path {
        "/debug" => Endpoint::Debug,
        "/prometheus" => Endpoint::Prometheus,
        "/livez" => Endpoint::Livez,
        "/readyz" => Endpoint::Readyz,
        _ => Endpoint::Other,
    }
}

/// Whether proxies in browsers ask there, or clients.
fn is_for_peers(endpoint: Endpoint) -> bool {
    match endpoint {
        Endpoint::Client
        | Endpoint::Proxy
        | Endpoint::Answer
        | Endpoint::Amp
        | Endpoint::Debug
        | Endpoint::Metrics => true,
        Endpoint::Prometheus
        | Endpoint::Livez
        | Endpoint::Readyz
        | Endpoint::Robots
        | Endpoint::Other => false,
    }
}

/// For how long others may store what an endpoint says, errors included: without a
/// word a cache may keep a 404. What figures there are is of one moment, and whoever
/// has the metrics log asks whether it is still that.
fn cache_rule(endpoint: Endpoint) -> Option<HeaderValue> {
    match endpoint {
        Endpoint::Debug | Endpoint::Prometheus | Endpoint::Livez | Endpoint::Readyz => {
            Some(HeaderValue::from_static("no-store"))
        }
        Endpoint::Metrics => Some(HeaderValue::from_static("no-cache")),
        Endpoint::Client
        | Endpoint::Proxy
        | Endpoint::Answer
        | Endpoint::Amp
        | Endpoint::Robots
        | Endpoint::Other => None,
    }
}

/// Proxies in browsers come from every origin, and read errors too.
fn allow_any_origin(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Origin, X-Session-ID"),
    );
}

/// What HEAD gets (RFC 9110, section 9.3.2): the length, and nothing of it.
fn without_body(response: Response) -> Response {
    let length = response.body().size_hint().exact();
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}
