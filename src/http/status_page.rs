//! The status page: the state of the broker for people, as HTML, as JSON and as server-sent
//! events, by which the page stays up to date. Operators get it on an address of its own, and
//! the public, if it is to, a reduced one with rounded counts.

mod live;
mod me;
mod plot;
mod readers;
mod spans;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::broker::{Broker, clock};
use crate::host_port::{self, is_address, is_loopback};
use crate::listener::addresses;
use crate::matching::ServiceStage;
use crate::report::SettingsReport;

use super::body::payer;
use super::caller::caller;
use super::front::HttpFront;
use super::pages::{CachedPage, NoPage};
use super::status::Audience;

use readers::LiveReaders;
use view::StatusView;

pub(super) use me::{me, me_json};

/// The longest notice, in bytes.
const NOTICE_MAX: usize = 2000;

/// The maximum age of what is shown.
const LIFETIME: Duration = Duration::from_secs(1);

/// The time in seconds after which there may be a place for another reader.
const FULL_FOR: HeaderValue = HeaderValue::from_static("30");

const STYLE: &str = include_str!("status_page/style.css");
const SCRIPT: &str = include_str!("status_page/status.js");

/// Nothing but our style sheet and script, which reads the events, so that no text in the page
/// could do harm.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The status page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The addresses of the page (plain HTTP); none turns it off.
    #[serde(
        deserialize_with = "addresses::deserialize_or_off",
        serialize_with = "addresses::serialize",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub listen: Vec<String>,
    /// Shows a reduced page with rounded counts at `/status` on the public address.
    pub public: bool,
    /// The operator's notice for volunteers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

impl Settings {
    /// Returns true if anybody may see a page.
    pub fn is_on(&self) -> bool {
        self.public || !self.listen.is_empty()
    }

    /// Reports mistakes, and addresses that reveal too much to strangers.
    pub fn check(&self, report: &mut SettingsReport) {
        if let Some(wrong) = self.listen.iter().find(|addr| !is_address(addr)) {
            let problem = format!(
                "{}, a list of these, or off; {wrong:?} is none",
                host_port::EXPECTED
            );
            report.refuse(&["listen"], problem);
        } else if let Some(open) = self.listen.iter().find(|addr| !is_loopback(addr)) {
            report.warn(
                &["listen"],
                format!(
                    "other machines may reach {open}, and exact counts show them when somebody uses \
                     Snowflake: listen on 127.0.0.1, or let a firewall keep them out"
                ),
            );
        }
        let is_too_long = |notice: &String| notice.len() > NOTICE_MAX;
        if self.notice.as_ref().is_some_and(is_too_long) {
            let problem = format!("must have {NOTICE_MAX} bytes or fewer");
            report.refuse(&["notice"], problem);
        }
    }
}

/// The page for one audience. At most one is being made at a time.
pub(super) struct StatusPage {
    audience: Audience,
    notice: Option<String>,
    page: CachedPage<Rendered>,
    /// The time from which the times of events are counted.
    start: Instant,
    readers: Arc<LiveReaders>,
}

/// The state of one moment in all forms.
#[derive(Clone, Debug)]
struct Rendered {
    /// `None` if the template failed.
    html: Option<Bytes>,
    json: Option<Bytes>,
    event: Option<Bytes>,
}

/// The whole page.
#[derive(Template)]
#[template(path = "status.html", config = "src/http/status_page/askama.toml")]
struct PageHtml<'a> {
    /// The part that changes.
    live: &'a str,
}

impl StatusPage {
    pub(super) fn new(audience: Audience, settings: &Settings) -> Self {
        Self {
            audience,
            notice: settings.notice.clone(),
            page: CachedPage::new(LIFETIME),
            start: clock::now(),
            readers: LiveReaders::new(live::limits(audience)),
        }
    }

    /// `/` and `/status`.
    pub(super) async fn html(&self, front: &HttpFront) -> Response {
        let made = self.made(front).await;
        respond(made.map(|made| made.html), "text/html; charset=utf-8")
    }

    /// `/status.json`.
    pub(super) async fn json(&self, front: &HttpFront) -> Response {
        let made = self.made(front).await;
        respond(made.map(|made| made.json), "application/json")
    }

    /// `/status/events`: the part of the page that changes, again and again.
    pub(super) fn events(self: Arc<Self>, front: Arc<HttpFront>, head: &Parts) -> Response {
        if front.broker.stage() == ServiceStage::Draining {
            return full();
        }
        let payer = payer(&caller(head, &front.settings));
        let Some(reader) = self.readers.add(payer) else {
            return full();
        };
        let Ok(reservation) = front.accounts.open(payer, live::HELD) else {
            return full();
        };
        let body = live::body(self, front, reader, reservation);
        // nginx would keep events back.
        let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
        (headers("text/event-stream"), unbuffered, body).into_response()
    }

    async fn made(&self, front: &HttpFront) -> Result<Rendered, NoPage> {
        let (broker, audience) = (Arc::clone(&front.broker), self.audience);
        let notice = self.notice.clone();
        self.page
            .get(move || Rendered::of(&broker, audience, notice))
            .await
    }
}

impl Rendered {
    fn of(broker: &Broker, audience: Audience, notice: Option<String>) -> Self {
        let view = StatusView::of(broker, audience, notice);
        let live = view.render().ok();
        let page = live.as_deref().map(|live| PageHtml { live });
        let html = page.and_then(|page| page.render().ok());
        Self {
            html: html.map(Bytes::from),
            json: serde_json::to_vec(&view).ok().map(Bytes::from),
            event: live.as_deref().map(live::event),
        }
    }
}

/// `/status.css`.
pub(super) fn style() -> Response {
    respond(Ok(Some(STYLE.into())), "text/css; charset=utf-8")
}

/// `/status.js`.
pub(super) fn script() -> Response {
    respond(Ok(Some(SCRIPT.into())), "text/javascript; charset=utf-8")
}

/// The response to one reader too many.
fn full() -> Response {
    let again = [(RETRY_AFTER, FULL_FOR)];
    (StatusCode::SERVICE_UNAVAILABLE, again).into_response()
}

fn respond(body: Result<Option<Bytes>, NoPage>, content_type: &'static str) -> Response {
    match body {
        Ok(Some(body)) => (headers(content_type), body).into_response(),
        Err(NoPage::TooSlow) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Ok(None) | Err(NoPage::Failed) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn headers(content_type: &'static str) -> [(HeaderName, HeaderValue); 6] {
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (resource_policy, "same-origin"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}
