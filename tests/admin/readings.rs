//! Data for viewers: status, parked polls, and the metrics block.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use snowflake_broker::proto::admin::v1::{
    GetStatsRequest, GetStatusRequest, ListParkedPollsRequest, ParkedPoll, Pool,
};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::broker::Broker;
use crate::load::Load;
use crate::support::messages::{client_poll, proxy_poll};
use crate::support::peer::Peer;
use crate::until;

const SID: &str = "known-to-nobody-else";

/// A poll in the background.
fn start_poll(broker: &Broker, body: String) -> JoinHandle<String> {
    let addr = broker.addr();
    tokio::spawn(async move { Peer::http1(addr).await.post("/proxy", body).await.1 })
}

async fn parked(broker: &Broker) -> i64 {
    let mut client = broker.client().await;
    let status = client.get_status(GetStatusRequest {}).await.unwrap();
    status
        .into_inner()
        .parked
        .iter()
        .map(|parked| parked.count)
        .sum()
}

async fn listed(broker: &Broker, filter: &str) -> Result<Vec<ParkedPoll>, tonic::Status> {
    let request = ListParkedPollsRequest {
        filter: filter.to_owned(),
        ..ListParkedPollsRequest::default()
    };
    let listed = broker.client().await.list_parked_polls(request).await?;
    Ok(listed.into_inner().parked_polls)
}

/// A poll of a `webext` proxy with this many clients.
fn webext(number: u64) -> String {
    json!({
        "Sid": format!("{SID} {number}"), "Version": "1.3",
        "Type": "webext", "NAT": "restricted", "Clients": number,
    })
    .to_string()
}

#[tokio::test]
async fn parked_polls_are_listed_without_what_names_their_proxies() {
    let broker = Broker::start("[matching]\nproxy_timeout = \"1m\"\n").await;
    let mut polls = vec![start_poll(&broker, proxy_poll(SID, "unrestricted"))];
    until("the first is parked", async || parked(&broker).await == 1).await;
    for number in 0..5 {
        polls.push(start_poll(&broker, webext(number)));
        let count = i64::try_from(polls.len()).unwrap();
        until("it is parked", async || parked(&broker).await == count).await;
    }

    let all = listed(&broker, "").await.unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(
        (&*all[0].r#type, &*all[0].nat),
        ("standalone", "unrestricted")
    );
    assert_eq!(all[0].pool(), Pool::Open);
    assert_eq!(all[0].country, "??");
    // In the order in which they were parked. The times waited may differ from it: a
    // request's time begins before the poll is read.
    let clients: Vec<u64> = all[1..].iter().map(|poll| poll.clients).collect();
    assert_eq!(clients, [0, 1, 2, 3, 4]);
    for (filter, count) in [
        ("pool = open", 1),
        ("type = webext AND clients >= 3", 2),
        ("nat != unrestricted AND country = ?? AND waiting < 50s", 5),
        ("waiting > 55s", 0),
    ] {
        assert_eq!(
            listed(&broker, filter).await.unwrap().len(),
            count,
            "{filter}"
        );
    }

    let mut pages = Vec::new();
    let mut request = ListParkedPollsRequest {
        filter: "type = webext".to_owned(),
        page_size: 2,
        ..ListParkedPollsRequest::default()
    };
    let mut client = broker.client().await;
    loop {
        let page = client
            .list_parked_polls(request.clone())
            .await
            .unwrap()
            .into_inner();
        pages.push(page.parked_polls);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let served: BTreeSet<u64> = pages.concat().iter().map(|poll| poll.clients).collect();
    assert_eq!(served.len(), 5);

    let text = broker
        .grpcurl()
        .call("ListParkedPolls", "{}")
        .await
        .unwrap()
        .to_string();
    for secret in [SID, "127.0.0.1"] {
        assert!(
            !text.contains(secret) && !broker.log_of_calls().contains(secret),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_wrong_page_or_filter_is_refused_by_its_name() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    for (filter, page_size, page_token, field) in [
        ("colour = red", 0, "", "filter"),
        ("pool = open OR pool = strict", 0, "", "filter"),
        ("", -1, "", "page_size"),
        ("", 0, "tomorrow", "page_token"),
    ] {
        let request = ListParkedPollsRequest {
            filter: filter.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let refused = client.list_parked_polls(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with(field), "{refused}");
    }
}

#[tokio::test]
async fn the_status_tells_what_came_and_what_became_of_it() {
    let broker = Broker::start("").await;
    let bridge = "2B280B23E1107BB62ABFC40DDCC8824814F80A72".to_owned();
    let load = Load::start(broker.addr(), &[bridge]);
    until("clients are served", async || load.answered() > 20).await;
    load.stop().await;
    let (_, denied) = Peer::http2(broker.addr())
        .await
        .post("/client", client_poll("x", "restricted"))
        .await;
    assert!(denied.contains("error"), "{denied}");

    let mut client = broker.client().await;
    let status = client
        .get_status(GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(status.start_time.unwrap().seconds <= status.observe_time.unwrap().seconds);
    let spans: Vec<i64> = status
        .recent
        .iter()
        .map(|recent| recent.span.unwrap().seconds)
        .collect();
    assert_eq!(spans, [60, 300, 3600]);
    for recent in &status.recent {
        assert!(recent.covered.unwrap().seconds < 60);
        assert!(recent.proxy_polls_per_second > 0.0 && recent.client_polls_per_second > 0.0);
        let shares = recent.client_polls.unwrap();
        assert!(shares.count > 20 && shares.matched > 0.5 && shares.denied > 0.0);
        let all =
            shares.matched + shares.timed_out + shares.denied + shares.refused + shares.abandoned;
        assert!((all - 1.0).abs() < 1e-9, "{shares:?}");
        let latencies = recent.request_to_answer.unwrap();
        assert!(latencies.count > 20 && latencies.p50.is_some() && latencies.p99.is_some());
    }

    let block = client
        .get_stats(GetStatsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(block.matched_clients > 20);
    // The last clients of the load may not have found a proxy either.
    assert!(block.denied_clients_by_nat["restricted"] >= 1);
    assert_eq!(block.unique_ips, 1);
    assert!(block.client_polls_by_rendezvous["http"] > 21);
    assert!(
        block.text.starts_with("snowflake-stats-end "),
        "{}",
        block.text
    );
    assert!(
        block.text.contains("\nsnowflake-ips-total 1\n"),
        "{}",
        block.text
    );
    let metrics: Value = broker.grpcurl().call("GetStats", "{}").await.unwrap();
    assert_eq!(metrics["matchedClients"], block.matched_clients.to_string());
}
