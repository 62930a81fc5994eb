//! The probe server, with proxies that reach it over the loopback. What NATs do to it is
//! tested in `src/probe/session/tests.rs`, and in `tests/real` with Debian's proxy.

mod proxy;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;
use std::{io, iter};

use axum::Router;
use axum::body::Body;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::exposition::Format;
use snowflake_broker::metrics::{GaugeSnapshot, Metrics};
use snowflake_broker::probe::{NatProbe, PortRange, ProbeSources, Settings};
use tokio::net::UdpSocket;
use tower::ServiceExt as _;

use crate::conformance_kit::{self as kit, Answered, Exchange, Section};
use crate::support::requests::Reply;
use crate::support::wait;
use crate::support::watched::WATCH;

use proxy::Proxy;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The header in which these requests name their sender.
const SENDER: &str = "test-sender";
const STRANGER: &str = "192.0.2.1";

/// A probe server.
struct Server {
    router: Router,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(settings: Settings) -> Self {
        Self::that_tells_strangers(true, settings)
    }

    fn that_tells_strangers(tells_strangers: bool, settings: Settings) -> Self {
        LazyLock::force(&WATCH);
        let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
        let settings = Settings {
            addresses: vec![HERE],
            ports: PortRange::new(1, u16::MAX).unwrap(),
            ..settings
        };
        let sources = ProbeSources {
            metrics: Arc::clone(&metrics),
            accounts: Accounts::new(Bounds::default()),
            sender: Box::new(|head| head.headers.get(SENDER)?.to_str().ok()?.parse().ok()),
            spawn: Box::new(|probe| drop(tokio::spawn(probe))),
            bind,
            may_send_to: |address| address.is_loopback(),
            tells_strangers,
            seed: 7,
        };
        Self {
            router: NatProbe::new(settings, sources).unwrap().router(),
            metrics,
        }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn post(&self, target: &str, sender: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(target).header(SENDER, sender);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The number of probes that ended so.
    fn ended(&self, mode: &str, outcome: &str) -> u64 {
        let series =
            format!("snowflake_broker_nat_probes_total{{mode=\"{mode}\",outcome=\"{outcome}\"}} ");
        let page = self
            .metrics
            .expose(&GaugeSnapshot::default(), None, Format::Text);
        let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
        values.next().unwrap().parse().unwrap()
    }

    async fn has_ended(&self, mode: &str, outcome: &str, count: u64) {
        wait::until("the probe ends", async || {
            Ok((self.ended(mode, outcome) == count).then_some(()))
        })
        .await
        .unwrap();
    }
}

/// Any port: tests run side by side, and so may other programs.
fn bind(_: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((HERE, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[tokio::test]
async fn a_proxy_that_takes_packets_of_strangers_is_open_in_both_modes() {
    let server = Server::new(Settings::default());
    for (target, mode) in [
        ("/probe", "strict"),
        ("/probe?InCoSim=strict", "strict"),
        ("/probe?InCoSim=moderate", "moderate"),
    ] {
        let before = server.ended(mode, "connected");
        let mut proxy = Proxy::new().await;
        let reply = server.post(target, STRANGER, proxy.offer()).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(reply.json()["Sid"], "stub-sid");
        assert_eq!(reply.body.contains("a=candidate"), mode == "moderate");
        assert!(proxy.is_reached(&reply.body).await, "{target}");
        server.has_ended(mode, "connected", before + 1).await;
    }
}

#[tokio::test]
async fn an_answer_comes_even_if_nothing_can_be_tried() {
    let server = Server::that_tells_strangers(false, Settings::default());
    let proxy = Proxy::new().await;
    let reply = server.post("/probe", STRANGER, proxy.offer()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.contains("stub-sid"));
    assert_eq!(server.ended("strict", "assumed"), 1);

    // A proxy without UDP has no candidate to be reached at.
    let offer = proxy.offer_without_candidates();
    let reply = server
        .post("/probe?InCoSim=moderate", STRANGER, offer)
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(server.ended("moderate", "not_connected"), 1);
}

#[tokio::test]
async fn what_is_no_request_for_a_probe_is_refused() {
    let server = Server::new(Settings::default());
    let offer = Proxy::new().await.offer();
    let no_offer = json!({ "Status": "no match", "Offer": "" }).to_string();
    let no_sdp = json!({ "Status": "client match", "Offer": r#"{"type":"offer","sdp":"x"}"# });
    let answer = offer.replacen("\\\"offer\\\"", "\\\"answer\\\"", 1);
    assert_ne!(answer, offer);
    let long = format!("{offer}{}", " ".repeat(100_001 - offer.len()));
    for body in [
        String::new(),
        "{}".to_owned(),
        no_offer,
        no_sdp.to_string(),
        answer,
        long,
    ] {
        let reply = server.post("/probe", STRANGER, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    let reply = server.post("/probe?InCoSim=open", STRANGER, offer).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.ended("strict", "bad_request"), 7);

    let request = Request::options("/probe").body(Body::empty()).unwrap();
    assert_eq!(server.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_that_opens_many_probes_leaves_room_for_others() {
    let server = Server::new(Settings {
        max_probes: 6,
        max_probes_per_address: 2,
        ..Settings::default()
    });
    // Nobody is there, so that these last.
    let offers: Vec<String> = iter::repeat_n(Proxy::new().await.offer(), 20).collect();
    let mut refused = 0;
    for offer in offers.clone() {
        let reply = server.post("/probe", STRANGER, offer).await;
        refused += usize::from(reply.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 18);
    assert_eq!(server.ended("strict", "limit"), 18);

    let mut honest = Proxy::new().await;
    let reply = server.post("/probe", "198.51.100.1", honest.offer()).await;
    assert!(honest.is_reached(&reply.body).await);
    server.has_ended("strict", "connected", 1).await;

    // Many addresses together are limited, too.
    for (number, offer) in offers.into_iter().enumerate() {
        let sender = format!("203.0.{number}.1");
        server.post("/probe", &sender, offer).await;
    }
    assert!(server.ended("strict", "overloaded") >= 16);
}

/// A server for `tests/conformance`.
#[derive(Clone)]
struct InProcess(Arc<Server>);

impl Exchange for InProcess {
    async fn send(&self, request: Request<String>) -> Result<Answered, String> {
        let reply = self.0.send(request.map(Body::from)).await;
        Ok(Answered {
            status: reply.status.as_u16(),
            headers: reply.headers,
            body: reply.body,
        })
    }
}

#[tokio::test]
async fn the_server_holds_to_the_protocol() {
    let section = Section::parse(include_str!("../conformance/nat-probe.toml")).unwrap();
    assert_eq!(section.server, kit::Server::NatProbe);
    for case in &section.cases {
        let server = InProcess(Arc::new(Server::new(Settings::default())));
        assert_eq!(kit::run(&server, case, "m").await, Ok(()), "{}", case.name);
    }
}
