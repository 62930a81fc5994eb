//! The pages for operators and crawlers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, StatusCode};

use crate::broker::Broker;
use crate::matching::{ServiceStage, Snapshot};
use crate::metrics::ProcessFigures;
use crate::metrics::exposition::{Format, to_text};
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

use super::accept;
use super::compressible::Compressible;
use super::pages::{CachedPage, NoPage};

/// The maximum age of figures for operators.
const OPERATOR_LIFETIME: Duration = Duration::from_secs(1);
/// The maximum age of figures for the public. All public pages show the same moment: two
/// pages of different ages would make a more precise clock than one.
const PUBLIC_LIFETIME: Duration = Duration::from_secs(1);

/// The readers that figures are intended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everyone.
    Public,
    /// The operators of the broker.
    Operator,
}

/// The broker's figures for each audience. At most one page per audience is being made at
/// a time.
pub(super) struct FigurePages {
    broker: Arc<Broker>,
    process: fn() -> Option<ProcessFigures>,
    public: CachedPage<StatusFigures>,
    operator: CachedPage<StatusFigures>,
}

impl FigurePages {
    pub(super) fn new(broker: Arc<Broker>, process: fn() -> Option<ProcessFigures>) -> Self {
        Self {
            broker,
            process,
            public: CachedPage::new(PUBLIC_LIFETIME),
            operator: CachedPage::new(OPERATOR_LIFETIME),
        }
    }

    /// `/debug`: the parked polls. Operators get the current state, which is cheap to
    /// produce.
    pub(super) async fn debug(&self, audience: Audience) -> Response {
        let text = match audience {
            Audience::Public => self.figures(audience).await.map(|figures| figures.debug),
            Audience::Operator => Ok(debug_text(&self.broker.control().snapshot()).into()),
        };
        text.map_or_else(unavailable, plain_text)
    }

    /// `/prometheus`: every metric for operators, and the reference broker's metrics for
    /// the public.
    pub(super) async fn prometheus(&self, audience: Audience, headers: &HeaderMap) -> Response {
        self.metrics(audience, headers)
            .await
            .unwrap_or_else(unavailable)
    }

    async fn metrics(&self, audience: Audience, headers: &HeaderMap) -> Result<Response, NoPage> {
        let figures = self.figures(audience).await?;
        let format = accept::format(headers);
        let text = match format {
            Format::OpenMetrics => figures.open_metrics,
            Format::Text => figures.text,
        };
        let described = [
            (CONTENT_TYPE, format.content_type()),
            (VARY, "accept, accept-encoding"),
        ];
        if !accept::takes_gzip(headers) {
            return Ok((described, text.plain()).into_response());
        }
        let compressed = (described, text.gzip().await?);
        Ok(([(CONTENT_ENCODING, "gzip")], compressed).into_response())
    }

    async fn figures(&self, audience: Audience) -> Result<StatusFigures, NoPage> {
        let page = match audience {
            Audience::Public => &self.public,
            Audience::Operator => &self.operator,
        };
        let (broker, process) = (Arc::clone(&self.broker), self.process);
        page.get(move || StatusFigures::read(&broker, process, audience))
            .await
    }
}

/// The figures of one moment in all formats.
#[derive(Clone, Debug)]
struct StatusFigures {
    open_metrics: Compressible,
    text: Compressible,
    debug: Bytes,
}

impl StatusFigures {
    /// Reads the current figures. They can be megabytes and read files, so this must not
    /// run on an async thread.
    fn read(broker: &Broker, process: fn() -> Option<ProcessFigures>, audience: Audience) -> Self {
        let format = Format::OpenMetrics;
        let open_metrics = match audience {
            Audience::Public => broker.control().expose_published_metrics(format),
            Audience::Operator => broker.control().expose_metrics(process(), format),
        };
        Self {
            text: Compressible::new(to_text(&open_metrics)),
            open_metrics: Compressible::new(open_metrics),
            debug: debug_text(&broker.control().snapshot()).into(),
        }
    }
}

/// `/livez`: the program is running.
pub(super) fn livez() -> Response {
    plain_text(Bytes::from_static(b"ok\n"))
}

/// `/readyz`: the broker accepts new work; 503 while it drains, is a lame duck or stops. A node
/// that serves on its own says so.
pub(super) fn readyz(broker: &Broker) -> Response {
    let is_alone = || {
        let cluster = broker.control().cluster();
        cluster.is_some_and(|cluster| !cluster.is_connected)
    };
    let (status, text) = match broker.stage() {
        ServiceStage::Serving if is_alone() => (StatusCode::OK, "ok, on its own\n"),
        ServiceStage::Serving => (StatusCode::OK, "ok\n"),
        _ if broker.control().expects_successor() => {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
        ServiceStage::LameDuck => (StatusCode::SERVICE_UNAVAILABLE, "lame duck\n"),
        ServiceStage::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    };
    let text = Bytes::from_static(text.as_bytes());
    (status, plain_text(text)).into_response()
}

/// `/robots.txt`: nothing here is for crawlers.
pub(super) fn robots() -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (headers, "User-agent: *\nDisallow: /\n").into_response()
}

fn plain_text(text: Bytes) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn unavailable(no_page: NoPage) -> Response {
    let status = match no_page {
        NoPage::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
        NoPage::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    status.into_response()
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
    let parked = snapshot.parked.iter().map(|(proxy_type, ..)| *proxy_type);
    let known: BTreeSet<ProxyType> = parked.filter(|it| *it != ProxyType::UNKNOWN).collect();
    for proxy_type in known.into_iter().chain([ProxyType::UNKNOWN]) {
        let count = count(&|other, _| other == proxy_type);
        write_line(&mut text, &format!("\t{proxy_type} proxies: {count}"));
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
                (ProxyType::WEBEXT, NatType::Restricted, 1),
                (ProxyType::STANDALONE, NatType::Unrestricted, 1),
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
