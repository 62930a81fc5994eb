//! The supply that a lender reports to its borrowers.

use std::time::Duration;

use snowflake_broker::bridges::{AddressChange, AddressState, BridgeList};
use snowflake_broker::broker::NoAnswer;
use snowflake_broker::federation::DialTarget;
use snowflake_broker::proto::federation::v1;
use snowflake_broker::proto::federation::v1::federation_client::FederationClient;
use snowflake_broker::proto::federation::v1::supply::State;
use snowflake_broker::wire::fingerprint::Fingerprint;
use tokio::time::{sleep, timeout};
use tonic::{Code, Streaming};

use crate::SECOND_BRIDGE;
use crate::network::Network;
use crate::node::{Node, peers};
use crate::support::in_process::Stopwatch;
use crate::support::messages::client_poll;

/// The reports that one broker receives from the other.
async fn watch(network: &Network, from: &str, to: &str) -> Streaming<v1::Supply> {
    let mut client = FederationClient::new(network.channel(from, to).await);
    let watching = client.watch_supply(v1::WatchSupplyRequest {}).await;
    watching.unwrap().into_inner()
}

fn proxies(supply: &v1::Supply) -> u32 {
    supply.pools.iter().map(|pool| pool.proxies).sum()
}

#[tokio::test(start_paused = true)]
async fn a_report_comes_at_once_at_each_change_and_as_a_heartbeat() {
    let network = Network::default();
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let mut reports = watch(&network, "a.example", "b.example").await;
    let began = Stopwatch::start();
    let first = reports.message().await.unwrap().unwrap();
    assert_eq!((first.state(), proxies(&first)), (State::Lending, 0));
    assert_eq!(first.bridges.unwrap().fingerprints.len(), 2);
    assert!(began.elapsed() < Duration::from_millis(10));

    let heartbeat = reports.message().await.unwrap().unwrap();
    assert_eq!(heartbeat.bridges, None);
    assert_eq!(began.elapsed().as_secs(), 5);

    sleep(Duration::from_secs(1)).await;
    let polled = Stopwatch::start();
    let _proxy = b.proxy("p");
    let change = reports.message().await.unwrap().unwrap();
    assert_eq!(proxies(&change), 1);
    assert!(
        polled.elapsed() < Duration::from_millis(10),
        "{:?}",
        polled.elapsed()
    );

    b.broker.control().start_lame_duck();
    let draining = reports.message().await.unwrap().unwrap();
    assert_eq!((draining.state(), proxies(&draining)), (State::Draining, 0));
}

#[tokio::test(start_paused = true)]
async fn however_much_changes_there_are_five_reports_a_second_at_most() {
    let network = Network::default();
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let mut reports = watch(&network, "a.example", "b.example").await;
    let changes = async {
        for number in 0..1000 {
            drop(b.silent_proxy(&number.to_string()));
            sleep(Duration::from_millis(10)).await;
        }
    };
    let mut heard = 0;
    let listen = async {
        loop {
            reports.message().await.unwrap().unwrap();
            heard += 1;
        }
    };
    tokio::select! {
        () = changes => {}
        () = listen => {}
    }
    assert!((40..=51).contains(&heard), "{heard} in 10 s");
}

#[tokio::test(start_paused = true)]
async fn only_who_knows_the_bridge_is_asked() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["b.example"]));
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    b.broker
        .control()
        .update_directory(|directory| directory.bridges = BridgeList::default());
    let _proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    sleep(Duration::from_secs(1)).await;
    let poll = client_poll("c", "restricted");
    let second = poll.replace(
        "\"nat\"",
        &format!("\"fingerprint\":\"{SECOND_BRIDGE}\",\"nat\""),
    );
    assert_eq!(a.client_for(second.clone()).await, Err(NoAnswer::NoProxies));
    assert_eq!(a.count("snowflake_broker_peer_borrowed_total", &[]), 0);
    b.broker
        .control()
        .update_directory(|directory| directory.bridges = a.broker.directory().bridges.clone());
    sleep(Duration::from_secs(1)).await;
    assert!(a.client_for(second).await.is_ok());
}

/// Its proxies would be spent on clients that the lender's bridge does not take.
#[tokio::test(start_paused = true)]
async fn whose_bridge_drains_is_not_asked() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["b.example"]));
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let set_state = |state| {
        let change = AddressChange {
            state: Some(state),
            ..AddressChange::default()
        };
        b.broker.control().update_directory(|directory| {
            let changed = directory.bridges.change(Fingerprint::DEFAULT, None, change);
            assert_eq!(changed, 1);
        });
    };
    let _proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    set_state(AddressState::Drain);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(a.client("first").await, Err(NoAnswer::NoProxies));
    assert_eq!(a.count("snowflake_broker_peer_borrowed_total", &[]), 0);
    set_state(AddressState::Up);
    sleep(Duration::from_secs(1)).await;
    assert!(a.client("second").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_told_when_terms_change() {
    let network = Network::default();
    let mut settings = peers(&["a.example"]);
    let b = Node::start(&network, "b.example", &settings);
    let _proxies = [b.proxy("1"), b.proxy("2"), b.proxy("3")];
    let mut reports = watch(&network, "a.example", "b.example").await;
    let mut next = async || {
        let report = timeout(Duration::from_secs(1), reports.message()).await;
        report.expect("nothing is told").unwrap().unwrap()
    };
    let mut report = next().await;
    while proxies(&report) < 3 {
        report = next().await;
    }
    settings.reserve = 2;
    b.configure(&settings);
    assert_eq!(proxies(&next().await), 1);
    settings.peers[0].lend = false;
    b.configure(&settings);
    assert_eq!(next().await.state(), State::NotLending);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_found_is_known_by_its_certificate() {
    let network = Network::default();
    let mut settings = peers(&["b.example"]);
    settings.peers[0].url = None;
    let a = Node::start(&network, "a.example", &settings);
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let _stranger = Node::start(&network, "stranger.example", &peers(&["a.example"]));
    let _proxy = b.proxy("p");
    sleep(Duration::from_secs(1)).await;
    assert!(!a.peer("b.example").figures.is_connected);
    let found = [
        "a.example",
        "b.example",
        "stranger.example",
        "nowhere.example",
    ];
    a.federation.set_found(found.map(str::to_owned).into());
    a.sees_proxies("b.example", 1).await;
    a.client("c").await.unwrap();
    a.federation
        .set_found(["nowhere.example".to_owned()].into());
    a.sees("b.example", |peer| !peer.figures.is_connected).await;
    let target = DialTarget {
        addr: "b.example".to_owned(),
        peer: None,
    };
    assert!(network.of("a.example").dial(&target).await.is_ok());
}

/// Each holds some memory for as long as it lasts.
#[tokio::test(start_paused = true)]
async fn a_peer_has_so_many_watches_at_once() {
    let network = Network::default();
    let _b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let mut client = FederationClient::new(network.channel("a.example", "b.example").await);
    let mut watches = Vec::new();
    for _ in 0..128 {
        let watching = client.watch_supply(v1::WatchSupplyRequest {}).await;
        watches.push(watching.unwrap().into_inner());
    }
    let refused = client.watch_supply(v1::WatchSupplyRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    watches.pop();
    sleep(Duration::from_millis(100)).await;
    let mut another = watch(&network, "a.example", "b.example").await;
    assert!(another.message().await.unwrap().is_some());
}
