//! Limits of one address's requests, and of all requests together.

mod forwarding;
mod prices;
mod quotas;
mod room;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::request::Builder;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::broker::limits::{self, Intermediary};
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::matching;

use crate::support::front::Front;
use crate::support::messages::{client_poll, offer, proxy_poll};
use crate::support::requests::Reply;

const SLOW_DOWN: &str = "too many requests, slow down";
const ONE: &str = "5.1.0.1";
const OTHER: &str = "5.1.0.2";
const CACHES: &str = "5.1.0.0/24";
/// An address that is not a known cache.
const STRANGER: &str = "5.9.0.1";

fn network(written: &str) -> Intermediary {
    written.to_owned().try_into().unwrap()
}

/// A front that admits one request of each kind per minute, and keeps no client waiting.
fn one_each(http: front::Settings) -> Front {
    let limits = limits::Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: 1,
        client_polls_per_minute: 1,
        client_poll_burst: 1,
        answers_per_minute: 1,
        answer_burst: 1,
        intermediary_factor: 3,
        intermediaries: vec![network(CACHES)],
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        ..limits::Settings::default()
    };
    let short = Duration::from_millis(10);
    let matching = matching::Settings {
        proxy_timeout: short,
        client_queue_wait: short,
        ..matching::Settings::default()
    };
    Front::limited(matching, http, GeoIp::default(), None, limits).outspoken()
}

fn from(peer: &str, request: Builder) -> Builder {
    let peer: IpAddr = peer.parse().unwrap();
    request.extension(RemoteAddress(SocketAddr::from((peer, 1))))
}

async fn post(front: &Front, peer: &str, path: &str, body: String) -> Reply {
    let request = from(peer, Request::post(path));
    front.send(request.body(Body::from(body)).unwrap()).await
}

async fn proxy(front: &Front, peer: &str) -> Value {
    let reply = post(front, peer, "/proxy", proxy_poll("a", "open")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()
}

async fn client(front: &Front, peer: &str) -> Value {
    let reply = post(front, peer, "/client", client_poll("x", "open")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()["error"].clone()
}

/// The path of a client's poll through an AMP cache, with or without a candidate.
fn amp_path(candidate: Option<&str>) -> String {
    let candidate = candidate.map(|address| format!("a=candidate:1 1 udp 1 {address} 1 typ srflx"));
    let offer = offer(&candidate.unwrap_or_default());
    let poll = format!("1.0\n{}", json!({"offer": offer, "nat": "open"}));
    format!("/amp/client/0/{}", URL_SAFE_NO_PAD.encode(poll))
}

/// The error for a client that comes through `peer`.
async fn amp(front: &Front, peer: &str, candidate: Option<&str>) -> Value {
    ask_amp(front, from(peer, Request::get(amp_path(candidate)))).await
}

async fn ask_amp(front: &Front, request: Builder) -> Value {
    let reply = front.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let (_, text) = reply.body.split_once("<pre>").unwrap();
    let text: String = text
        .split("</pre>")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let response = STANDARD.decode(text.strip_prefix('0').unwrap()).unwrap();
    serde_json::from_slice::<Value>(&response).unwrap()["error"].clone()
}

fn refusals(front: &Front, request: &str, reason: &str) -> u64 {
    let labels = [
        &*format!(r#"request="{request}""#),
        &*format!(r#"reason="{reason}""#),
    ];
    front.count("snowflake_broker_refusals_total", &labels)
}
