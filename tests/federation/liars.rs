//! Peers that do not do what they claim.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use snowflake_broker::broker::NoAnswer;
use snowflake_broker::matching;
use snowflake_broker::metrics::labels::CircuitState;
use snowflake_broker::proto::federation::v1;
use snowflake_broker::proto::federation::v1::federation_server::{Federation, FederationServer};
use snowflake_broker::proto::federation::v1::match_offer_response::Outcome;
use snowflake_broker::proto::federation::v1::supply::State;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tokio_stream::Stream;
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::network::Network;
use crate::node::{Node, peers};
use crate::support::in_process::Stopwatch;
use crate::support::messages::answer;

/// The bytes of the default bridge's fingerprint.
const DEFAULT_BRIDGE: [u8; 20] = [
    0x2B, 0x28, 0x0B, 0x23, 0xE1, 0x10, 0x7B, 0xB6, 0x2A, 0xBF, 0xC4, 0x0D, 0xDC, 0xC8, 0x82, 0x48,
    0x14, 0xF8, 0x0A, 0x72,
];

/// The behavior of a lender that claims to have a hundred proxies.
#[derive(Clone, Copy)]
enum Lie {
    /// It never replies.
    Silent,
    /// It replies that it has none.
    NoProxies,
    /// Its reply is empty.
    Nothing,
    /// Its answer is not a session description.
    Rubbish,
    /// Its answer has ten megabytes.
    Huge,
    /// It refuses for an unknown reason.
    NewReason,
    /// It fails.
    Error,
}

#[tonic::async_trait]
impl Federation for Lie {
    type WatchSupplyStream = Pin<Box<dyn Stream<Item = Result<v1::Supply, Status>> + Send>>;

    async fn watch_supply(
        &self,
        _: Request<v1::WatchSupplyRequest>,
    ) -> Result<Response<Self::WatchSupplyStream>, Status> {
        let supply = v1::Supply {
            state: State::Lending.into(),
            pools: vec![v1::PoolSupply {
                pool: v1::Pool::Open.into(),
                proxies: 100,
            }],
            bridges: Some(v1::Bridges {
                fingerprints: vec![DEFAULT_BRIDGE.to_vec(), vec![1, 2, 3]],
            }),
            ..v1::Supply::default()
        };
        let beats = IntervalStream::new(interval(Duration::from_millis(200)));
        let reports = beats.map(move |_| Ok(supply.clone()));
        Ok(Response::new(Box::pin(reports)))
    }

    async fn match_offer(
        &self,
        _: Request<v1::MatchOfferRequest>,
    ) -> Result<Response<v1::MatchOfferResponse>, Status> {
        let answer = |answer: String| Some(Outcome::Answer(v1::Answer { answer }));
        let outcome = match self {
            Self::Silent => std::future::pending().await,
            Self::NoProxies => Some(Outcome::NoProxies(v1::NoProxies {})),
            Self::Nothing => None,
            Self::Rubbish => answer("rubbish".to_owned()),
            Self::Huge => answer(format!(
                r#"{{"type":"answer","sdp":"{}"}}"#,
                "x".repeat(10_000_000)
            )),
            Self::NewReason => Some(Outcome::Refused(v1::Refused { reason: 4711 })),
            Self::Error => return Err(Status::internal("no way from 192.0.2.7\n")),
        };
        Ok(Response::new(v1::MatchOfferResponse { outcome }))
    }
}

/// Lies under this name until aborted.
fn lie(network: &Network, name: &str, lie: Lie) -> JoinHandle<()> {
    let incoming = network.listen(name);
    tokio::spawn(async move {
        let server = Server::builder().add_service(FederationServer::new(lie));
        server.serve_with_incoming(incoming).await.unwrap();
    })
}

#[tokio::test(start_paused = true)]
async fn lies_cost_no_client_its_answer_if_anybody_else_has_one() {
    for what in [
        Lie::NoProxies,
        Lie::Nothing,
        Lie::Rubbish,
        Lie::Huge,
        Lie::NewReason,
        Lie::Error,
    ] {
        let network = Network::default();
        let a = Node::start(
            &network,
            "a.example",
            &peers(&["b.example", "liar.example"]),
        );
        let b = Node::start(&network, "b.example", &peers(&["a.example"]));
        let _liar = lie(&network, "liar.example", what);
        a.sees_proxies("liar.example", 100).await;
        for number in 0..10 {
            let sid = number.to_string();
            let _proxy = b.proxy(&sid);
            a.sees_proxies("b.example", 1).await;
            assert_eq!(a.client("c").await, Ok(answer(&sid)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_fails_is_left_alone_and_tried_again() {
    let network = Network::default();
    // Nothing waits for a proxy here, so everything happens at once.
    let impatient = matching::Settings {
        client_queue_wait: Duration::ZERO,
        ..matching::Settings::default()
    };
    let a = Node::with(&network, "a.example", &peers(&["liar.example"]), impatient);
    let liar = lie(&network, "liar.example", Lie::Error);
    a.sees_proxies("liar.example", 100).await;
    for _ in 0..5 {
        let began = Stopwatch::start();
        assert_eq!(a.client("c").await, Err(NoAnswer::TimedOut));
        assert!(began.elapsed() <= matching::Settings::default().client_timeout);
    }
    let seen = a.peer("liar.example");
    assert_eq!(seen.figures.circuit, CircuitState::Open);
    let problem = seen.problem.unwrap();
    assert!(problem.contains("no way from [scrubbed]"), "{problem}");
    let failed = ["outcome=\"failed\""];
    assert_eq!(a.count("snowflake_broker_peer_borrowed_total", &failed), 5);
    // No peer is asked in vain.
    assert_eq!(a.client("c").await, Err(NoAnswer::NoProxies));

    liar.abort();
    network.kill("liar.example");
    let honest = Node::start(&network, "liar.example", &peers(&["a.example"]));
    let _proxy = honest.proxy("p");
    a.sees_proxies("liar.example", 1).await;
    assert_eq!(
        a.peer("liar.example").figures.circuit,
        CircuitState::HalfOpen
    );
    assert_eq!(a.client("c").await, Ok(answer("p")));
    assert_eq!(a.peer("liar.example").figures.circuit, CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn silence_costs_some_clients_a_moment_and_then_nobody_anything() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["liar.example"]));
    let _liar = lie(&network, "liar.example", Lie::Silent);
    a.sees_proxies("liar.example", 100).await;
    let mut waited = Vec::new();
    for number in 0..10 {
        let began = Stopwatch::start();
        let client = a.begin_client("c");
        sleep(Duration::from_millis(500)).await;
        let sid = number.to_string();
        let _proxy = a.proxy(&sid);
        assert_eq!(client.await.unwrap(), Ok(answer(&sid)));
        waited.push(began.elapsed());
    }
    let is_slow = |wait: &&Duration| **wait > Duration::from_secs(1);
    assert!(waited[..5].iter().all(|wait| is_slow(&wait)), "{waited:?}");
    let trials = waited[5..].iter().filter(is_slow).count();
    assert!(trials <= 2, "{waited:?}");
    let most = matching::Settings::default().rematch_after + Duration::from_millis(500);
    assert!(waited.iter().all(|wait| *wait <= most), "{waited:?}");
    assert_eq!(a.peer("liar.example").borrowing, 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_report_counts_as_nothing() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["mute.example"]));
    let incoming = network.listen("mute.example");
    let _mute = tokio::spawn(async move {
        let mute = SaysItOnce::default();
        let server = Server::builder().add_service(FederationServer::new(mute));
        server.serve_with_incoming(incoming).await.unwrap();
    });
    a.sees_proxies("mute.example", 100).await;
    let age = a.peer("mute.example").supply_age.unwrap();
    sleep(Duration::from_secs(14).saturating_sub(age)).await;
    a.sees_proxies("mute.example", 100).await;
    sleep(Duration::from_secs(2)).await;
    let shown: usize = a.peer("mute.example").figures.supply.iter().sum();
    assert_eq!(shown, 0);
    assert_eq!(a.client("c").await, Err(NoAnswer::NoProxies));
}

/// Reports its supply once, and nothing after that, not even over another connection.
#[derive(Default)]
struct SaysItOnce(AtomicBool);

#[tonic::async_trait]
impl Federation for SaysItOnce {
    type WatchSupplyStream = Pin<Box<dyn Stream<Item = Result<v1::Supply, Status>> + Send>>;

    async fn watch_supply(
        &self,
        request: Request<v1::WatchSupplyRequest>,
    ) -> Result<Response<Self::WatchSupplyStream>, Status> {
        let is_first = !self.0.swap(true, Ordering::Relaxed);
        let reports = Lie::Silent.watch_supply(request).await?.into_inner();
        let once = reports.take(is_first.into()).chain(stream::pending());
        Ok(Response::new(Box::pin(once)))
    }

    async fn match_offer(
        &self,
        request: Request<v1::MatchOfferRequest>,
    ) -> Result<Response<v1::MatchOfferResponse>, Status> {
        Lie::Silent.match_offer(request).await
    }
}
