//! `/metrics`: the metrics log, for Tor's `CollecTor`.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::Level;

use crate::broker::clock;
use crate::telemetry::{Kind, LogLimit};

use super::error;
use super::pages::CachedPage;

/// Anyone can request an unreadable log any number of times.
static UNREADABLE: LazyLock<LogLimit> = LazyLock::new(|| {
    let kind = Kind::new(Level::WARN, "failed reads of the metrics log");
    LogLimit::new(kind, 1, Duration::from_mins(10))
});

/// The published part of the metrics log.
#[derive(Clone, Debug)]
pub struct MetricsLog {
    text: Bytes,
    /// The entity tag of this text.
    tag: HeaderValue,
}

impl MetricsLog {
    /// A log with this text.
    pub fn new(text: Vec<u8>) -> Self {
        let tag = format!("\"{}\"", hex::encode(digest(&SHA256, &text)));
        Self {
            text: text.into(),
            // Hexadecimal digits are always a valid header value.
            tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// The published text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Reads the published part of the metrics log. May block.
pub type ReadMetricsLog = Arc<dyn Fn() -> io::Result<MetricsLog> + Send + Sync>;

/// The page with the log, shared by all readers.
pub(super) struct LogPage {
    read: Option<ReadMetricsLog>,
    page: CachedPage<Result<MetricsLog, Arc<io::Error>>>,
}

impl LogPage {
    pub(super) fn new(read: Option<ReadMetricsLog>) -> Self {
        // The page is never cached: the reader checks whether the file has changed.
        let page = CachedPage::new(Duration::ZERO);
        Self { read, page }
    }

    /// Serves the published log, or 304 if the requester already has it.
    pub(super) async fn serve(&self, headers: &HeaderMap) -> Response {
        let Some(read) = self.read.clone() else {
            return error::not_found();
        };
        match self.page.get(move || read().map_err(Arc::new)).await {
            Ok(Ok(log)) if has(headers, &log.tag) => {
                (StatusCode::NOT_MODIFIED, [(ETAG, log.tag)]).into_response()
            }
            Ok(Ok(log)) => {
                let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
                ([(CONTENT_TYPE, content_type), (ETAG, log.tag)], log.text).into_response()
            }
            Ok(Err(problem)) => unreadable(&problem),
            Err(no_page) => unreadable(&no_page),
        }
    }
}

fn unreadable(problem: &dyn Display) -> Response {
    if let Some(suppressed) = UNREADABLE.admit(clock::now()) {
        tracing::warn!(suppressed, "cannot read the metrics log: {problem}");
    }
    error::not_found()
}

/// Returns true if `If-None-Match` (RFC 9110, section 13.1.2) contains this tag. Our tags
/// contain no comma, so splitting at commas is safe.
fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter();
    let tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == *tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists_weak_ones_too() {
        let tag = MetricsLog::new(b"log".to_vec()).tag;
        let known = tag.to_str().unwrap().to_owned();
        let other = "\"0\"";
        for (values, found) in [
            (vec![], false),
            (vec![other.to_owned()], false),
            (vec![known.clone()], true),
            (vec![format!("{other}, W/{known}")], true),
            (vec![other.to_owned(), known.clone()], true),
            (vec!["*".to_owned()], true),
            (vec![known.trim_matches('"').to_owned()], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(has(&headers, &tag), found, "{values:?}");
        }
    }
}
