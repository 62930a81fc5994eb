//! Connections as they are counted.

use super::Metrics;
use super::families::{Dropped, Handshake, RefusedCredentials};
use super::labels::{DropReason, GrpcListener, HandshakeFailure};

impl Metrics {
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
        let dropped = &self.families.dropped_connections;
        dropped.get_or_create(&Dropped { reason }).inc();
    }

    /// A TLS handshake has failed.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        let failures = &self.families.handshake_failures;
        failures.get_or_create(&Handshake { reason }).inc();
    }

    /// The credentials of a gRPC call, or of a handshake, were refused.
    pub fn credentials_refused(&self, listener: GrpcListener) {
        let refused = &self.families.refused_credentials;
        let labels = RefusedCredentials { listener };
        refused.get_or_create(&labels).inc();
    }
}
