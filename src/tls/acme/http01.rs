//! The pages that are served in the clear for HTTP-01.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{Method, StatusCode, Uri};
use tower::ServiceExt as _;

use super::challenges::Challenges;

/// Answers challenges (RFC 8555, section 8.3); everything else is 404. There is
/// no way from here to https: a client that was told to come in the clear by
/// mistake shall notice, before its offers do the rounds.
pub fn router(challenges: Arc<Challenges>) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(page))
        .fallback(elsewhere)
        .with_state(challenges)
}

async fn page(State(challenges): State<Arc<Challenges>>, request: Request) -> Response {
    match challenges.http() {
        Some(service) => service.oneshot(request).await.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The reply to everything else, but for the options of the server as a whole
/// (RFC 9110, section 9.3.7).
async fn elsewhere(method: Method, target: Uri) -> StatusCode {
    if method == Method::OPTIONS && target.path() == "*" {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn there_is_nothing_but_challenges_and_options() {
        for (method, target, status) in [
            ("OPTIONS", "*", StatusCode::OK),
            ("GET", "*", StatusCode::NOT_FOUND),
            ("OPTIONS", "/", StatusCode::NOT_FOUND),
            ("GET", "/", StatusCode::NOT_FOUND),
            ("GET", "/client", StatusCode::NOT_FOUND),
            (
                "GET",
                "/.well-known/acme-challenge/a",
                StatusCode::NOT_FOUND,
            ),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(target)
                .body(Body::empty())
                .unwrap();
            let response = router(Arc::default()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{method} {target}");
        }
    }
}
