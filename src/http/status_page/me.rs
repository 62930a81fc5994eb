//! `/status/me`: the word to a volunteer on the proxies at the address from which the request
//! comes.

use askama::Template;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use serde::Serialize;

use crate::broker::{Sighted, Sighting};
use crate::http::caller::caller;
use crate::http::front::HttpFront;
use crate::metrics::labels::Refusal;

use super::respond;

/// The proxies at one address.
#[derive(Clone, Debug, Default, Serialize, Template)]
#[template(path = "me.html", config = "src/http/status_page/askama.toml")]
struct MyProxy {
    /// True if there was a poll in the last ten minutes; `None` if the broker does not know.
    seen: Option<bool>,
    /// A sentence that says so.
    #[serde(skip)]
    answer: &'static str,
    /// The classes of NAT for which the proxies were in a pool.
    nats: Vec<&'static str>,
    /// The types of programs.
    types: Vec<&'static str>,
    /// The clients handed to them, as a range.
    matches: Option<&'static str>,
    /// The reasons for which polls were refused.
    refused: Vec<RefusedPolls>,
}

/// A reason for which polls were refused.
#[derive(Clone, Copy, Debug, Serialize)]
struct RefusedPolls {
    reason: &'static str,
    /// The reason in words for volunteers.
    text: &'static str,
}

/// `/status/me`.
pub(in crate::http) fn me(front: &HttpFront, head: &Parts) -> Response {
    let page = MyProxy::of(front, head).render().ok();
    respond(Ok(page.map(Bytes::from)), "text/html; charset=utf-8")
}

/// `/status/me.json`.
pub(in crate::http) fn me_json(front: &HttpFront, head: &Parts) -> Response {
    let data = serde_json::to_vec(&MyProxy::of(front, head)).ok();
    respond(Ok(data.map(Bytes::from)), "application/json")
}

impl MyProxy {
    fn of(front: &HttpFront, head: &Parts) -> Self {
        let asks = caller(head, &front.settings).origin;
        let (seen, answer) = match front.broker.sighted(asks) {
            Sighted::Seen(sighting) => return Self::seen(&sighting),
            Sighted::NotSeen => (
                Some(false),
                "No proxy at your address has polled in the last 10 minutes.",
            ),
            Sighted::Forgotten => (
                None,
                "The broker does not know: too many proxies came to remember all of them.",
            ),
            Sighted::Hidden => (
                None,
                "The broker does not see your address, since you come through a server that does \
                 not name it.",
            ),
        };
        Self {
            seen,
            answer,
            ..Self::default()
        }
    }

    fn seen(sighting: &Sighting) -> Self {
        let refused = sighting.refusals.iter().map(|refusal| RefusedPolls {
            reason: refusal.as_str(),
            text: in_words(*refusal),
        });
        Self {
            seen: Some(true),
            answer: "A proxy at your address has polled in the last 10 minutes.",
            nats: sighting.nats.iter().map(|nat| nat.as_str()).collect(),
            types: sighting.types.iter().map(|it| it.as_str()).collect(),
            matches: Some(range(sighting.matches)),
            refused: refused.collect(),
        }
    }
}

/// The range that a number of matches is in.
fn range(matches: u32) -> &'static str {
    match matches {
        0 => "0",
        1..=8 => "1 to 8",
        9..=64 => "9 to 64",
        _ => "more than 64",
    }
}

fn in_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Pattern => {
            "The proxy does not accept all of this broker's bridges: see its relay pattern, or \
             update it."
        }
        Refusal::SidInUse => "Another poll with the same session ID was waiting.",
        Refusal::TooSoon | Refusal::Limit => "Too many polls came from your address.",
        Refusal::Overloaded => "The broker had too many requests.",
        Refusal::SourceMatches => "Your address had its share of clients for the minute.",
        Refusal::SourceUnanswered => "Too many clients at your address had no answer yet.",
        Refusal::SourceResting => "Several clients in a row got no answer at your address.",
        Refusal::SourceParked => "Your address had its share of waiting polls.",
        Refusal::NetworkShare => "The network around your address had its share.",
        Refusal::TooSlow => "A poll did not arrive in time.",
        Refusal::CutOff => "A poll was cut off.",
        Refusal::BadRequest => "A poll was malformed.",
        // Only clients are refused for these.
        Refusal::UnknownBridge | Refusal::BridgeDraining | Refusal::Stale => "A poll was refused.",
    }
}
