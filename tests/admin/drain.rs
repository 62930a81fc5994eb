//! Draining at an operator's request.

use std::time::Duration;

use rustix::process::Signal;
use snowflake_broker::proto::admin::v1::broker_status::State;
use snowflake_broker::proto::admin::v1::{
    DrainRequest, GetStatusRequest, ResumeRequest, WatchStatusRequest,
};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::broker::{Broker, channel};
use crate::grpcurl::SERVICE;
use crate::load::{Load, NO_PROXIES};
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::{FOREVER, until};

/// The usual interval, in milliseconds.
const USUAL: u64 = 20_000;

fn seconds(seconds: i64) -> DrainRequest {
    DrainRequest {
        grace: Some(prost_types::Duration { seconds, nanos: 0 }),
    }
}

async fn health(broker: &Broker, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut client = HealthClient::new(channel(&broker.socket()).await);
    client.check(request).await.unwrap().into_inner().status()
}

async fn state(broker: &Broker) -> State {
    let mut client = broker.client().await;
    let status = client.get_status(GetStatusRequest {}).await.unwrap();
    status.into_inner().state()
}

#[tokio::test]
async fn a_drain_under_load_drops_nobody_and_ends_with_resume() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let default_bridge = "2B280B23E1107BB62ABFC40DDCC8824814F80A72".to_owned();
    let load = Load::start(broker.addr(), &[default_bridge]);
    until("clients are served", async || load.answered() > 50).await;
    load.take_met();

    client.drain(seconds(1)).await.unwrap();
    for service in ["", SERVICE] {
        until("its health says so", async || {
            health(&broker, service).await == ServingStatus::NotServing
        })
        .await;
    }
    until("nobody new is matched", async || {
        state(&broker).await == State::Draining
    })
    .await;
    // Some clients get their reply only now.
    until("all has been said", async || {
        let status = client
            .get_status(GetStatusRequest {})
            .await
            .unwrap()
            .into_inner();
        status.matched_clients == 0 && status.parked.is_empty()
    })
    .await;
    let met = load.take_met();
    assert!(
        met.errors.iter().all(|(_, error)| error == NO_PROXIES),
        "{met:?}"
    );
    assert!(
        met.intervals.iter().all(|interval| *interval == USUAL),
        "{met:?}"
    );
    let answered = load.answered();
    until("clients are turned away", async || {
        !load.take_met().errors.is_empty()
    })
    .await;
    until("proxies are turned away", async || {
        !load.take_met().intervals.is_empty()
    })
    .await;
    assert_eq!(load.answered(), answered);

    client.resume(ResumeRequest {}).await.unwrap();
    until("clients are served again", async || {
        load.answered() > answered + 50
    })
    .await;
    for service in ["", SERVICE] {
        until("its health says so", async || {
            health(&broker, service).await == ServingStatus::Serving
        })
        .await;
    }
    load.stop().await;
    broker.logs("admin: draining").await;
    broker.logs("admin: matching again").await;
}

/// Clients matched earlier have all of their time, and polls parked earlier still serve
/// clients during the grace period.
#[tokio::test]
async fn the_grace_is_for_who_waits_already() {
    let broker = Broker::start("").await;
    let mut admin = broker.client().await;
    let post = |path: &'static str, body: String| {
        let addr = broker.addr();
        tokio::spawn(async move {
            let mut peer = match path {
                "/client" => Peer::http2(addr).await,
                _ => Peer::http1(addr).await,
            };
            let (_, reply) = peer.post(path, body).await;
            serde_json::from_str::<serde_json::Value>(&reply).unwrap()
        })
    };
    let parked = async |count| {
        let mut admin = broker.client().await;
        let status = admin
            .get_status(GetStatusRequest {})
            .await
            .unwrap()
            .into_inner();
        status.parked.iter().map(|parked| parked.count).sum::<i64>() == count
    };
    let proxy = post("/proxy", proxy_poll("parked", "unrestricted"));
    until("a poll is parked", async || parked(1).await).await;
    admin.drain(seconds(3600)).await.unwrap();
    assert_eq!(state(&broker).await, State::LameDuck);

    let new = post("/proxy", proxy_poll("new", "unrestricted"))
        .await
        .unwrap();
    assert_eq!(
        (&new["Status"], &new["NextPoll"]),
        (&"no match".into(), &USUAL.into())
    );
    let client = post("/client", client_poll("x", "restricted"));
    assert_eq!(proxy.await.unwrap()["Status"], "client match");
    // A second drain replaces the grace of the first.
    admin.drain(seconds(0)).await.unwrap();
    until("the grace is over", async || {
        state(&broker).await == State::Draining
    })
    .await;
    let denied = post("/client", client_poll("y", "restricted"))
        .await
        .unwrap();
    assert_eq!(denied["error"], NO_PROXIES);
    let delivered = post("/answer", proxy_answer("parked", "hi")).await.unwrap();
    assert_eq!(delivered["Status"], "success");
    assert_eq!(client.await.unwrap()["answer"], answer("hi"));
}

/// After a resume, the end of the old grace period does not start draining.
#[tokio::test]
async fn a_drain_that_was_taken_back_does_not_come_after_all() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    client.drain(seconds(1)).await.unwrap();
    client.resume(ResumeRequest {}).await.unwrap();
    let watching = WatchStatusRequest {
        interval: Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000,
        }),
    };
    let statuses: Vec<_> = client
        .watch_status(watching)
        .await
        .unwrap()
        .into_inner()
        .take(8)
        .collect()
        .await;
    for status in statuses {
        assert_eq!(status.unwrap().state(), State::Serving);
    }
}

#[tokio::test]
async fn a_watch_of_the_health_tells_of_a_drain() {
    let broker = Broker::start("").await;
    let mut health = HealthClient::new(channel(&broker.socket()).await);
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut statuses = watch.into_inner();
    let mut next = async || {
        let next = timeout(FOREVER, statuses.next()).await;
        next.expect("nothing is told").unwrap().unwrap().status()
    };
    assert_eq!(next().await, ServingStatus::Serving);
    let mut client = broker.client().await;
    client.drain(seconds(60)).await.unwrap();
    assert_eq!(next().await, ServingStatus::NotServing);
    client.resume(ResumeRequest {}).await.unwrap();
    assert_eq!(next().await, ServingStatus::Serving);
}

/// Neither the drain's grace nor watchers delay the stop.
#[tokio::test]
async fn sigterm_ends_a_broker_that_drains() {
    let mut broker = Broker::start("[matching]\ndrain_grace = \"3s\"\n").await;
    let mut client = broker.client().await;
    client.drain(seconds(3600)).await.unwrap();
    let mut watch = client
        .watch_status(WatchStatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    broker.signal(Signal::TERM, "stopping").await;

    let mut peer = Peer::http1(broker.addr()).await;
    let (_, reply) = peer.post("/proxy", proxy_poll("a", "unrestricted")).await;
    let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
    let interval = reply["NextPoll"].as_u64().unwrap();
    assert!(
        (1_000..=3_000).contains(&interval),
        "a successor comes: {interval}"
    );
    drop(peer);
    let resumed = client.resume(ResumeRequest {}).await.unwrap_err();
    assert_eq!(resumed.code(), Code::FailedPrecondition, "{resumed}");
    assert_eq!(health(&broker, "").await, ServingStatus::NotServing);

    let ended = timeout(Duration::from_secs(20), broker.end()).await;
    let status = ended.expect("it does not end");
    assert!(status.success(), "{status}\n{}", broker.log());
    while let Some(Ok(_)) = timeout(FOREVER, watch.next()).await.unwrap() {}
    assert!(!broker.socket().exists(), "the socket is left behind");
}

#[tokio::test]
async fn a_grace_of_more_than_an_hour_is_refused() {
    let broker = Broker::start("").await;
    for wrong in [3601, -1] {
        let refused = broker
            .client()
            .await
            .drain(seconds(wrong))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with("grace: "), "{refused}");
    }
    assert_eq!(state(&broker).await, State::Serving);
}
