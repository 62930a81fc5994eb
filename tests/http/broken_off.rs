//! Requests that end before their response, and their price.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::matching;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::messages::client_poll;
use crate::support::requests::Reply;

const BURST: u32 = 25;
const SLOW_DOWN: &str = "too many requests, slow down";
const STRANGER: Ipv4Addr = Ipv4Addr::new(5, 9, 0, 1);

/// A front with this burst for each kind of request, and almost no sustained rate.
fn front(client_queue_wait: Duration, max_bytes_in_flight: usize) -> Arc<Front> {
    let limits = limits::Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: BURST,
        client_polls_per_minute: 1,
        client_poll_burst: BURST,
        answers_per_minute: 1,
        answer_burst: BURST,
        ..limits::Settings::default()
    };
    let http = front::Settings {
        max_bytes_in_flight,
        ..front::Settings::default()
    };
    let matching = matching::Settings {
        proxy_timeout: Duration::from_millis(1),
        client_queue_wait,
        ..matching::Settings::default()
    };
    let front = Front::limited(matching, http, GeoIp::default(), None, limits);
    Arc::new(front)
}

async fn post(front: &Front, from: Ipv4Addr, path: &str, body: Body) -> Reply {
    let request = Request::post(path).extension(RemoteAddress(SocketAddr::from((from, 1))));
    front.send(request.body(body).unwrap()).await
}

/// A client that waits for its reply.
async fn wait(front: &Arc<Front>, from: Ipv4Addr, poll: &str) -> JoinHandle<Reply> {
    let (front, poll) = (Arc::clone(front), poll.to_owned());
    let waiting = async move { post(&front, from, "/client", poll.into()).await };
    let waiting = tokio::spawn(waiting);
    sleep(Duration::from_millis(1)).await;
    waiting
}

/// The number of client polls that the stranger has paid for so far.
async fn paid(front: &Front) -> u32 {
    for left in 0..=BURST {
        let poll = client_poll("x", "open").into();
        let reply = post(front, STRANGER, "/client", poll).await;
        if reply.body.contains(SLOW_DOWN) {
            return BURST - left;
        }
    }
    unreachable!("there is no limit")
}

fn refusals(front: &Front, request: &str, reason: &str) -> u64 {
    let labels = [
        &*format!(r#"request="{request}""#),
        &*format!(r#"reason="{reason}""#),
    ];
    front.count("snowflake_broker_refusals_total", &labels)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_sent_away_for_memory_pays_as_one_that_stays() {
    let poll = client_poll(&"x".repeat(3_000), "open");
    // An address has room for one poll, and sixteen addresses use everything.
    let room = 16 * (poll.len() + 100);
    let front = front(Duration::from_millis(100), room);
    let sent_away = wait(&front, STRANGER, &(poll.clone() + &" ".repeat(50))).await;
    let mut others = Vec::new();
    for third in 1..=15 {
        others.push(wait(&front, Ipv4Addr::new(6, 0, third, 1), &poll).await);
    }
    assert!(!sent_away.is_finished());
    others.push(wait(&front, Ipv4Addr::new(6, 1, 0, 1), &poll).await);
    let reply = sent_away.await.unwrap();
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(paid(&front).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_still_pays_five() {
    let front = front(Duration::from_millis(100), 1_000_000);
    let leaving = wait(&front, STRANGER, &client_poll("x", "open")).await;
    leaving.abort();
    assert!(leaving.await.is_err());
    assert_eq!(paid(&front).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_broken_off_costs_one_token_and_a_wrong_one_ten() {
    let begun_and = |kind: ErrorKind| {
        let pieces = [
            Ok(Bytes::from_static(b"1.0\n{")),
            Err(io::Error::from(kind)),
        ];
        Body::from_stream(stream::iter(pieces))
    };
    for (kind, tokens, reason) in [
        (ErrorKind::UnexpectedEof, 1, "cut_off"),
        (ErrorKind::ConnectionReset, 1, "cut_off"),
        (ErrorKind::BrokenPipe, 1, "cut_off"),
        (ErrorKind::InvalidData, 10, "bad_request"),
        (ErrorKind::InvalidInput, 10, "bad_request"),
    ] {
        let front = front(Duration::ZERO, 1_000_000);
        let reply = post(&front, STRANGER, "/client", begun_and(kind)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(paid(&front).await, tokens, "{kind}");
        assert_eq!(refusals(&front, "client_poll", reason), 1, "{kind}");
        for (path, request) in [("/proxy", "proxy_poll"), ("/answer", "proxy_answer")] {
            post(&front, STRANGER, path, begun_and(kind)).await;
            assert_eq!(refusals(&front, request, reason), 1, "{kind}");
        }
    }
}
