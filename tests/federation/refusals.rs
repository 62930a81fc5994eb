//! Refusals by a lender, and their reasons.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use snowflake_broker::federation::Settings;
use snowflake_broker::matching;
use snowflake_broker::proto::federation::v1;
use snowflake_broker::proto::federation::v1::federation_client::FederationClient;
use snowflake_broker::proto::federation::v1::match_offer_response::Outcome;
use snowflake_broker::proto::federation::v1::refused::Reason;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::network::Network;
use crate::node::{Node, peers};
use crate::support::messages::{answer, offer};

type Client = FederationClient<Channel>;

fn request() -> v1::MatchOfferRequest {
    v1::MatchOfferRequest {
        offer: offer("c"),
        nat: v1::Nat::Restricted.into(),
        fingerprint: hex::decode("2B280B23E1107BB62ABFC40DDCC8824814F80A72").unwrap(),
        rendezvous: v1::Rendezvous::Http.into(),
        attempt: 1,
        ..v1::MatchOfferRequest::default()
    }
}

/// A call with five seconds of time.
fn timed(message: v1::MatchOfferRequest) -> Request<v1::MatchOfferRequest> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(5));
    request
}

async fn ask(client: &mut Client, message: v1::MatchOfferRequest) -> Outcome {
    let response = client.match_offer(timed(message)).await.unwrap();
    response.into_inner().outcome.unwrap()
}

fn refused(reason: Reason) -> Outcome {
    Outcome::Refused(v1::Refused {
        reason: reason.into(),
    })
}

/// The broker b, and a client that calls it under the name of a.
async fn lender(network: &Network, settings: &Settings) -> (Node, Client) {
    let b = Node::start(network, "b.example", settings);
    let client = FederationClient::new(network.channel("a.example", "b.example").await);
    (b, client)
}

#[tokio::test(start_paused = true)]
async fn who_is_no_peer_gets_nothing() {
    let network = Network::default();
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let mut stranger = FederationClient::new(network.channel("x.example", "b.example").await);
    let offered = stranger.match_offer(request()).await.unwrap_err();
    let watched = stranger.watch_supply(v1::WatchSupplyRequest {}).await;
    for status in [offered, watched.unwrap_err()] {
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("certificate"), "{status:?}");
    }
    // A removed peer is refused at its next call.
    let mut a = FederationClient::new(network.channel("a.example", "b.example").await);
    assert_eq!(
        ask(&mut a, request()).await,
        Outcome::NoProxies(v1::NoProxies {})
    );
    b.configure(&peers(&["c.example"]));
    let status = a.match_offer(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn malformed_offers_are_refused_and_the_next_is_served() {
    let network = Network::default();
    let (b, mut a) = lender(&network, &peers(&["a.example"])).await;
    let good = request();
    for malformed in [
        v1::MatchOfferRequest {
            offer: "rubbish".to_owned(),
            ..good.clone()
        },
        v1::MatchOfferRequest {
            fingerprint: vec![1, 2, 3],
            ..good.clone()
        },
        v1::MatchOfferRequest {
            attempt: 0,
            ..good.clone()
        },
    ] {
        assert_eq!(ask(&mut a, malformed).await, refused(Reason::Malformed));
    }
    for length in [20, 32] {
        let unknown = v1::MatchOfferRequest {
            fingerprint: vec![1; length],
            ..good.clone()
        };
        assert_eq!(ask(&mut a, unknown).await, refused(Reason::UnknownBridge));
    }
    let huge = v1::MatchOfferRequest {
        offer: "x".repeat(10_000_000),
        ..good.clone()
    };
    let status = a.match_offer(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let _proxy = b.proxy("p");
    sleep(Duration::from_millis(10)).await;
    let expected = Outcome::Answer(v1::Answer {
        answer: answer("p"),
    });
    assert_eq!(ask(&mut a, good).await, expected);
    for (reason, count) in [("malformed", 3), ("unknown_bridge", 2)] {
        let labels = [&*format!("reason=\"{reason}\"")];
        let counted = b.count("snowflake_broker_peer_lending_refused_total", &labels);
        assert_eq!(counted, count, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn values_of_a_newer_version_are_taken_for_the_worst_case() {
    let network = Network::default();
    let (b, mut a) = lender(&network, &peers(&["a.example"])).await;
    let _proxy = b.proxy("p");
    sleep(Duration::from_millis(10)).await;
    let newer = v1::MatchOfferRequest {
        nat: 4711,
        rendezvous: 4711,
        ..request()
    };
    let expected = Outcome::Answer(v1::Answer {
        answer: answer("p"),
    });
    assert_eq!(ask(&mut a, newer).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_over_its_rate_is_refused_and_others_are_not() {
    let network = Network::default();
    let mut settings = peers(&["a.example", "c.example"]);
    settings.peers[0].max_per_second = 3.try_into().unwrap();
    let (b, mut a) = lender(&network, &settings).await;
    let none = Outcome::NoProxies(v1::NoProxies {});
    for _ in 0..3 {
        assert_eq!(ask(&mut a, request()).await, none);
    }
    assert_eq!(ask(&mut a, request()).await, refused(Reason::OverRate));
    let mut c = FederationClient::new(network.channel("c.example", "b.example").await);
    for _ in 0..10 {
        assert_eq!(ask(&mut c, request()).await, none);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&mut a, request()).await, none);
    let labels = ["peer=\"a.example\"", "reason=\"over_rate\""];
    assert_eq!(
        b.count("snowflake_broker_peer_lending_refused_total", &labels),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_so_many_in_flight_at_most() {
    let network = Network::default();
    let mut settings = peers(&["a.example"]);
    settings.peers[0].max_in_flight = 2;
    let (b, mut a) = lender(&network, &settings).await;
    let silent = ["1", "2", "3"].map(|sid| b.silent_proxy(sid));
    sleep(Duration::from_millis(10)).await;
    let mut calls = Vec::new();
    for _ in 0..2 {
        let mut a = a.clone();
        calls.push(tokio::spawn(async move { ask(&mut a, request()).await }));
    }
    sleep(Duration::from_millis(10)).await;
    let too_many = refused(Reason::TooManyInFlight);
    assert_eq!(ask(&mut a, request()).await, too_many);
    // A cancelled call makes room.
    calls.pop().unwrap().abort();
    sleep(Duration::from_millis(10)).await;
    let timed_out = Outcome::TimedOut(v1::TimedOut {});
    assert_eq!(ask(&mut a, request()).await, timed_out);
    assert_eq!(calls.pop().unwrap().await.unwrap(), timed_out);
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_lender_that_stops_or_does_not_lend_says_so() {
    let network = Network::default();
    let mut settings = peers(&["a.example"]);
    let (b, mut a) = lender(&network, &settings).await;
    b.broker.control().start_lame_duck();
    assert_eq!(ask(&mut a, request()).await, refused(Reason::Draining));
    b.broker.control().start_draining();
    assert_eq!(ask(&mut a, request()).await, refused(Reason::Draining));
    b.broker.control().resume();
    settings.peers[0].lend = false;
    b.configure(&settings);
    assert_eq!(ask(&mut a, request()).await, refused(Reason::NotLending));
}

#[tokio::test(start_paused = true)]
async fn a_borrower_that_is_refused_asks_less_and_serves_its_clients() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["b.example"]));
    let mut settings = peers(&["a.example"]);
    settings.peers[0].max_per_second = 1.try_into().unwrap();
    let b = Node::start(&network, "b.example", &settings);
    let _proxies = ["1", "2", "3"].map(|sid| b.proxy(sid));
    a.sees_proxies("b.example", 3).await;
    assert!(a.client("first").await.is_ok());
    assert_eq!(a.client("second").await, Err(NoAnswer::NoProxies));
    let labels = ["reason=\"over_rate\""];
    let refusals =
        |node: &Node| node.count("snowflake_broker_peer_borrowing_refused_total", &labels);
    assert_eq!(refusals(&a), 1);
    assert_eq!(
        a.peer("b.example").problem.as_deref(),
        Some("it does not take an offer: over_rate")
    );
    sleep(Duration::from_secs(1)).await;
    assert!(a.client("third").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lender_with_too_many_clients_refuses_others() {
    let network = Network::default();
    let full = matching::Settings {
        max_matched_clients: 1,
        ..matching::Settings::default()
    };
    let b = Node::with(&network, "b.example", &peers(&["a.example"]), full);
    let mut a: Client = FederationClient::new(network.channel("a.example", "b.example").await);
    let _silent = ["1", "2"].map(|sid| b.silent_proxy(sid));
    sleep(Duration::from_millis(10)).await;
    let _client = b.begin_client("own");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ask(&mut a, request()).await, refused(Reason::Overloaded));
}

#[tokio::test(start_paused = true)]
async fn an_offer_without_time_is_refused() {
    let network = Network::default();
    let (b, mut a) = lender(&network, &peers(&["a.example"])).await;
    let _proxy = b.proxy("p");
    let mut late = Request::new(request());
    late.set_timeout(Duration::from_millis(10));
    let response = a.match_offer(late).await.unwrap().into_inner();
    assert_eq!(response.outcome, Some(refused(Reason::NoTimeLeft)));
}
