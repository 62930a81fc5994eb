//! The counters and gauges of a cluster. A broker on its own has them, too, at 0.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::families::{DroppedMessageLabels, NodeOfferLabels, StrayAnswerLabels, add, seed1};
use super::labels::{DroppedMessage, LoanOutcome, StrayAnswerFate};
use super::latencies::LATENCIES;

#[derive(Debug)]
pub(super) struct ClusterFamilies {
    offers_sent: Family<NodeOfferLabels, Counter>,
    offers_received: Family<NodeOfferLabels, Counter>,
    answer_latency: Histogram,
    stray_answers: Family<StrayAnswerLabels, Counter>,
    dropped_messages: Family<DroppedMessageLabels, Counter>,
    nodes: Gauge,
    connected: Gauge,
    bucket_away: Gauge,
}

impl ClusterFamilies {
    #[rustfmt::skip]
    pub(super) fn register(r: &mut Registry) -> Self {
        let families = Self {
            offers_sent: add(r, "snowflake_broker_node_offers_sent", "Offers of our clients sent to another node of the cluster, by outcome", Family::default()),
            offers_received: add(r, "snowflake_broker_node_offers_received", "Offers received from other nodes of the cluster for their clients, by outcome", Family::default()),
            answer_latency: add(r, "snowflake_broker_node_answer_seconds", "Time from sending an offer to another node until its proxy's answer arrived", Histogram::new(LATENCIES)),
            stray_answers: add(r, "snowflake_broker_stray_answers", "Proxy answers without an offer here that were passed on to the other nodes, by outcome", Family::default()),
            dropped_messages: add(r, "snowflake_broker_cluster_messages_dropped", "Messages of the cluster that were not sent or not heeded, by reason", Family::default()),
            nodes: add(r, "snowflake_broker_cluster_nodes", "Nodes of the cluster that are heard of, with this one; 0 without a cluster", Gauge::default()),
            connected: add(r, "snowflake_broker_cluster_connected", "1 while messages of this node come back from NATS, else 0", Gauge::default()),
            bucket_away: add(r, "snowflake_broker_cluster_bucket_away", "1 while the bucket that the nodes of the cluster share cannot be reached, else 0", Gauge::default()),
        };
        seed1(&families.offers_sent, NodeOfferLabels::new);
        seed1(&families.offers_received, NodeOfferLabels::new);
        seed1(&families.stray_answers, StrayAnswerLabels::new);
        seed1(&families.dropped_messages, DroppedMessageLabels::new);
        families
    }
}

impl Metrics {
    /// Counts the outcome of an offer of our client that was sent to another node.
    pub fn node_offer_sent(&self, outcome: LoanOutcome) {
        let offers = &self.cluster.offers_sent;
        offers.get_or_create(&NodeOfferLabels::new(outcome)).inc();
    }

    /// Records the time that another node took to answer our client's offer.
    pub fn node_answered(&self, latency: Duration) {
        let histogram = &self.cluster.answer_latency;
        histogram.observe(latency.as_secs_f64());
    }

    /// Counts the outcome of an offer that another node sent for its client.
    pub fn node_offer_received(&self, outcome: LoanOutcome) {
        let offers = &self.cluster.offers_received;
        offers.get_or_create(&NodeOfferLabels::new(outcome)).inc();
    }

    /// Counts the outcome of an answer that was passed on to the other nodes.
    pub fn stray_answer(&self, fate: StrayAnswerFate) {
        let answers = &self.cluster.stray_answers;
        answers.get_or_create(&StrayAnswerLabels::new(fate)).inc();
    }

    /// Counts a message of the cluster that was not sent or not heeded.
    pub fn message_dropped(&self, reason: DroppedMessage) {
        let dropped = &self.cluster.dropped_messages;
        dropped
            .get_or_create(&DroppedMessageLabels::new(reason))
            .inc();
    }

    /// Sets the number of nodes that are heard of, with this one, and says whether its own
    /// messages come back from NATS.
    pub fn cluster_seen(&self, nodes: usize, is_connected: bool) {
        let families = &self.cluster;
        families.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
        families.connected.set(i64::from(is_connected));
    }

    /// Says whether the bucket that the nodes share cannot be reached.
    pub fn bucket_away(&self, is_away: bool) {
        self.cluster.bucket_away.set(i64::from(is_away));
    }
}
