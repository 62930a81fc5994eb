//! The shares of sources: changed at runtime, and how they are used.

use std::net::SocketAddr;

use serde_json::Value;
use snowflake_broker::proto::admin::v1::{
    GetSourceDistributionRequest, NetworkShare, SetSupplyRequest, SourceDistribution, Supply,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::broker::Broker;
use crate::settings::{setting, wrong_fields};
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::until;

/// This machine is a reverse proxy, so that polls have sources.
pub(crate) const BEHIND_A_PROXY: &str = "[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
    [matching]\nproxy_timeout = \"5m\"\n";
pub(crate) const FIRST: &str = "5.9.0.1";
pub(crate) const SECOND: &str = "5.9.1.1";

/// The body of the response to a request that comes from this address.
pub(crate) async fn post(addr: SocketAddr, from: &str, path: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: broker\r\nX-Forwarded-For: {from}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

pub(crate) fn start_poll(broker: &Broker, from: &'static str, sid: &str) -> JoinHandle<Value> {
    let (addr, body) = (broker.addr(), proxy_poll(sid, "unrestricted"));
    tokio::spawn(async move {
        let reply = post(addr, from, "/proxy", &body).await;
        serde_json::from_str(&reply).unwrap()
    })
}

async fn distribution(broker: &Broker, tops: &[u32]) -> Result<SourceDistribution, tonic::Status> {
    let request = GetSourceDistributionRequest {
        tops: tops.to_vec(),
    };
    let mut client = broker.client().await;
    Ok(client.get_source_distribution(request).await?.into_inner())
}

pub(crate) async fn polls(broker: &Broker) -> i64 {
    let distribution = distribution(broker, &[]).await.unwrap();
    distribution.polls.unwrap().total_count
}

#[tokio::test]
async fn shares_change_at_once() {
    let broker = Broker::start(BEHIND_A_PROXY).await;
    let mut client = broker.client().await;
    let request = |supply| SetSupplyRequest {
        supply: Some(supply),
        ..SetSupplyRequest::default()
    };
    let asked = request(Supply {
        parked_per_source: Some(1),
        networks: vec![NetworkShare {
            network: "5.9.1.0/24".to_owned(),
            share: 2,
        }],
        ..Supply::default()
    });
    let only_checked = SetSupplyRequest {
        validate_only: true,
        ..asked.clone()
    };
    for (asked, expected) in [(only_checked, "64"), (asked, "1")] {
        let told = client.set_supply(asked).await.unwrap().into_inner();
        assert_eq!(
            (told.parked_per_source, told.unanswered),
            (Some(1), Some(8))
        );
        let (value, _) = setting(&broker, "supply.parked_per_source").await;
        assert_eq!(value, expected);
    }
    let (networks, source) = setting(&broker, "supply.networks").await;
    assert_eq!(networks.trim(), "{ \"5.9.1.0/24\" = 2 }");
    assert_eq!(source, "admin");

    let first = start_poll(&broker, FIRST, "a");
    until("it is parked", async || polls(&broker).await == 1).await;
    let refused = start_poll(&broker, FIRST, "b").await.unwrap();
    assert_eq!(refused["Status"], "no match");
    assert_eq!(refused["NextPoll"], 120_000);
    let others = ["c", "d"].map(|sid| start_poll(&broker, SECOND, sid));
    until("all have come", async || polls(&broker).await == 4).await;
    let refused = start_poll(&broker, SECOND, "e").await.unwrap();
    assert_eq!(refused["Status"], "no match");
    assert!(!first.is_finished() && others.iter().all(|poll| !poll.is_finished()));

    let wrong = request(Supply {
        unanswered: Some(u32::MAX),
        networks: vec![NetworkShare::default()],
        ..Supply::default()
    });
    let refused = client.set_supply(wrong).await.unwrap_err();
    let fields = wrong_fields(&refused);
    assert_eq!(fields, ["supply.networks", "supply.unanswered"]);
}

#[tokio::test]
async fn the_sources_with_most_are_summed_up_and_not_named() {
    let broker = Broker::start(BEHIND_A_PROXY).await;
    let polls_of = |from: &'static str, sids: &[&str]| {
        let started = sids.iter().map(|sid| start_poll(&broker, from, sid));
        started.collect::<Vec<_>>()
    };
    let mut first = polls_of(FIRST, &["a"]);
    until("one has come", async || polls(&broker).await == 1).await;
    let (addr, offer) = (broker.addr(), client_poll("x", "restricted"));
    let client = tokio::spawn(async move { post(addr, SECOND, "/client", &offer).await });
    let matched = first.pop().unwrap().await.unwrap();
    assert_eq!(matched["Status"], "client match");
    post(addr, FIRST, "/answer", &proxy_answer("a", "y")).await;
    client.await.unwrap();
    let _parked = [polls_of(FIRST, &["b", "c"]), polls_of(SECOND, &["d"])];
    until("all have come", async || polls(&broker).await == 4).await;

    let told = distribution(&broker, &[1, 2]).await.unwrap();
    for (act, total, sources, top) in [
        (&told.polls, 4, 2, 0.75),
        (&told.matches, 1, 1, 1.0),
        (&told.answers, 1, 1, 1.0),
    ] {
        let act = act.as_ref().unwrap();
        assert_eq!((act.total_count, act.source_count), (total, sources));
        let shares: Vec<_> = act
            .top
            .iter()
            .map(|top| (top.source_count, top.share))
            .collect();
        assert_eq!(shares, [(1, top), (2, 1.0)]);
    }
    let tops = |tops: Vec<u32>| {
        let broker = &broker;
        async move { distribution(broker, &tops).await.unwrap_err() }
    };
    for wrong in [vec![0], vec![1_000_001], vec![1; 11]] {
        let refused = tops(wrong).await;
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(wrong_fields(&refused), ["tops"]);
    }
}
