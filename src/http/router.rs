//! The routes of the public endpoints and of the operator endpoints.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::Request;
use ipnet::IpNet;
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

use crate::broker::Broker;
use crate::metrics::labels::Endpoint;

use super::front::{HttpFront, Sources};
use super::private_pools::{self, PrivateRoutes};
use super::replies::ReplyLayer;
use super::settings::Settings;
use super::status::Audience;
use super::status_page::{self, StatusPage};
use super::{amp, client, error, paths, proxy, status};

/// The public endpoints of a broker.
pub fn router(broker: Arc<Broker>, settings: Settings, sources: Sources) -> Endpoints {
    let front = Arc::new(HttpFront::new(broker, settings, sources));
    Endpoints {
        router: normalizing(public_routes(&front)),
        front,
    }
}

/// The endpoints of a broker, as a service.
#[derive(Clone)]
pub struct Endpoints {
    router: Router,
    front: Arc<HttpFront>,
}

impl Endpoints {
    /// The operator endpoints of the same broker.
    #[must_use]
    pub fn for_operators(&self) -> Self {
        Self {
            router: normalizing(operator_routes(&self.front)),
            front: Arc::clone(&self.front),
        }
    }

    /// The endpoints of the status page for operators, on an address of its own.
    #[must_use]
    pub fn for_status(&self, settings: &status_page::Settings) -> Self {
        Self {
            router: normalizing(status_routes(&self.front, settings)),
            front: Arc::clone(&self.front),
        }
    }

    /// The same endpoints with the reduced status page for everyone, if that is wanted.
    #[must_use]
    pub fn showing_status(self, settings: &status_page::Settings) -> Self {
        if !settings.public {
            return self;
        }
        let routes = Routes {
            front: &self.front,
            audience: Audience::Public,
        };
        let public = with_status_page(public_routes(&self.front), &routes, settings, &["/status"]);
        Self {
            router: normalizing(public),
            front: self.front,
        }
    }

    /// From now on, shows all metrics on the public port to these networks only.
    pub fn set_operator_networks(&self, networks: Vec<IpNet>) {
        self.front.set_operator_networks(networks);
    }
}

impl<B> Service<Request<B>> for Endpoints
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.call(request)
    }
}

/// The public routes.
fn public_routes(front: &Arc<HttpFront>) -> Router {
    let routes = Routes {
        front,
        audience: Audience::Public,
    };
    let public = peer_routes(&routes)
        .route_service("/debug", routes.at(Endpoint::Debug, public_debug))
        .route_service("/metrics", routes.at(Endpoint::Metrics, metrics_log))
        .route_service("/prometheus", routes.at(Endpoint::Prometheus, prometheus))
        .route_service("/robots.txt", routes.at(Endpoint::Robots, robots))
        .route_service("/p/{token}/{*below}", private(&routes))
        .fallback_service(routes.at(Endpoint::Other, not_found));
    let incomplete = ["/p/client", "/p/proxy", "/p/answer"].into_iter();
    incomplete.fold(public, |public, path| {
        public.route_service(path, routes.at(Endpoint::Other, incomplete_url))
    })
}

/// The endpoints of clients and proxies.
fn peer_routes(routes: &Routes<'_>) -> Router {
    let peers = Router::new()
        .route_service("/client", routes.at(Endpoint::Client, client::poll))
        .route_service("/proxy", routes.at(Endpoint::Proxy, proxy::poll))
        .route_service("/answer", routes.at(Endpoint::Answer, proxy::answer));
    if !routes.front.settings.amp {
        return peers;
    }
    // The wildcard does not match an empty path.
    peers
        .route_service("/amp/client/", routes.at(Endpoint::Amp, amp::poll))
        .route_service("/amp/client/{*poll}", routes.at(Endpoint::Amp, amp::poll))
}

/// The routes of a private pool.
fn private_routes(front: &Arc<HttpFront>) -> Router {
    let routes = Routes {
        front,
        audience: Audience::Public,
    };
    peer_routes(&routes).fallback_service(routes.at(Endpoint::Other, not_found))
}

/// Passes requests on to private pools. A token that nobody has leads to the same response, on
/// the same way, as any unknown path.
fn private(
    routes: &Routes<'_>,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static
+ use<> {
    let pools = Arc::new(PrivateRoutes::new(routes.front, private_routes));
    let not_found = routes.at(Endpoint::Other, not_found);
    service_fn(
        move |mut request: Request<Body>| match pools.find(request.uri()) {
            Some((mut pool, below)) => {
                *request.uri_mut() = below;
                Either::Left(pool.call(request))
            }
            None => Either::Right(not_found.clone().oneshot(request)),
        },
    )
}

/// The routes on the operator's addresses.
fn operator_routes(front: &Arc<HttpFront>) -> Router {
    let routes = Routes {
        front,
        audience: Audience::Operator,
    };
    Router::new()
        .route_service("/debug", routes.at(Endpoint::Debug, operator_debug))
        .route_service("/prometheus", routes.at(Endpoint::Prometheus, all_metrics))
        .route_service("/livez", routes.at(Endpoint::Livez, livez))
        .route_service("/readyz", routes.at(Endpoint::Readyz, readyz))
        .fallback_service(routes.at(Endpoint::Other, not_found))
}

/// The routes on the addresses of the status page.
fn status_routes(front: &Arc<HttpFront>, settings: &status_page::Settings) -> Router {
    let routes = Routes {
        front,
        audience: Audience::Operator,
    };
    let rest = Router::new()
        .route_service("/livez", routes.at(Endpoint::Livez, livez))
        .route_service("/readyz", routes.at(Endpoint::Readyz, readyz))
        .fallback_service(routes.at(Endpoint::Other, not_found));
    with_status_page(rest, &routes, settings, &["/", "/status"])
}

/// Adds the status page to routes, at these paths. Page and data show the same moment.
fn with_status_page(
    rest: Router,
    routes: &Routes<'_>,
    settings: &status_page::Settings,
    paths: &[&str],
) -> Router {
    let page = Arc::new(StatusPage::new(routes.audience, settings));
    let (data, live) = (Arc::clone(&page), Arc::clone(&page));
    let html = move |front: Arc<HttpFront>, _: Request<Body>| {
        let page = Arc::clone(&page);
        async move { page.html(&front).await }
    };
    let json = move |front: Arc<HttpFront>, _: Request<Body>| {
        let data = Arc::clone(&data);
        async move { data.json(&front).await }
    };
    let events = move |front: Arc<HttpFront>, request: Request<Body>| {
        let (head, _) = request.into_parts();
        ready(Arc::clone(&live).events(front, &head))
    };
    let rest = paths.iter().fold(rest, |rest, path| {
        rest.route_service(path, routes.at(Endpoint::Status, html.clone()))
    });
    rest.route_service("/status.json", routes.at(Endpoint::Status, json))
        .route_service("/status.css", routes.at(Endpoint::Status, style))
        .route_service("/status.js", routes.at(Endpoint::Status, script))
        .route_service("/status/events", routes.at(Endpoint::Status, events))
        .route_service("/status/me", routes.at(Endpoint::Status, me))
        .route_service("/status/me.json", routes.at(Endpoint::Status, me_json))
}

/// The routes, with a second attempt for unmatched paths after removing needless escapes.
fn normalizing(routes: Router) -> Router {
    let second_try = routes.clone().map_request(|mut request: Request<Body>| {
        paths::normalize(request.uri_mut());
        request
    });
    routes.fallback_service(second_try)
}

struct Routes<'a> {
    front: &'a Arc<HttpFront>,
    audience: Audience,
}

impl Routes<'_> {
    /// The service of an endpoint. Axum boxes the handler's future; the box lives as long
    /// as a poll is parked.
    fn at<H, R>(
        &self,
        endpoint: Endpoint,
        handle: H,
    ) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
    + use<H, R>
    where
        H: Fn(Arc<HttpFront>, Request<Body>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let front = Arc::clone(self.front);
        let handler = service_fn(move |request| handle(Arc::clone(&front), request).map(Ok));
        ReplyLayer::new(self.front, endpoint, self.audience).layer(handler)
    }
}

async fn public_debug(front: Arc<HttpFront>, _: Request<Body>) -> Response {
    front.figures.debug(Audience::Public).await
}

async fn operator_debug(front: Arc<HttpFront>, _: Request<Body>) -> Response {
    front.figures.debug(Audience::Operator).await
}

async fn prometheus(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    let (head, _) = request.into_parts();
    let audience = front.audience(&head);
    front.figures.prometheus(audience, &head.headers).await
}

async fn all_metrics(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    let (audience, headers) = (Audience::Operator, request.headers());
    front.figures.prometheus(audience, headers).await
}

async fn metrics_log(front: Arc<HttpFront>, request: Request<Body>) -> Response {
    front.metrics_log.serve(request.headers()).await
}

fn livez(_: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(status::livez())
}

#[expect(clippy::needless_pass_by_value, reason = "as all handlers")]
fn readyz(front: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(status::readyz(&front.broker))
}

fn style(_: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(status_page::style())
}

fn script(_: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(status_page::script())
}

#[expect(clippy::needless_pass_by_value, reason = "as all handlers")]
fn me(front: Arc<HttpFront>, request: Request<Body>) -> Ready<Response> {
    ready(status_page::me(&front, &request.into_parts().0))
}

#[expect(clippy::needless_pass_by_value, reason = "as all handlers")]
fn me_json(front: Arc<HttpFront>, request: Request<Body>) -> Ready<Response> {
    ready(status_page::me_json(&front, &request.into_parts().0))
}

fn robots(_: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(status::robots())
}

#[expect(clippy::needless_pass_by_value, reason = "as all handlers")]
fn incomplete_url(front: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(private_pools::incomplete(&front))
}

fn not_found(_: Arc<HttpFront>, _: Request<Body>) -> Ready<Response> {
    ready(error::not_found())
}
