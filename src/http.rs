//! The HTTP front: decode, call the broker, encode.
//!
//! The method is not looked at, as with the reference broker: a `GET /client`
//! is a client's poll with an empty body.

mod amp;
mod body;
mod client;
pub mod client_address;
mod error;
mod proxy;
mod settings;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN};
use http::{HeaderValue, Method, StatusCode};

use crate::broker::Broker;

pub use settings::Settings;

/// What the handlers share.
#[derive(Debug)]
struct Front {
    broker: Arc<Broker>,
    settings: Settings,
    has_metrics_log: bool,
}

/// Every endpoint of the broker. `has_metrics_log` tells whether `/metrics`
/// exists.
pub fn router(broker: Arc<Broker>, settings: Settings, has_metrics_log: bool) -> Router {
    let front = Arc::new(Front {
        broker,
        settings,
        has_metrics_log,
    });
    let for_peers = Router::new()
        .route("/client", any(client::poll))
        .route("/proxy", any(proxy::poll))
        .route("/answer", any(proxy::answer))
        .route("/amp/client/", any(amp::poll))
        .route("/amp/client/{*poll}", any(amp::poll))
        .route("/debug", any(status::debug))
        .route("/metrics", any(status::metrics))
        .layer(middleware::from_fn(answer_options))
        .layer(middleware::map_response(allow_any_origin));
    let for_others = Router::new()
        .route("/prometheus", any(status::prometheus))
        .route("/robots.txt", any(status::robots))
        .layer(middleware::from_fn(answer_options));
    for_peers
        .merge(for_others)
        .fallback(error::not_found)
        .with_state(front)
}

/// Proxies in browsers come from every origin, and read errors too.
async fn allow_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Origin, X-Session-ID"),
    );
    response
}

async fn answer_options(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::OK.into_response();
    }
    next.run(request).await
}
