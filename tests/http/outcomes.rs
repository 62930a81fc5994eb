//! The broker learns which proxies work from clients that come back.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde_json::json;
use snowflake_broker::listener::RemoteAddress;
use snowflake_broker::outcomes;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::front;
use crate::support::front::{Front, SECOND_BRIDGE};
use crate::support::messages::{proxy_answer, proxy_poll};
use crate::support::requests::Reply;

/// Sends a request from an address of this number.
pub(crate) async fn send(
    front: Arc<Front>,
    path: &'static str,
    address: u8,
    body: String,
) -> Reply {
    let remote = RemoteAddress(([5, 1, 0, address], 1).into());
    let request = Request::post(path).extension(remote);
    front.send(request.body(body.into()).unwrap()).await
}

pub(crate) async fn begin(
    front: &Arc<Front>,
    path: &'static str,
    address: u8,
    body: String,
) -> JoinHandle<Reply> {
    let request = tokio::spawn(send(Arc::clone(front), path, address, body));
    sleep(Duration::from_millis(1)).await;
    request
}

/// The body of a client's poll whose offer has this number.
pub(crate) fn offer(number: u64, fingerprint: &str) -> String {
    let sdp = format!("v=0\r\na=ice-ufrag:u{number}\r\n");
    let offer = json!({"type": "offer", "sdp": sdp}).to_string();
    let body = json!({"offer": offer, "nat": "restricted", "fingerprint": fingerprint});
    format!("1.0\n{body}")
}

pub(crate) const DEFAULT_BRIDGE: &str = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";

/// A client of this address is matched with a proxy of that one, which answers.
pub(crate) async fn serve(front: &Arc<Front>, client: u8, proxy: u8, number: u64) {
    serve_for(front, client, proxy, number, DEFAULT_BRIDGE).await;
}

async fn serve_for(front: &Arc<Front>, client: u8, proxy: u8, number: u64, bridge: &str) {
    let sid = format!("{proxy} {number}");
    let poll = begin(front, "/proxy", proxy, proxy_poll(&sid, "open")).await;
    let client = begin(front, "/client", client, offer(number, bridge)).await;
    assert_eq!(poll.await.unwrap().json()["Status"], "client match");
    send(
        Arc::clone(front),
        "/answer",
        proxy,
        proxy_answer(&sid, "hi"),
    )
    .await;
    client.await.unwrap();
}

/// A client of this address is matched with a proxy of that one, which does not answer.
pub(crate) async fn wait_in_vain(front: &Arc<Front>, client: u8, proxy: u8, number: u64) {
    let sid = format!("{proxy} {number}");
    let poll = begin(front, "/proxy", proxy, proxy_poll(&sid, "open")).await;
    let client = begin(front, "/client", client, offer(number, DEFAULT_BRIDGE)).await;
    assert_eq!(poll.await.unwrap().json()["Status"], "client match");
    client.await.unwrap();
}

/// The addresses of the proxies that get the next clients, of these that poll one after the
/// other.
async fn order(front: &Arc<Front>, proxies: &[u8]) -> Vec<u8> {
    let mut polls = Vec::new();
    for &proxy in proxies {
        let sid = format!("last of {proxy}");
        let poll = begin(front, "/proxy", proxy, proxy_poll(&sid, "open")).await;
        polls.push((proxy, poll));
    }
    let mut order = Vec::new();
    for number in 0..proxies.len() as u64 {
        let body = offer(1_000_000 + number, DEFAULT_BRIDGE);
        let _client = begin(front, "/client", 200, body).await;
        let (done, left): (Vec<_>, Vec<_>) =
            polls.into_iter().partition(|(_, poll)| poll.is_finished());
        polls = left;
        order.extend(done.into_iter().map(|(proxy, _)| proxy));
    }
    order
}

fn outcomes(front: &Front) -> [u64; 4] {
    ["worked", "failed", "unknown", "unanswered"].map(|outcome| {
        let outcome = format!("outcome=\"{outcome}\"");
        let family = "snowflake_broker_match_outcomes_total";
        front.count(family, &["client=\"strict\"", "proxy=\"open\"", &outcome])
    })
}

pub(crate) const PAUSE: Duration = Duration::from_secs(150);
pub(crate) const RETURN: Duration = Duration::from_secs(20);

/// Proxy 1 answers and never connects, 2 serves; each has five clients.
async fn learn(front: &Arc<Front>) {
    let mut number = 0;
    for client in 10..15 {
        serve(front, client, 1, number).await;
        sleep(RETURN).await;
        serve(front, client, 2, number + 1).await;
        number += 2;
        sleep(PAUSE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn proxies_whose_clients_come_back_are_last() {
    let front = front();
    learn(&front).await;
    // The last one is counted with the next request.
    front.broker.control().outcome_totals();
    assert_eq!(outcomes(&front), [5, 5, 0, 0]);
    assert_eq!(order(&front, &[1, 3, 2]).await, [2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_only_counted_if_that_is_set() {
    let front = front();
    front.broker.control().set_outcomes(outcomes::Settings {
        learn: false,
        ..outcomes::Settings::default()
    });
    learn(&front).await;
    front.broker.control().outcome_totals();
    assert_eq!(self::outcomes(&front), [5, 5, 0, 0]);
    assert_eq!(order(&front, &[1, 3, 2]).await, [1, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_three_clients_rests() {
    let front = front();
    for client in 10..13 {
        wait_in_vain(&front, client, 1, client.into()).await;
        sleep(RETURN).await;
    }
    assert_eq!(outcomes(&front), [0, 0, 0, 3]);
    // Else it would be the last one there, which does not rest.
    let _other = begin(&front, "/proxy", 2, proxy_poll("other", "open")).await;
    let poll = || send(Arc::clone(&front), "/proxy", 1, proxy_poll("x", "open"));
    assert_eq!(poll().await.json()["Status"], "no match");
    let rests = ["reason=\"source_resting\""];
    assert_eq!(front.count("snowflake_broker_refusals_total", &rests), 1);
    sleep(Duration::from_mins(2)).await;
    serve(&front, 20, 1, 20).await;
}

/// Tor Browser has two clients at once, for two bridges.
#[tokio::test(start_paused = true)]
async fn two_clients_of_one_address_for_two_bridges_are_told_apart() {
    let front = front();
    serve_for(&front, 10, 1, 1, DEFAULT_BRIDGE).await;
    serve_for(&front, 10, 1, 2, SECOND_BRIDGE).await;
    sleep(PAUSE).await;
    front.broker.control().outcome_totals();
    assert_eq!(outcomes(&front), [2, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_known_again_across_the_change_of_the_key() {
    let front = front();
    sleep(Duration::from_secs(3_590)).await;
    serve(&front, 10, 1, 1).await;
    sleep(RETURN).await;
    serve(&front, 10, 1, 2).await;
    assert_eq!(outcomes(&front), [0, 1, 0, 0]);
}

/// Whoever shares an address with many clients says nothing by coming.
#[tokio::test(start_paused = true)]
async fn of_many_clients_behind_one_address_nothing_is_known() {
    let front = front();
    for number in 0..5 {
        serve(&front, 10, 1, number).await;
        sleep(Duration::from_secs(2)).await;
    }
    sleep(PAUSE).await;
    front.broker.control().outcome_totals();
    let totals = front.broker.control().outcome_totals();
    assert_eq!((totals.answered, totals.unknown), (5, 5));
}

/// The key of the hashes has changed.
#[tokio::test(start_paused = true)]
async fn a_day_later_all_sources_are_unknown() {
    let front = front();
    learn(&front).await;
    sleep(Duration::from_hours(23)).await;
    assert_eq!(order(&front, &[1, 3, 2]).await, [2, 3, 1]);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(order(&front, &[1, 3, 2]).await, [1, 3, 2]);
}
