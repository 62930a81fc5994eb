//! What is served in the clear for HTTP-01.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http::StatusCode;

use super::Challenges;

/// Answers challenges (RFC 8555, section 8.3); everything else is 404. There is
/// no way from here to https: a client that was told to come in the clear by
/// mistake shall notice, before its offers do the rounds.
pub fn router(challenges: Arc<Challenges>) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(page))
        .with_state(challenges)
}

async fn page(
    State(challenges): State<Arc<Challenges>>,
    Path(token): Path<String>,
) -> Result<String, StatusCode> {
    challenges.page(&token).ok_or(StatusCode::NOT_FOUND)
}
