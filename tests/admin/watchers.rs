//! Many concurrent watchers, some of which never read.

use std::fs::{self, File};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use snowflake_broker::proto::admin::v1::{BrokerStatus, GetStatusRequest, WatchStatusRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Code, Streaming};

use crate::broker::{Broker, send};
use crate::grpcurl::SERVICE;
use crate::support::peer::Peer;
use crate::{FOREVER, until};

const WATCHERS: usize = 200;
/// The number of streams on one connection that are never read.
const UNREAD: usize = 250;
/// The number of statuses that each other watcher reads: those of 5 s.
const STATUSES: usize = 50;
/// More than twice as much would be used if all unread statuses were kept.
const GROWTH_MAX_KIB: u64 = 4 << 10;

fn every(millis: i32) -> WatchStatusRequest {
    let interval = prost_types::Duration {
        seconds: 0,
        nanos: millis * 1_000_000,
    };
    WatchStatusRequest {
        interval: Some(interval),
    }
}

async fn watch(broker: &Broker) -> Streaming<BrokerStatus> {
    let mut client = broker.client().await;
    client.watch_status(every(100)).await.unwrap().into_inner()
}

async fn takes(statuses: &mut Streaming<BrokerStatus>, count: usize) {
    let mut before = None;
    for _ in 0..count {
        let status = timeout(FOREVER, statuses.next())
            .await
            .expect("nothing comes")
            .unwrap()
            .unwrap();
        let time = status.observe_time.unwrap();
        let time = (time.seconds, time.nanos);
        assert!(before < Some(time), "an old status");
        before = Some(time);
    }
}

/// Parks a poll for each type and NAT, so that statuses are long.
async fn park_all_kinds(broker: &Broker) -> JoinSet<()> {
    let mut polls = JoinSet::new();
    for proxy_type in ["standalone", "webext", "badge", "iptproxy"] {
        for nat in ["unrestricted", "restricted", "unknown"] {
            let addr = broker.addr();
            let poll = json!({
                "Sid": format!("{proxy_type} {nat}"), "Version": "1.3",
                "Type": proxy_type, "NAT": nat, "Clients": 0,
            });
            polls.spawn(async move {
                let mut peer = Peer::http1(addr).await;
                peer.post("/proxy", poll.to_string()).await;
            });
        }
    }
    let mut client = broker.client().await;
    until("all are parked", async || {
        let status = client.get_status(GetStatusRequest {}).await.unwrap();
        status.into_inner().parked.len() == polls.len()
    })
    .await;
    polls
}

/// One watcher is stopped, so that not even its kernel reads; another has many streams
/// and reads none of them.
#[tokio::test]
async fn two_hundred_watch_and_some_never_read() {
    let broker = Broker::start("[matching]\nproxy_timeout = \"1h\"\n").await;
    let _polls = park_all_kinds(&broker).await;
    let statuses = broker.setup.path("statuses");
    let grpcurl = broker.grpcurl().with("-d", r#"{"interval": "0.1s"}"#);
    let stopped = grpcurl
        .command(&[&format!("{SERVICE}/WatchStatus")])
        .stdout(File::create(&statuses).unwrap())
        .spawn()
        .unwrap();
    until("grpcurl watches", async || {
        fs::metadata(&statuses).unwrap().len() > 0
    })
    .await;
    send(stopped.id().unwrap(), Signal::STOP);
    let mut client = broker.client().await;
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let statuses = client.watch_status(every(100)).await.unwrap();
        unread.push(statuses.into_inner());
    }
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut statuses = watch(&broker).await;
        takes(&mut statuses, 1).await;
        watchers.push(statuses);
    }

    let before = broker.resident_kib();
    let mut watching = JoinSet::new();
    for mut statuses in watchers {
        watching.spawn(async move { takes(&mut statuses, STATUSES).await });
    }
    while let Some(watcher) = watching.join_next().await {
        watcher.unwrap();
    }
    let growth = broker.resident_kib().saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB");

    // New watchers are served, too, and so are those that begin to read late.
    takes(&mut watch(&broker).await, 2).await;
    takes(&mut unread.swap_remove(0), 2).await;
}

#[tokio::test]
async fn a_watcher_that_reads_slowly_gets_what_is_new() {
    let broker = Broker::start("").await;
    let mut statuses = watch(&broker).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Statuses buffered on the way are read first.
    let newest = async {
        loop {
            let status = statuses.next().await.unwrap().unwrap();
            let observed = std::time::SystemTime::try_from(status.observe_time.unwrap()).unwrap();
            if observed.elapsed().unwrap_or_default() < Duration::from_millis(500) {
                return;
            }
        }
    };
    timeout(FOREVER, newest).await.expect("only old ones come");
}

#[tokio::test]
async fn an_interval_out_of_range_is_refused() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    for wrong in [every(99), every(-100)] {
        let refused = client.watch_status(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().starts_with("interval: "), "{refused}");
    }
}
