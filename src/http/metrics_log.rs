//! `/metrics`: the metrics log, for Tor's `CollecTor`.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::task::spawn_blocking;

use crate::broker::clock;
use crate::telemetry::LogLimit;

use super::{Front, error};

/// Whoever wants can ask for a log that cannot be read, any number of times.
static UNREADABLE: LogLimit = LogLimit::new(1, Duration::from_mins(10));

/// The log as it is published, or 304 for whoever has it already.
pub(super) async fn serve(front: Arc<Front>, head: Parts) -> Response {
    let Some(read) = front.sources.metrics_log.clone() else {
        return error::not_found();
    };
    let read = spawn_blocking(move || {
        let log = read()?;
        let tag = tag(&log);
        std::io::Result::Ok((log, tag))
    });
    match read.await {
        Ok(Ok((_, tag))) if has(&head.headers, &tag) => {
            (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response()
        }
        Ok(Ok((log, tag))) => {
            let content_type = "text/plain; charset=utf-8".to_owned();
            ([(CONTENT_TYPE, content_type), (ETAG, tag)], log).into_response()
        }
        Ok(Err(problem)) => {
            if let Some(suppressed) = UNREADABLE.admit(clock::now()) {
                tracing::warn!(suppressed, "the metrics log cannot be read: {problem}");
            }
            error::not_found()
        }
        Err(_panicked) => error::not_found(),
    }
}

fn tag(log: &[u8]) -> String {
    format!("\"{}\"", hex::encode(digest(&SHA256, log)))
}

/// Whether `If-None-Match` (RFC 9110, section 13.1.2) names this tag. Ours hold
/// no comma, so a comma always ends one.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter();
    let tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tags_are_found_in_lists_weak_ones_too() {
        let tag = tag(b"log");
        let other = "\"0\"";
        for (values, found) in [
            (vec![], false),
            (vec![other.to_owned()], false),
            (vec![tag.clone()], true),
            (vec![format!("{other}, W/{tag}")], true),
            (vec![other.to_owned(), tag.clone()], true),
            (vec!["*".to_owned()], true),
            (vec![tag.trim_matches('"').to_owned()], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(has(&headers, &tag), found, "{values:?}");
        }
    }
}
