//! Events and values that only Prometheus is told of.

use std::hash::Hash;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Metrics;
use super::families::{
    CredentialsLabels, DropLabels, HandshakeLabels, LoanLabels, LoanRefusalLabels, OrderLabels,
    PeerLabels, QueueCallLabels, ReplyLabels,
};
use super::gauges::MemoryFigures;
use super::labels::{
    DropReason, Endpoint, GrpcListener, HandshakeFailure, LoanOutcome, LoanRefusal, OrderOutcome,
    PeerName, QueueCall, StatusCode,
};

impl Metrics {
    /// A client found no proxy and waits for one.
    pub fn client_queued(&self) {
        self.families.clients_queued.inc();
    }

    /// An offer goes to a further proxy.
    pub fn rematched(&self) {
        self.families.rematches.inc();
    }

    /// A hand-off did not reach its proxy.
    pub fn hand_off_failed(&self) {
        self.families.hand_offs_failed.inc();
    }

    /// The counter of an endpoint's HTTP responses with a status code.
    pub fn replies(&self, endpoint: Endpoint, code: StatusCode) -> Counter {
        let labels = ReplyLabels::new(endpoint, code);
        self.families.replies.get_or_create_owned(&labels)
    }

    /// A certificate is served that is valid until then.
    pub fn certificate_loaded(&self, valid_until: SystemTime) {
        let since_epoch = valid_until.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since_epoch.unwrap_or_default().as_secs();
        let expiry = self.families.certificate_expiry.get_or_create(&[]);
        expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// An order of a certificate has ended.
    pub fn order_ended(&self, outcome: OrderOutcome) {
        count(
            &self.families.certificate_orders,
            &OrderLabels::new(outcome),
        );
    }

    /// The number of open connections.
    pub fn open_connections(&self) -> i64 {
        self.families.open_connections.get()
    }

    /// The end of the certificate's validity; `None` without one.
    pub fn certificate_expiry(&self) -> Option<SystemTime> {
        let expiry = self.families.certificate_expiry.get(&[])?.get();
        let since_epoch = Duration::from_secs(u64::try_from(expiry).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch)
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.families.connections.inc();
        self.families.open_connections.inc();
    }

    /// A connection has ended.
    pub fn connection_closed(&self) {
        self.families.open_connections.dec();
    }

    /// A connection was closed, or not served at all, for one of the listener's
    /// limits.
    pub fn connection_dropped(&self, reason: DropReason) {
        count(&self.families.dropped_connections, &DropLabels::new(reason));
    }

    /// A TLS handshake has failed.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        count(
            &self.families.handshake_failures,
            &HandshakeLabels::new(reason),
        );
    }

    /// The credentials of a gRPC call, or of a handshake, were refused.
    pub fn credentials_refused(&self, listener: GrpcListener) {
        count(
            &self.families.refused_credentials,
            &CredentialsLabels::new(listener),
        );
    }

    /// A message was taken from a queue, so long after it was sent.
    pub fn queue_message_received(&self, age: Duration) {
        self.families.queue_message_age.observe(age.as_secs_f64());
    }

    /// A call of SQS has failed.
    pub fn queue_call_failed(&self, call: QueueCall) {
        count(
            &self.families.queue_call_failures,
            &QueueCallLabels::new(call),
        );
    }

    /// A reply queue that nobody used any more was deleted.
    pub fn reply_queue_swept(&self) {
        self.families.reply_queues_swept.inc();
    }

    /// Takes over what is held now.
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

    /// So many blocks of the metrics log could not be written yet.
    pub fn blocks_unwritten(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.families.unwritten_blocks.set(count);
    }

    /// There is a peer of this name: all its series are there from now on.
    pub fn peer_configured(&self, peer: &PeerName) {
        self.families.seed_peer(peer);
    }

    /// A peer was asked for a client of ours, and this came of it.
    pub fn borrowed(&self, peer: &PeerName, outcome: LoanOutcome) {
        count(
            &self.families.borrowed,
            &LoanLabels::new(peer.clone(), outcome),
        );
    }

    /// A peer has answered a client of ours after so long.
    pub fn borrowed_answer(&self, peer: &PeerName, latency: Duration) {
        let latencies = &self.families.borrowed_latency;
        let histogram = latencies.get_or_create(&PeerLabels::new(peer.clone()));
        histogram.observe(latency.as_secs_f64());
    }

    /// A peer did not take an offer of ours.
    pub fn borrowing_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefusalLabels::new(peer.clone(), reason);
        count(&self.families.borrowing_refusals, &labels);
    }

    /// A peer asked for a client of its own, and this came of it.
    pub fn lent(&self, peer: &PeerName, outcome: LoanOutcome) {
        count(&self.families.lent, &LoanLabels::new(peer.clone(), outcome));
    }

    /// An offer of a peer was not taken.
    pub fn lending_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefusalLabels::new(peer.clone(), reason);
        count(&self.families.lending_refusals, &labels);
    }
}

fn count<S: Clone + Hash + Eq>(family: &Family<S, Counter>, labels: &S) {
    family.get_or_create(labels).inc();
}
