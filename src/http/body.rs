//! Bodies of requests: read whole, within bounds of size and time.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use crate::metrics::labels::Refusal;

use super::Settings;

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableBody {
    /// It is too large, or broke off.
    #[error("the body cannot be read")]
    Broken,
    /// It did not come in time.
    #[error("the body did not come within http.body_read_timeout")]
    TooSlow,
}

impl UnreadableBody {
    /// How it is counted.
    pub(super) fn reason(self) -> Refusal {
        match self {
            Self::Broken => Refusal::BadRequest,
            Self::TooSlow => Refusal::TooSlow,
        }
    }
}

/// Reads a body whole.
pub(super) async fn read(body: Body, settings: &Settings) -> Result<Bytes, UnreadableBody> {
    let whole = Limited::new(body, settings.max_body_bytes).collect();
    match timeout(settings.body_read_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(_)) => Err(UnreadableBody::Broken),
        Err(_) => Err(UnreadableBody::TooSlow),
    }
}

/// An answer with a JSON body.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}
