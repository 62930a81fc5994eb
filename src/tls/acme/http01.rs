//! The plain HTTP pages for HTTP-01.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{Method, StatusCode, Uri};
use tower::ServiceExt as _;

use super::challenges::Challenges;

/// Responds to challenges (RFC 8555, section 8.3), and with 404 to everything else. It
/// does not redirect to https: a client that uses plain HTTP by mistake must notice
/// before its offers travel unencrypted.
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

/// The response to other requests: 404 except for `OPTIONS *` (RFC 9110, section 9.3.7).
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
