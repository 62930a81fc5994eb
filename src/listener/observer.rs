//! Observation of connections, for metrics and logs.

use std::io;

use super::slots::SlotLimit;

/// The limit that ended or prevented a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// [`Settings::max_connections`](super::Settings::max_connections).
    Connections,
    /// [`Settings::max_connections_per_peer`](super::Settings::max_connections_per_peer).
    ConnectionsPerPeer,
    /// [`Settings::proxy_protocol`](super::Settings::proxy_protocol): no PROXY header, or
    /// one from an untrusted peer.
    ProxyProtocol,
    /// [`Settings::header_read_timeout`](super::Settings::header_read_timeout).
    HeadTimeout,
    /// [`Settings::idle_timeout`](super::Settings::idle_timeout).
    IdleTimeout,
    /// [`Settings::http2_max_resets`](super::Settings::http2_max_resets),
    /// [`Settings::http2_max_errors`](super::Settings::http2_max_errors), and h2's own
    /// limits on empty frames.
    Http2Abuse,
    /// The peer did not read the data sent to it.
    WriteTimeout,
    /// No memory for a request's head, a TLS handshake, or data that the peer did not
    /// take.
    Memory,
    /// The connection was idle, and others needed its place or memory.
    Revoked,
}

/// An observer of connections.
pub trait Observer: Send + Sync + 'static {
    /// A connection is being served.
    fn opened(&self);
    /// A served connection has ended.
    fn closed(&self);
    /// A connection was ended or refused because of a limit.
    fn dropped(&self, reason: DropCause);
    /// Accepting a connection failed for lack of resources. It is retried ten times a
    /// second.
    fn accept_failed(&self, error: &io::Error);
    /// A TLS handshake failed with this error, or timed out.
    fn handshake_failed(&self, error: Option<&io::Error>);
    /// A TLS handshake arrived on a plain HTTP port.
    fn tls_in_the_clear(&self);
    /// All slots are taken. If the connection is admitted, another one loses its slot.
    fn crowded(&self, _limit: SlotLimit, _is_admitted: bool) {}
}

/// An open connection, reported to the observer.
pub(super) struct OpenConnection<'a>(&'a dyn Observer);

impl<'a> OpenConnection<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        observer.opened();
        Self(observer)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
