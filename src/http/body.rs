//! Bodies of requests: read whole, within bounds of size and time.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use super::Settings;

/// A body that is too large, too slow, or broke off.
#[derive(Debug, thiserror::Error)]
#[error("the body cannot be read")]
pub(super) struct UnreadableBody;

/// Reads a body whole.
pub(super) async fn read(body: Body, settings: &Settings) -> Result<Bytes, UnreadableBody> {
    let whole = Limited::new(body, settings.max_body_bytes).collect();
    match timeout(settings.body_read_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(_)) | Err(_) => Err(UnreadableBody),
    }
}

/// An answer with a JSON body.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}
