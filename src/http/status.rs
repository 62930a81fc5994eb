//! What operators and crawlers ask for.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use tokio::task::spawn_blocking;

use crate::matching::Snapshot;
use crate::metrics::exposition::Format;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

use super::Front;

/// `/debug`: what is waiting.
pub(super) fn debug(front: &Front) -> Response {
    text(debug_text(&front.broker.snapshot()))
}

/// `/prometheus`: every metric, as text. It can be megabytes, and the figures of
/// the process come from files: a worker of the runtime would be held up by it,
/// and with the worker who polls.
pub(super) async fn prometheus(front: Arc<Front>, head: Parts) -> Response {
    let accept = head
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = Format::accepted_by(accept);
    let (broker, figures) = (Arc::clone(&front.broker), front.sources.process_figures);
    let scrape = move || broker.expose_metrics(figures(), format);
    match spawn_blocking(scrape).await {
        Ok(metrics) => ([(CONTENT_TYPE, format.content_type())], metrics).into_response(),
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `/robots.txt`: nothing here is for crawlers.
pub(super) fn robots() -> Response {
    text("User-agent: *\nDisallow: /\n".to_owned())
}

fn text(body: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

fn debug_text(snapshot: &Snapshot) -> String {
    let count = |wanted: &dyn Fn(ProxyType, NatType) -> bool| -> usize {
        let parked = snapshot.parked.iter();
        parked
            .filter(|(proxy_type, nat, _)| wanted(*proxy_type, *nat))
            .map(|(_, _, count)| count)
            .sum()
    };
    let mut text = format!("current snowflakes available: {}", count(&|_, _| true));
    for proxy_type in ProxyType::ALL {
        let count = count(&|other, _| other == proxy_type);
        if count > 0 || proxy_type == ProxyType::Unknown {
            write_line(&mut text, &format!("\t{proxy_type} proxies: {count}"));
        }
    }
    write_line(&mut text, "NAT Types available:");
    for nat in NatType::ALL {
        let count = count(&|_, other| other == nat);
        write_line(&mut text, &format!("\t{nat}: {count}"));
    }
    text
}

fn write_line(text: &mut String, line: &str) {
    text.push('\n');
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_lists_types_and_nats() {
        let snapshot = Snapshot {
            parked: vec![
                (ProxyType::Webext, NatType::Restricted, 1),
                (ProxyType::Standalone, NatType::Unrestricted, 1),
            ],
            ..Snapshot::default()
        };
        assert_eq!(
            debug_text(&snapshot),
            "current snowflakes available: 2\n\tstandalone proxies: 1\n\twebext proxies: 1\n\
             \tunknown proxies: 0\nNAT Types available:\n\trestricted: 1\n\tunrestricted: 1\n\
             \tstrict: 0\n\tmoderate: 0\n\topen: 0\n\tunknown: 0"
        );
    }
}
