//! Responses of a front that cannot do as asked: the table of status codes.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::broker::NoAnswer;
use crate::listener::accounts::NoRoom;
use crate::metrics::labels::Refusal;

/// A reason why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableBody {
    /// It is too large, or not in the form that its head says.
    #[error("the body cannot be read")]
    Broken,
    /// Its sender broke it off.
    #[error("the body ended before its end")]
    CutOff,
    /// It did not come in time.
    #[error("the body did not come within http.body_read_timeout")]
    TooSlow,
    /// Others take all the memory there is for requests.
    #[error("all requests together are over http.max_bytes_in_flight")]
    NoRoom,
}

impl UnreadableBody {
    /// The label by which it is counted.
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

/// A request that cannot be read or understood: 400 with an empty body.
pub(super) fn bad_request() -> Response {
    StatusCode::BAD_REQUEST.into_response()
}

/// A body that is not read: 503 where only the broker is to blame. As the rest of
/// it does not come, the connection cannot be used again, and HTTP/1.1 says so.
pub(super) fn unreadable(body: UnreadableBody) -> Response {
    match body {
        UnreadableBody::Broken | UnreadableBody::CutOff | UnreadableBody::TooSlow => {
            (StatusCode::BAD_REQUEST, [(CONNECTION, "close")]).into_response()
        }
        UnreadableBody::NoRoom => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The head of a request is larger than it may be (RFC 6585, section 5).
pub(super) fn head_too_large() -> Response {
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
}

/// More came from one address than may: 429 (RFC 6585). The reference proxy and
/// the legacy client take it as they take any other status that they do not
/// expect: this one has failed, another may not. 400 would blame the message.
pub(super) fn over_limit() -> Response {
    StatusCode::TOO_MANY_REQUESTS.into_response()
}

/// No such path, or nothing there: 404 with the reference broker's text.
pub(super) fn not_found() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::NOT_FOUND, headers, "404 page not found\n").into_response()
}

/// The response to a client that sent the legacy form, which hears no text.
pub(super) fn legacy(no_answer: NoAnswer) -> Response {
    let status = match no_answer {
        NoAnswer::UnknownBridge => StatusCode::BAD_REQUEST,
        NoAnswer::NoProxies => StatusCode::SERVICE_UNAVAILABLE,
        NoAnswer::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        NoAnswer::OverLimit => return over_limit(),
    };
    status.into_response()
}
