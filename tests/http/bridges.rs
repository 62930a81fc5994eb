//! The address of a bridge that a client's proxy is sent to, and bridges that drain.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use snowflake_broker::bridges::health::ProbeFailure;
use snowflake_broker::bridges::{BridgeHealth, BridgeList};

use crate::support::front::Front;
use crate::support::messages::{client_poll, offer, proxy_answer, proxy_poll};
use crate::{elapsed, front, start};

const DRAINING: &str = r#"{"error":"bridge with requested fingerprint takes no new clients"}"#;

/// Gives the default bridge these addresses, each with a host and further keys.
fn set_addresses(front: &Front, addresses: &[(&str, &str)]) {
    let lines = addresses.iter().map(|(host, keys)| {
        format!(
            "{{\"webSocketAddress\":\"wss://{host}.example/\",\
             \"fingerprint\":\"2B280B23E1107BB62ABFC40DDCC8824814F80A72\"{keys}}}\n"
        )
    });
    let bridges = BridgeList::parse(&lines.collect::<String>()).unwrap();
    let control = front.broker.control();
    control.update_directory(|directory| directory.bridges = bridges);
}

/// The addresses that the proxies of this many clients are sent to.
async fn relay_urls(front: &Arc<Front>, clients: usize) -> BTreeSet<String> {
    let mut urls = BTreeSet::new();
    for number in 0..clients {
        let sid = format!("proxy{number}");
        let poll = start(front, "/proxy", proxy_poll(&sid, "open")).await;
        let client = start(front, "/client", client_poll("x", "open")).await;
        let matched = poll.await.unwrap().json();
        urls.insert(matched["RelayURL"].as_str().unwrap().to_owned());
        front.post("/answer", proxy_answer(&sid, "hi")).await;
        client.await.unwrap();
    }
    urls
}

fn refusals(front: &Front) -> u64 {
    let labels = [r#"request="client_poll""#, r#"reason="bridge_draining""#];
    front.count("snowflake_broker_refusals_total", &labels)
}

#[tokio::test(start_paused = true)]
async fn clients_of_one_bridge_are_spread_over_its_addresses() {
    let front = front();
    let drains = r#","state":"drain""#;
    set_addresses(&front, &[("a", ""), ("b", r#","weight":2"#), ("c", drains)]);
    let urls = relay_urls(&front, 20).await;
    assert_eq!(
        urls.into_iter().collect::<Vec<_>>(),
        ["wss://a.example/", "wss://b.example/"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_ailing_address_gets_no_clients_unless_it_is_the_last() {
    let front = front();
    set_addresses(&front, &[("a", ""), ("b", r#","weight":1"#)]);
    let mut health = BridgeHealth::new(true);
    for host in ["b", "a"] {
        let url = format!("wss://{host}.example/").into();
        for _ in 0..2 {
            health.record(&url, Err(ProbeFailure::Unreachable));
        }
        front.broker.control().set_bridge_health(health.clone());
        let urls = relay_urls(&front, 20).await;
        let is_last = host == "a";
        assert_eq!(urls.contains("wss://b.example/"), is_last);
        assert!(urls.contains("wss://a.example/"));
    }
}

/// The client hears so at once, and the proxy stays for others.
#[tokio::test(start_paused = true)]
async fn a_bridge_that_drains_costs_no_proxy() {
    let front = front();
    let drains = r#","state":"drain""#;
    let down = r#","state":"down""#;
    set_addresses(&front, &[("a", drains), ("b", down)]);
    let _parked = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let (waited, reply) = elapsed(front.post("/client", client_poll("x", "open"))).await;
    assert!(waited.is_zero(), "{waited:?}");
    assert_eq!((reply.status, &*reply.body), (StatusCode::OK, DRAINING));
    // Whoever speaks the legacy form hears that there is no proxy.
    let legacy = front.post("/client", offer("x")).await;
    assert_eq!(legacy.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(legacy.body, "");
    let snapshot = front.broker.control().snapshot();
    assert_eq!(snapshot.parked.len(), 1);
    assert_eq!((refusals(&front), snapshot.matched_clients), (2, 0));

    set_addresses(&front, &[("a", drains), ("b", "")]);
    let urls = relay_urls(&front, 1).await;
    assert!(urls.contains("wss://b.example/"), "{urls:?}");
}

/// The series name no bridge.
#[tokio::test(start_paused = true)]
async fn addresses_are_counted_by_state_and_health() {
    let front = front();
    let (up, drain) = (r#"state="up""#, r#"state="drain""#);
    let (well, ailing, unknown) = (
        r#"health="well""#,
        r#"health="ailing""#,
        r#"health="unknown""#,
    );
    set_addresses(
        &front,
        &[("a", ""), ("b", r#","state":"drain""#), ("c", "")],
    );
    let mut health = BridgeHealth::default();
    health.record(&"wss://a.example/".into(), Ok(()));
    for _ in 0..2 {
        health.record(&"wss://b.example/".into(), Err(ProbeFailure::Tls));
    }
    front.broker.control().set_bridge_health(health);
    let count = |labels: &[&str]| front.count("snowflake_broker_bridge_addresses", labels);
    assert_eq!(count(&[up, well]), 1);
    assert_eq!(count(&[up, unknown]), 1);
    assert_eq!(count(&[drain, ailing]), 1);
    assert_eq!(count(&[]), 3);
}
