//! Events and values that only Prometheus reads.

use std::hash::Hash;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Metrics;
use super::families::{
    CredentialsLabels, DropLabels, HandshakeLabels, LoanLabels, LoanRefusalLabels, OrderLabels,
    PeerLabels, ProbeLabels, QueueCallLabels, ReplyLabels, RuleLabels,
};
use super::gauges::MemoryFigures;
use super::labels::{
    DropReason, Endpoint, GrpcListener, HandshakeFailure, LoanOutcome, LoanRefusal, OrderOutcome,
    PeerName, ProbeResult, QueueCall, RuleLabel, RuleResult, StatusCode,
};

impl Metrics {
    /// Counts a client that found no proxy and was queued.
    pub fn client_queued(&self) {
        self.families.clients_queued.inc();
    }

    /// Counts an offer's hand-off to a second or later proxy.
    pub fn rematched(&self) {
        self.families.rematches.inc();
    }

    /// Counts a hand-off that did not reach the proxy.
    pub fn hand_off_failed(&self) {
        self.families.hand_offs_failed.inc();
    }

    /// The counter of an endpoint's HTTP responses with a status code.
    pub fn replies(&self, endpoint: Endpoint, code: StatusCode) -> Counter {
        let labels = ReplyLabels::new(endpoint, code);
        self.families.replies.get_or_create_owned(&labels)
    }

    /// Sets the expiry of the certificate now served.
    pub fn certificate_loaded(&self, valid_until: SystemTime) {
        let since_epoch = valid_until.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since_epoch.unwrap_or_default().as_secs();
        let expiry = self.families.certificate_expiry.get_or_create(&[]);
        expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Counts the outcome of a certificate order.
    pub fn order_ended(&self, outcome: OrderOutcome) {
        count(
            &self.families.certificate_orders,
            &OrderLabels::new(outcome),
        );
    }

    /// Counts a probe of a bridge's address.
    pub fn bridge_probed(&self, result: ProbeResult) {
        count(&self.families.bridge_probes, &ProbeLabels::new(result));
    }

    /// The number of open connections.
    pub fn open_connections(&self) -> i64 {
        self.families.open_connections.get()
    }

    /// The expiry of the certificate; `None` without a certificate.
    pub fn certificate_expiry(&self) -> Option<SystemTime> {
        let expiry = self.families.certificate_expiry.get(&[])?.get();
        let since_epoch = Duration::from_secs(u64::try_from(expiry).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }

    /// Counts an accepted connection.
    pub fn connection_opened(&self) {
        self.families.connections.inc();
        self.families.open_connections.inc();
    }

    /// Notes the end of a connection.
    pub fn connection_closed(&self) {
        self.families.open_connections.dec();
    }

    /// Counts a connection closed or turned away by a limit of the listener.
    pub fn connection_dropped(&self, reason: DropReason) {
        count(&self.families.dropped_connections, &DropLabels::new(reason));
    }

    /// Counts a failed TLS handshake.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        count(
            &self.families.handshake_failures,
            &HandshakeLabels::new(reason),
        );
    }

    /// Counts the refusal of a gRPC call's or handshake's credentials.
    pub fn credentials_refused(&self, listener: GrpcListener) {
        count(
            &self.families.refused_credentials,
            &CredentialsLabels::new(listener),
        );
    }

    /// Records the age of a message received from a queue.
    pub fn queue_message_received(&self, age: Duration) {
        self.families.queue_message_age.observe(age.as_secs_f64());
    }

    /// Counts a failed call to SQS.
    pub fn queue_call_failed(&self, call: QueueCall) {
        count(
            &self.families.queue_call_failures,
            &QueueCallLabels::new(call),
        );
    }

    /// Counts a stale reply queue that was deleted.
    pub fn reply_queue_swept(&self) {
        self.families.reply_queues_swept.inc();
    }

    /// Sets the memory gauges.
    pub fn memory_sampled(&self, figures: MemoryFigures) {
        let families = &self.families;
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let in_flight = bytes(figures.bytes_in_flight as u64);
        families.bytes_in_flight.set(in_flight);
        let max = bytes(figures.max_bytes_in_flight as u64);
        families.max_bytes_in_flight.set(max);
        let limit = bytes(figures.limit_bytes.unwrap_or_default());
        families.memory_limit.set(limit);
        let more = figures.revoked.saturating_sub(families.revocations.get());
        families.revocations.inc_by(more);
    }

    /// Sets the number of entries of the metrics log and the impact log still to be written.
    pub fn blocks_unwritten(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.families.unwritten_blocks.set(count);
    }

    /// Creates all series of configured rules of the policy.
    pub fn rules_configured<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.families.seed_rule(&name.into());
        }
    }

    /// Removes the series of rules that are gone for good.
    pub fn rules_forgotten<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.families.forget_rule(&name.into());
        }
    }

    /// Counts a rule's part in a match, or the outcome of a match that it decided.
    pub fn rule_counted(&self, name: &str, result: RuleResult) {
        let labels = RuleLabels::new(RuleLabel::from(name), result);
        count(&self.families.rules, &labels);
    }

    /// Creates all series of a configured peer.
    pub fn peer_configured(&self, peer: &PeerName) {
        self.families.seed_peer(peer);
    }

    /// Counts the outcome of an offer of our client that was sent to a peer.
    pub fn borrowed(&self, peer: &PeerName, outcome: LoanOutcome) {
        count(
            &self.families.borrowed,
            &LoanLabels::new(peer.clone(), outcome),
        );
    }

    /// Records the time that a peer took to answer our client's offer.
    pub fn borrowed_answer(&self, peer: &PeerName, latency: Duration) {
        let latencies = &self.families.borrowed_latency;
        let histogram = latencies.get_or_create(&PeerLabels::new(peer.clone()));
        histogram.observe(latency.as_secs_f64());
    }

    /// Counts our client's offer that a peer refused.
    pub fn borrowing_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefusalLabels::new(peer.clone(), reason);
        count(&self.families.borrowing_refusals, &labels);
    }

    /// Counts the outcome of an offer that a peer sent for its client.
    pub fn lent(&self, peer: &PeerName, outcome: LoanOutcome) {
        count(&self.families.lent, &LoanLabels::new(peer.clone(), outcome));
    }

    /// Counts a peer's offer that was refused here.
    pub fn lending_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefusalLabels::new(peer.clone(), reason);
        count(&self.families.lending_refusals, &labels);
    }
}

fn count<S: Clone + Hash + Eq>(family: &Family<S, Counter>, labels: &S) {
    family.get_or_create(labels).inc();
}
