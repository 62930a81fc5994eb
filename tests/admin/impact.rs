//! What clients live through.

use snowflake_broker::proto::admin::v1::{GetImpactRequest, Impact, MatchResults};

use crate::broker::Broker;
use crate::supply::{post, start_poll};
use crate::support::messages::client_poll;
use crate::until;

/// This machine is a reverse proxy, and no proxy answers in time.
const SETTINGS: &str = "[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
    [matching]\nclient_timeout = \"1s\"\nproxy_timeout = \"5m\"\n";
const ADDRESSES: [&str; 8] = [
    "5.9.0.1", "5.9.1.1", "5.9.2.1", "5.9.3.1", "5.9.4.1", "5.9.5.1", "5.9.6.1", "5.9.7.1",
];

async fn impact(broker: &Broker) -> Impact {
    let mut client = broker.client().await;
    let impact = client.get_impact(GetImpactRequest {}).await;
    impact.unwrap().into_inner()
}

fn named<'a>(results: &'a [MatchResults], name: &str) -> Option<&'a MatchResults> {
    results.iter().find(|results| results.name == name)
}

#[tokio::test]
async fn clients_are_counted_and_countries_of_few_are_not_told() {
    let broker = Broker::start(SETTINGS).await;
    let none = impact(&broker).await;
    assert_eq!((none.episodes_begun, none.recent_clients), (0, 0));
    assert!(none.by_country.is_empty());
    assert_eq!(named(&none.by_nat, "strict, open").unwrap().worked, 0);

    let addr = broker.addr();
    for (count, address) in (1..).zip(ADDRESSES) {
        let poll = start_poll(&broker, address, address);
        until("the client is matched", async || {
            let offer = client_poll("x", "restricted");
            let reply = post(addr, address, "/client", &offer).await;
            reply.contains("timed out")
        })
        .await;
        poll.await.unwrap();
        let impact = impact(&broker).await;
        assert_eq!(impact.by_country.is_empty(), count < 8, "{impact:?}");
    }
    let impact = impact(&broker).await;
    assert_eq!(impact.recent_clients, 8);
    assert_eq!((impact.unserved_clients, impact.most_clients), (8, 8));
    assert_eq!((impact.episodes_begun, impact.tries_p50), (8, 0));
    assert_eq!(impact.until_served_p50, None);
    for (results, name) in [
        (&impact.by_nat, "strict, open"),
        (&impact.by_rendezvous, "http"),
        (&impact.by_type, "standalone"),
        (&impact.by_country, "??"),
    ] {
        let unanswered = named(results, name).map(|results| results.unanswered);
        assert_eq!(unanswered, Some(8), "{name}: {results:?}");
    }
}
