//! The gauges, and the counters that only Prometheus reads, each declared once with its
//! name and labels. All series known in advance are created at 0, so that rates are
//! correct from the first event on. Polls and answers are in [`super::counter_families`].

use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::labels::{
    BridgeCondition, BridgeState, CircuitState, ClientOutcome, DropReason, DroppedMessage,
    Endpoint, GrpcListener, HandshakeFailure, Label, LoanOutcome, LoanRefusal, NatProbeMode,
    NatProbeOutcome, OrderOutcome, PeerName, PollOutcome, PrivatePoolName, ProbeResult, QueueCall,
    RuleLabel, RuleResult, StatusCode, StrayAnswerFate,
};
use super::latencies::LATENCIES;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{ProxyType, ProxyTypes};

/// Upper bounds of the age of messages, in seconds: clients wait for 5 s, queues keep
/// messages for 300 s.
const MESSAGE_AGES: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 60.0, 300.0];

macro_rules! label_sets {
    ($($set:ident { $($label:ident: $kind:ty),+ })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
        pub(super) struct $set {
            $($label: $kind),+
        }

        impl $set {
            pub(super) fn new($($label: $kind),+) -> Self {
                Self { $($label),+ }
            }
        }
    )+};
}

label_sets! {
    ProxyLabels { nat: NatType, r#type: ProxyType }
    ReplyLabels { endpoint: Endpoint, code: StatusCode }
    PoolLabels { pool: NatClass }
    ClientLabels { client: NatClass }
    HandshakeLabels { reason: HandshakeFailure }
    DropLabels { reason: DropReason }
    CredentialsLabels { listener: GrpcListener }
    OrderLabels { outcome: OrderOutcome }
    QueueCallLabels { call: QueueCall }
    BridgeAddressLabels { state: BridgeState, health: BridgeCondition }
    ProbeLabels { result: ProbeResult }
    NatProbeLabels { mode: NatProbeMode, outcome: NatProbeOutcome }
    PeerLabels { peer: PeerName }
    PeerPoolLabels { peer: PeerName, pool: NatClass }
    CircuitLabels { peer: PeerName, state: CircuitState }
    RuleLabels { rule: RuleLabel, result: RuleResult }
    PrivatePoolLabels { private_pool: PrivatePoolName }
    PrivatePoolPollLabels { private_pool: PrivatePoolName, outcome: PollOutcome }
    PrivatePoolClientLabels { private_pool: PrivatePoolName, outcome: ClientOutcome }
    LoanLabels { peer: PeerName, outcome: LoanOutcome }
    NodeOfferLabels { outcome: LoanOutcome }
    StrayAnswerLabels { outcome: StrayAnswerFate }
    DroppedMessageLabels { reason: DroppedMessage }
    LoanRefusalLabels { peer: PeerName, reason: LoanRefusal }
}

/// The label set of a family with at most one series.
pub(super) type NoLabels = [(&'static str, &'static str); 0];

/// The registries, by audience.
#[derive(Debug, Default)]
pub(super) struct Registries {
    /// All families, for the operator.
    pub(super) all: Registry,
    /// The reference broker's families, which are also in `all`, for the public.
    pub(super) published: Registry,
}

/// The families. The first, `available_proxies`, is the reference broker's and published.
///
/// It is exact, as in the reference broker. It decreases by one with each match, so on a
/// quiet broker it reveals when a client came. Rounding would not help: `/debug`, whose
/// format the protocol fixes, shows the same polls by type and by NAT, and most of its
/// series are 0 or 1, so an 8 in place of the 1 would reveal as much. The gauge has
/// neither country nor rendezvous method, and a proxy that leaves or whose 10 s are over
/// looks like a match.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) proxy_types: ProxyTypes,
    pub(super) available_proxies: Family<ProxyLabels, Gauge>,
    pub(super) replies: Family<ReplyLabels, Counter>,
    pub(super) parked_polls: Family<PoolLabels, Gauge>,
    pub(super) queued_clients: Family<PoolLabels, Gauge>,
    pub(super) matched_clients: Gauge,
    pub(super) recent_clients: Family<ClientLabels, Gauge>,
    pub(super) unserved_clients: Family<ClientLabels, Gauge>,
    pub(super) poll_interval: Family<PoolLabels, Gauge<f64, AtomicU64>>,
    pub(super) clients_queued: Counter,
    pub(super) rematches: Counter,
    pub(super) hand_offs_failed: Counter,
    pub(super) open_connections: Gauge,
    pub(super) connections: Counter,
    pub(super) dropped_connections: Family<DropLabels, Counter>,
    pub(super) handshake_failures: Family<HandshakeLabels, Counter>,
    pub(super) refused_credentials: Family<CredentialsLabels, Counter>,
    pub(super) bytes_in_flight: Gauge,
    pub(super) max_bytes_in_flight: Gauge,
    pub(super) memory_limit: Gauge,
    pub(super) revocations: Counter,
    pub(super) unwritten_blocks: Gauge,
    /// Has no series if there is no certificate.
    pub(super) certificate_expiry: Family<NoLabels, Gauge>,
    pub(super) certificate_orders: Family<OrderLabels, Counter>,
    pub(super) country_databases: Gauge,
    pub(super) queue_message_age: Histogram,
    pub(super) queue_call_failures: Family<QueueCallLabels, Counter>,
    pub(super) reply_queues_swept: Counter,
    /// Has series for the configured rules, and those that are gone of late.
    pub(super) rules: Family<RuleLabels, Counter>,
    pub(super) bridge_addresses: Family<BridgeAddressLabels, Gauge>,
    pub(super) bridge_probes: Family<ProbeLabels, Counter>,
    // Families by peer, with series for the configured peers.
    pub(super) borrowed: Family<LoanLabels, Counter>,
    pub(super) borrowing_refusals: Family<LoanRefusalLabels, Counter>,
    pub(super) borrowed_latency: Family<PeerLabels, Histogram>,
    pub(super) lent: Family<LoanLabels, Counter>,
    pub(super) lending_refusals: Family<LoanRefusalLabels, Counter>,
    pub(super) peer_connected: Family<PeerLabels, Gauge>,
    pub(super) peer_supply: Family<PeerPoolLabels, Gauge>,
    pub(super) peer_circuit: Family<CircuitLabels, Gauge>,
}

impl Families {
    /// Registers the families in the registries of their audiences.
    pub(super) fn register(registries: &mut Registries, proxy_types: ProxyTypes) -> Self {
        let families = Self::declare(registries, proxy_types);
        families.seed();
        // Not an info metric: parsers of the older format, promtool among them, do not
        // know that type.
        let build = Family::<[(&str, &str); 1], Gauge>::default();
        build
            .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        let all = &mut registries.all;
        all.register(
            "snowflake_broker_build_info",
            "Version of the running broker; always 1",
            build,
        );
        families
    }

    /// Creates the series of a peer.
    #[rustfmt::skip]
    pub(super) fn seed_peer(&self, peer: &PeerName) {
        seed1(&self.borrowed, |outcome| LoanLabels::new(peer.clone(), outcome));
        seed1(&self.lent, |outcome| LoanLabels::new(peer.clone(), outcome));
        seed1(&self.borrowing_refusals, |reason| LoanRefusalLabels::new(peer.clone(), reason));
        seed1(&self.lending_refusals, |reason| LoanRefusalLabels::new(peer.clone(), reason));
        drop(self.borrowed_latency.get_or_create(&PeerLabels::new(peer.clone())));
    }

    /// Creates the series of a rule.
    pub(super) fn seed_rule(&self, rule: &RuleLabel) {
        seed1(&self.rules, |result| RuleLabels::new(rule.clone(), result));
    }

    /// Removes the series of a rule.
    pub(super) fn forget_rule(&self, rule: &RuleLabel) {
        for result in RuleResult::ALL {
            self.rules.remove(&RuleLabels::new(rule.clone(), result));
        }
    }

    #[rustfmt::skip]
    fn declare(registries: &mut Registries, proxy_types: ProxyTypes) -> Self {
        let r = &mut registries.all;
        let latency: fn() -> Histogram = || Histogram::new(LATENCIES);
        Self {
            proxy_types,
            available_proxies: Family::default(),
            replies: add(r, "snowflake_broker_http_responses", "HTTP responses by endpoint and status code", Family::default()),
            parked_polls: add(r, "snowflake_broker_parked_polls", "Proxy polls waiting for a client, by pool", Family::default()),
            queued_clients: add(r, "snowflake_broker_queued_clients", "Clients waiting for a proxy, by the class of their NAT", Family::default()),
            matched_clients: add(r, "snowflake_broker_matched_clients", "Clients waiting for the answer of the proxy that they were matched with", Gauge::default()),
            recent_clients: add(r, "snowflake_broker_recent_clients", "Different clients that asked or were answered in the last two minutes, by the class of their NAT", Family::default()),
            unserved_clients: add(r, "snowflake_broker_unserved_clients", "Those of snowflake_broker_recent_clients whose last reply was no answer", Family::default()),
            poll_interval: add(r, "snowflake_broker_poll_interval_seconds", "Poll interval that proxies are told, by pool, before jitter", Family::default()),
            clients_queued: add(r, "snowflake_broker_clients_queued", "Times a client had to wait for a proxy", Counter::default()),
            rematches: add(r, "snowflake_broker_rematches", "Hand-offs of an offer to a second or later proxy", Counter::default()),
            hand_offs_failed: add(r, "snowflake_broker_hand_offs_failed", "Hand-offs that did not reach the proxy", Counter::default()),
            open_connections: add(r, "snowflake_broker_open_connections", "Open connections", Gauge::default()),
            connections: add(r, "snowflake_broker_connections", "Connections accepted and served", Counter::default()),
            dropped_connections: add(r, "snowflake_broker_connections_dropped", "Connections closed or turned away by a limit of the listener, by reason", Family::default()),
            refused_credentials: add(r, "snowflake_broker_credentials_refused", "gRPC calls and handshakes whose credentials were missing or wrong, by listener", Family::default()),
            bytes_in_flight: add(r, "snowflake_broker_bytes_in_flight", "Bytes of requests in progress and of responses not yet written", Gauge::default()),
            max_bytes_in_flight: add(r, "snowflake_broker_max_bytes_in_flight", "Upper limit of snowflake_broker_bytes_in_flight", Gauge::default()),
            memory_limit: add(r, "snowflake_broker_memory_limit_bytes", "Memory limit that control groups set for the broker; 0 if there is none", Gauge::default()),
            revocations: add(r, "snowflake_broker_revocations", "Requests and idle connections dropped to make room for others", Counter::default()),
            unwritten_blocks: add(r, "snowflake_broker_unwritten_blocks", "Blocks of the metrics log and lines of the impact log still to be written", Gauge::default()),
            certificate_expiry: add(r, "snowflake_broker_certificate_expiry_timestamp_seconds", "Expiry of the TLS certificate, in seconds since the epoch", Family::default()),
            certificate_orders: add(r, "snowflake_broker_certificate_orders", "Certificate orders over ACME, by outcome", Family::default()),
            country_databases: add(r, "snowflake_broker_country_databases", "Country databases in use: 2 (IPv4 and IPv6), fewer while one is missing, damaged or not read yet", Gauge::default()),
            handshake_failures: add(r, "snowflake_broker_tls_handshake_failures", "Failed TLS handshakes, by reason", Family::default()),
            queue_message_age: add(r, "snowflake_broker_sqs_message_age_seconds", "Age of SQS messages when they were received", Histogram::new(MESSAGE_AGES)),
            queue_call_failures: add(r, "snowflake_broker_sqs_call_failures", "Failed calls to SQS, by call", Family::default()),
            reply_queues_swept: add(r, "snowflake_broker_sqs_reply_queues_swept", "Stale SQS reply queues deleted", Counter::default()),
            rules: add(r, "snowflake_broker_policy_matches", "Matches in which a rule of the policy had a part, by rule and result", Family::default()),
            bridge_addresses: add(r, "snowflake_broker_bridge_addresses", "Addresses of bridges, by the state that the bridge list gives them and their health by probes", Family::default()),
            bridge_probes: add(r, "snowflake_broker_bridge_probes", "Probes of the bridges' addresses, by result", Family::default()),
            borrowed: add(r, "snowflake_broker_peer_borrowed", "Offers of our clients sent to a peer, by outcome", Family::default()),
            borrowing_refusals: add(r, "snowflake_broker_peer_borrowing_refused", "Offers of our clients that a peer refused, by reason", Family::default()),
            borrowed_latency: add(r, "snowflake_broker_peer_answer_seconds", "Time from sending an offer to a peer until its proxy's answer arrived", Family::new_with_constructor(latency)),
            lent: add(r, "snowflake_broker_peer_lent", "Offers received from a peer for its clients, by outcome", Family::default()),
            lending_refusals: add(r, "snowflake_broker_peer_lending_refused", "Offers of a peer that were refused, by reason", Family::default()),
            peer_connected: add(r, "snowflake_broker_peer_connected", "1 while the peer is connected, else 0", Family::default()),
            peer_supply: add(r, "snowflake_broker_peer_supply", "Proxies that a peer says it can lend us, by pool", Family::default()),
            peer_circuit: add(r, "snowflake_broker_peer_circuit", "State of the peer's circuit breaker: 1 for the current state, 0 for the others", Family::default()),
        }
    }

    #[rustfmt::skip]
    fn seed(&self) {
        for r#type in self.proxy_types.iter() {
            seed1(&self.available_proxies, |nat| ProxyLabels::new(nat, r#type));
        }
        seed2(&self.replies, ReplyLabels::new);
        seed1(&self.parked_polls, PoolLabels::new);
        seed1(&self.queued_clients, PoolLabels::new);
        seed1(&self.recent_clients, ClientLabels::new);
        seed1(&self.unserved_clients, ClientLabels::new);
        seed1(&self.poll_interval, PoolLabels::new);
        seed1(&self.dropped_connections, DropLabels::new);
        seed1(&self.certificate_orders, OrderLabels::new);
        seed1(&self.refused_credentials, CredentialsLabels::new);
        seed1(&self.handshake_failures, HandshakeLabels::new);
        seed1(&self.queue_call_failures, QueueCallLabels::new);
        seed2(&self.bridge_addresses, BridgeAddressLabels::new);
        seed1(&self.bridge_probes, ProbeLabels::new);
    }
}

pub(super) fn add<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

pub(super) fn seed1<A: Label, S: Clone + Hash + Eq, M, C: MetricConstructor<M>>(
    family: &Family<S, M, C>,
    set: impl Fn(A) -> S,
) {
    for &a in A::ALL {
        drop(family.get_or_create(&set(a)));
    }
}

pub(super) fn seed2<A: Label, B: Label, S: Clone + Hash + Eq, M, C: MetricConstructor<M>>(
    family: &Family<S, M, C>,
    set: impl Fn(A, B) -> S,
) {
    for &b in B::ALL {
        seed1(family, |a| set(a, b));
    }
}
