//! How responses are counted.

use http::StatusCode;

use crate::metrics::labels;

/// The label of a status code.
pub(super) fn code(status: StatusCode) -> labels::StatusCode {
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
