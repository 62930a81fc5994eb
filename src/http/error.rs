//! Error responses: the table of status codes.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::broker::NoAnswer;
use crate::listener::accounts::NoRoom;
use crate::metrics::labels::Refusal;

/// A reason why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableBody {
    /// Too large, or not in the form that the head announces.
    #[error("the body cannot be read")]
    Broken,
    /// Cut off by its sender.
    #[error("the body was cut off")]
    CutOff,
    /// Not received in time.
    #[error("the body did not come within http.body_read_timeout")]
    TooSlow,
    /// No memory left for requests.
    #[error("all requests together exceed http.max_bytes_in_flight")]
    NoRoom,
}

impl UnreadableBody {
    /// The label under which it is counted.
    pub(super) fn reason(self) -> Refusal {
        match self {
            Self::Broken => Refusal::BadRequest,
            Self::CutOff => Refusal::CutOff,
            Self::TooSlow => Refusal::TooSlow,
            Self::NoRoom => Refusal::Overloaded,
        }
    }
}

impl From<NoRoom> for UnreadableBody {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

/// The response to a request that cannot be read or parsed: 400 with an empty body.
pub(super) fn bad_request() -> Response {
    StatusCode::BAD_REQUEST.into_response()
}

/// The response to a request whose body was not read: 503 if the broker is to blame.
/// Since the rest of the body is missing, the connection cannot be reused, and HTTP/1.1
/// says so.
pub(super) fn unreadable(body: UnreadableBody) -> Response {
    match body {
        UnreadableBody::Broken | UnreadableBody::CutOff | UnreadableBody::TooSlow => {
            (StatusCode::BAD_REQUEST, [(CONNECTION, "close")]).into_response()
        }
        UnreadableBody::NoRoom => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The response to a request with too large a head: 431 (RFC 6585, section 5).
pub(super) fn head_too_large() -> Response {
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
}

/// The response to a sender that is over its limit: 429 (RFC 6585). The reference proxy
/// and the legacy client treat it like any unexpected status: they try again later. 400
/// would blame the message.
pub(super) fn over_limit() -> Response {
    StatusCode::TOO_MANY_REQUESTS.into_response()
}

/// The response for an unknown path or missing content: 404 with the reference broker's
/// text.
pub(super) fn not_found() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::NOT_FOUND, headers, "404 page not found\n").into_response()
}

/// The response to a client that used the legacy form, which carries no error text.
pub(super) fn legacy(no_answer: NoAnswer) -> Response {
    let status = match no_answer {
        NoAnswer::UnknownBridge => StatusCode::BAD_REQUEST,
        NoAnswer::BridgeDraining | NoAnswer::NoProxies => StatusCode::SERVICE_UNAVAILABLE,
        NoAnswer::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        NoAnswer::OverLimit | NoAnswer::PoolOverLimit => return over_limit(),
    };
    status.into_response()
}
