//! A random day: who sends which request in which form, who answers when, and who leaves
//! in the middle.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;
use snowflake_broker::broker::limits;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::matching::Settings;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use crate::support::front::{Front, SECOND_BRIDGE};
use crate::support::messages::{offer, proxy_answer};
use crate::tally::{Kind, Tally};

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A request from this address.
    Request(IpAddr, Message),
    /// The connection of one of the earlier requests closes.
    Leave(Index),
    /// Other tasks run, but no time passes.
    Turn,
    Pass(Duration),
    /// The broker drains.
    Drain,
}

/// The content of a request.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A proxy's poll with this number as its `Sid`.
    Proxy(u8, &'static str, &'static str, Option<&'static str>),
    /// A request to `/proxy` that is not a poll.
    BadProxy(&'static str),
    Client(Way, &'static str, &'static str),
    /// A client's request that is not a poll.
    BadClient(Way),
    /// An answer under this `Sid`, with or without an offer.
    Answer(u8),
    BadAnswer,
}

/// The form of a client's poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Today,
    Legacy,
    Amp,
}

const NATS: [&str; 7] = [
    "restricted",
    "unrestricted",
    "strict",
    "moderate",
    "open",
    "unknown",
    "",
];
const TYPES: [&str; 8] = [
    "badge",
    "bloco",
    "iptproxy",
    "orbot-android",
    "standalone",
    "webext",
    "odd",
    "",
];

/// Limits so low that all of them are reached.
pub(crate) fn limits() -> limits::Settings {
    limits::Settings {
        proxy_polls_per_minute: 60,
        proxy_poll_burst: 3,
        client_polls_per_minute: 60,
        client_poll_burst: 3,
        answers_per_minute: 60,
        answer_burst: 2,
        intermediary_factor: 1,
        max_addresses: 1,
        ..limits::Settings::default()
    }
}

/// Bounds so small that all of them are reached.
pub(crate) fn settings() -> Settings {
    Settings {
        client_queue_max: 2,
        max_parked_polls: 3,
        max_matched_clients: 3,
        ..Settings::default()
    }
}

pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..120)
}

fn act() -> impl Strategy<Value = Act> {
    let peer = select(vec!["5.1.0.1", "5.1.0.2", "2a01::1", "127.0.0.1"]);
    prop_oneof![
        24 => (peer, message())
            .prop_map(|(peer, message)| Act::Request(peer.parse().unwrap(), message)),
        4 => any::<Index>().prop_map(Act::Leave),
        10 => Just(Act::Turn),
        4 => select(vec![0, 1, 400, 1_000, 3_000]).prop_map(|ms| Act::Pass(Duration::from_millis(ms))),
        1 => prop::bool::weighted(0.05).prop_map(|drain| if drain { Act::Drain } else { Act::Turn }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let nat = || select(&NATS[..]);
    let pattern = select(vec![None, Some(""), Some("example$"), Some("other.net$")]);
    let bridge = select(vec![
        "",
        SECOND_BRIDGE,
        "ffffffffffffffffffffffffffffffffffffffff",
    ]);
    let bad_proxy = select(vec!["", "{}", r#"{"Sid":"a","Version":"1.0","NAT":"odd"}"#]);
    prop_oneof![
        8 => (0..8u8, nat(), select(&TYPES[..]), pattern)
            .prop_map(|(sid, nat, kind, pattern)| Message::Proxy(sid, nat, kind, pattern)),
        1 => bad_proxy.prop_map(Message::BadProxy),
        8 => (way(), nat(), bridge)
            .prop_map(|(way, nat, bridge)| Message::Client(way, nat, bridge)),
        1 => way().prop_map(Message::BadClient),
        6 => (0..8u8).prop_map(Message::Answer),
        1 => Just(Message::BadAnswer),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    select(vec![Way::Today, Way::Today, Way::Legacy, Way::Amp])
}

/// Runs all operations. At the end either everyone leaves at once, or all stay until they
/// have a reply.
pub(crate) async fn run(front: &Arc<Front>, acts: &[Act], all_leave: bool) -> Tally {
    let tally = Tally::default();
    let mut running: Vec<JoinHandle<()>> = Vec::new();
    for act in acts {
        match act {
            Act::Turn => yield_now().await,
            Act::Pass(time) => sleep(*time).await,
            Act::Leave(_) if running.is_empty() => {}
            Act::Leave(index) => index.get(&running).abort(),
            Act::Drain => {
                let front = Arc::clone(front);
                running.push(tokio::spawn(
                    async move { front.broker.control().drain().await },
                ));
            }
            Act::Request(peer, message) => running.push(send(front, &tally, *peer, message)),
        }
    }
    if all_leave {
        running.iter().for_each(JoinHandle::abort);
    }
    for request in running {
        if let Err(error) = request.await {
            assert!(error.is_cancelled(), "{error}");
        }
    }
    tally
}

fn send(front: &Arc<Front>, tally: &Tally, peer: IpAddr, message: &Message) -> JoinHandle<()> {
    let (kind, mut request) = request(message);
    request
        .extensions_mut()
        .insert(RemoteAddress(SocketAddr::from((peer, 1))));
    let (front, tally) = (Arc::clone(front), tally.clone());
    tokio::spawn(async move {
        // Counted in the task, because a request that is dropped before its first turn
        // was never sent.
        tally.came(kind);
        let reply = front.send(request).await;
        tally.replied(kind, &reply);
    })
}

fn request(message: &Message) -> (Kind, Request<Body>) {
    let post = |path: &str, body: String| Request::post(path).body(Body::from(body)).unwrap();
    match message {
        Message::Proxy(sid, nat, kind, pattern) => {
            let body = json!({
                "Sid": sid.to_string(), "Version": "1.3", "Type": kind, "NAT": nat,
                "Clients": 0, "AcceptedRelayPattern": pattern,
            });
            (Kind::Proxy, post("/proxy", body.to_string()))
        }
        Message::BadProxy(body) => (Kind::Proxy, post("/proxy", (*body).to_owned())),
        Message::Answer(sid) => {
            let body = proxy_answer(&sid.to_string(), "hi");
            (Kind::Answer, post("/answer", body))
        }
        Message::BadAnswer => (Kind::Answer, post("/answer", "a=candidate".to_owned())),
        Message::Client(Way::Legacy, nat, _) => {
            let request = Request::post("/client")
                .header("Snowflake-NAT-Type", *nat)
                .body(Body::from(offer("x")))
                .unwrap();
            (Kind::Client(Way::Legacy), request)
        }
        Message::Client(way, nat, bridge) => {
            let body = json!({"offer": offer("x"), "nat": nat, "fingerprint": bridge});
            (Kind::Client(*way), poll(*way, &format!("1.0\n{body}")))
        }
        Message::BadClient(Way::Legacy) => {
            let request = post("/client", r#"{"type":"offer"}"#.to_owned());
            (Kind::Client(Way::Legacy), request)
        }
        Message::BadClient(way) => (Kind::Client(*way), poll(*way, "1.1\n{}")),
    }
}

fn poll(way: Way, body: &str) -> Request<Body> {
    if way == Way::Amp {
        let path = format!("/amp/client/0x/{}", URL_SAFE_NO_PAD.encode(body));
        return Request::get(path).body(Body::empty()).unwrap();
    }
    let body = Body::from(body.to_owned());
    Request::post("/client").body(body).unwrap()
}
