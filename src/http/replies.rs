//! Counts responses.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

use crate::metrics::labels::{self, Endpoint};

use super::Front;

/// Counts the response by its endpoint and status code.
pub(super) async fn count(
    State(front): State<Arc<Front>>,
    request: Request,
    next: Next,
) -> Response {
    let endpoint = endpoint(request.uri().path());
    let response = next.run(request).await;
    let metrics = front.broker.metrics();
    metrics.replied(endpoint, code(response.status()));
    response
}

fn endpoint(path: &str) -> Endpoint {
    match path {
        "/client" => Endpoint::Client,
        "/proxy" => Endpoint::Proxy,
        "/answer" => Endpoint::Answer,
        "/debug" => Endpoint::Debug,
        "/metrics" => Endpoint::Metrics,
        "/prometheus" => Endpoint::Prometheus,
        "/robots.txt" => Endpoint::Robots,
        _ if path.starts_with("/amp/client/") => Endpoint::Amp,
        _ => Endpoint::Other,
    }
}

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
