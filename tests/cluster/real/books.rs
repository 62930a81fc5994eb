//! What the nodes have counted, and whether it is what clients and proxies saw.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use crate::real::notes::{Client, Notes, Poll};
use crate::real::site::Site;
use crate::real::until;
use crate::support::exposition::Exposition;

/// The maximum age of a page of metrics.
const PAGE_AGE: Duration = Duration::from_millis(1_100);
/// What a node has of the requests in progress.
const IN_PROGRESS: [&str; 4] = [
    "snowflake_broker_parked_polls",
    "snowflake_broker_queued_clients",
    "snowflake_broker_matched_clients",
    "snowflake_available_proxies",
];
const CLIENTS: &str = "snowflake_broker_client_polls_total";
const POLLS: &str = "snowflake_broker_proxy_polls_total";

/// The pages of the nodes, by their names.
pub(crate) struct Books(BTreeMap<String, Exposition>);

impl Books {
    /// Waits until nothing is in progress at any node, and reads their pages.
    pub(crate) async fn read(site: &Site) -> Self {
        // An earlier page may be told for a while.
        sleep(PAGE_AGE).await;
        until("nothing is left at the nodes", async || {
            let books = Self::of(site).await;
            let left = books.0.values().map(in_progress);
            left.sum::<u64>() == 0
        })
        .await;
        sleep(PAGE_AGE).await;
        Self::of(site).await
    }

    /// The pages as they are.
    pub(crate) async fn of(site: &Site) -> Self {
        let mut pages = BTreeMap::new();
        for node in site.nodes() {
            let page = Exposition::text(&node.page().await).unwrap();
            pages.insert(node.name().to_owned(), page);
        }
        Self(pages)
    }

    /// The sum of the series with these labels, over one node or all.
    pub(crate) fn sum(&self, node: Option<&str>, name: &str, labels: &[(&str, &str)]) -> u64 {
        let is_meant = |of: &&String| node.is_none_or(|node| node == of.as_str());
        let meant = self.0.iter().filter(|(of, _)| is_meant(of));
        meant.map(|(_, page)| page.sum(name, labels)).sum()
    }

    /// Asserts that one node, or all together, have counted what clients and proxies saw.
    pub(crate) fn assert_balanced(&self, node: Option<&str>, notes: &Notes) {
        let clients = |is_so: fn(&Client) -> bool| {
            notes.clients(|client| client.is_of(node) && is_so(client))
        };
        for (outcome, seen) in [
            ("matched", clients(Client::is_answered)),
            ("denied", clients(Client::is_denied)),
            ("timed_out", clients(Client::is_timed_out)),
        ] {
            let counted = self.sum(node, CLIENTS, &[("outcome", outcome)]);
            assert_eq!(counted, seen, "clients {outcome} at {node:?}");
        }
        let polls = |is_so: fn(&Poll) -> bool| notes.polls(|poll| poll.is_of(node) && is_so(poll));
        for (outcome, seen) in [
            ("matched", polls(Poll::got_offer)),
            ("idle", polls(Poll::is_idle)),
        ] {
            let counted = self.sum(node, POLLS, &[("outcome", outcome)]);
            assert_eq!(counted, seen, "polls {outcome} at {node:?}");
        }
        for (received, ended) in [
            ("snowflake_broker_client_polls_received_total", CLIENTS),
            ("snowflake_broker_proxy_polls_received_total", POLLS),
        ] {
            let [received, ended] = [received, ended].map(|name| self.sum(node, name, &[]));
            assert_eq!(received, ended, "at {node:?}");
        }
    }

    /// Asserts that each client took one proxy, and that this one was told so, as far as no
    /// count says otherwise. If a node is slow or its word is lost, another is asked, and both
    /// proxies may answer. A node that has another's offer looks for a second proxy itself, as
    /// the other does. If the word about an answer is lost, its proxy is told nothing good.
    pub(crate) fn assert_each_is_served_once(&self, notes: &Notes) {
        let [offers, successes] = notes.doubles();
        let sent = |outcome| {
            let name = "snowflake_broker_node_offers_sent_total";
            self.sum(None, name, &[("outcome", outcome)])
        };
        let given_up = sent("failed");
        let rematches = self.sum(None, "snowflake_broker_rematches_total", &[]);
        assert!(
            offers <= given_up + rematches,
            "{offers} offers beyond {given_up} and {rematches}"
        );
        let given_up = given_up + sent("cancelled");
        assert!(
            successes <= given_up,
            "{successes} successes beyond {given_up}"
        );
        let answers = "snowflake_broker_proxy_answers_total";
        let delivered = self.sum(None, answers, &[("outcome", "delivered")]);
        let told = notes.polls(Poll::succeeded);
        let strays = "snowflake_broker_stray_answers_total";
        let unheard = self.sum(None, strays, &[("outcome", "unknown")]);
        assert!(
            (told..=told + unheard).contains(&delivered),
            "{delivered} answers delivered, {told} told of it, {unheard} unheard"
        );
    }

    /// The answers that were delivered at another node than they came to.
    pub(crate) fn strays(&self) -> u64 {
        let strays = "snowflake_broker_stray_answers_total";
        self.sum(None, strays, &[("outcome", "delivered")])
    }

    /// The offers of clients that proxies at other nodes have answered, as both sides count.
    pub(crate) fn answered_elsewhere(&self) -> [u64; 2] {
        ["sent", "received"].map(|side| {
            let name = format!("snowflake_broker_node_offers_{side}_total");
            self.sum(None, &name, &[("outcome", "answered")])
        })
    }

    /// The messages of the bus that one node, or all, dropped for this reason.
    pub(crate) fn dropped(&self, node: Option<&str>, reason: &str) -> u64 {
        let name = "snowflake_broker_cluster_messages_dropped_total";
        self.sum(node, name, &[("reason", reason)])
    }
}

fn in_progress(page: &Exposition) -> u64 {
    IN_PROGRESS.iter().map(|gauge| page.sum(gauge, &[])).sum()
}
