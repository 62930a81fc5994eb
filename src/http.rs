//! The HTTP front: decode, call the broker, encode.
//!
//! The method is not looked at, as with the reference broker: a `GET /client`
//! is a client's poll with an empty body.

mod amp;
mod body;
mod caller;
mod client;
pub mod client_address;
mod error;
mod metrics_log;
mod proxy;
mod refusals;
mod replies;
mod settings;
mod status;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN};
use http::{HeaderValue, Method, StatusCode};

use crate::broker::Broker;
use crate::metrics::ProcessFigures;

pub use settings::Settings;

use body::Room;

/// Where the front gets what it does not know itself; reading files is not its
/// business.
#[derive(Clone)]
pub struct Sources {
    /// Reads the metrics log; `None` where there is none.
    pub metrics_log: Option<ReadMetricsLog>,
    /// Asks the operating system for the figures of this process.
    pub process_figures: fn() -> Option<ProcessFigures>,
}

/// Reads the part of the metrics log that is published. It may block.
pub type ReadMetricsLog = Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

/// What the handlers share.
struct Front {
    broker: Arc<Broker>,
    settings: Settings,
    sources: Sources,
    room: Room,
}

/// Every endpoint of the broker.
pub fn router(broker: Arc<Broker>, settings: Settings, sources: Sources) -> Router {
    let front = Arc::new(Front {
        broker,
        room: Room::new(&settings),
        settings,
        sources,
    });
    let for_peers = Router::new()
        .route("/client", any(client::poll))
        .route("/proxy", any(proxy::poll))
        .route("/answer", any(proxy::answer))
        .route("/amp/client/", any(amp::poll))
        .route("/amp/client/{*poll}", any(amp::poll))
        .route("/debug", any(status::debug))
        .route("/metrics", any(metrics_log::serve))
        .layer(middleware::from_fn(answer_options))
        .layer(middleware::map_response(allow_any_origin));
    let for_others = Router::new()
        .route("/prometheus", any(status::prometheus))
        .route("/robots.txt", any(status::robots))
        .layer(middleware::from_fn(answer_options));
    for_peers
        .merge(for_others)
        .fallback(error::not_found)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&front),
            replies::count,
        ))
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
