//! Whoever counts connections.

use std::io;

use super::slots::SlotLimit;

/// The limit that ended a connection, or kept it from being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// [`Settings::max_connections`](super::Settings::max_connections).
    Connections,
    /// [`Settings::max_connections_per_peer`](super::Settings::max_connections_per_peer).
    ConnectionsPerPeer,
    /// [`Settings::proxy_protocol`](super::Settings::proxy_protocol): no PROXY header, or of somebody untrusted.
    ProxyProtocol,
    /// [`Settings::header_read_timeout`](super::Settings::header_read_timeout).
    HeadTimeout,
    /// [`Settings::idle_timeout`](super::Settings::idle_timeout).
    IdleTimeout,
    /// [`Settings::http2_max_resets`](super::Settings::http2_max_resets), [`Settings::http2_max_errors`](super::Settings::http2_max_errors), and bounds
    /// of h2's own on frames that carry nothing.
    Http2Abuse,
    /// The peer did not take what was written to it.
    WriteTimeout,
    /// There was no room for the head of a request, for a TLS handshake, or for what
    /// the peer did not take.
    Memory,
    /// It was idle, and others needed its place or its memory.
    Revoked,
}

/// Whoever counts connections, and what that is told.
pub trait Observer: Send + Sync + 'static {
    /// A connection is served.
    fn opened(&self);
    /// It has ended.
    fn closed(&self);
    /// A connection was ended, or not served at all, for a limit.
    fn dropped(&self, reason: DropCause);
    /// No connection can be accepted now, for want of something. It is tried
    /// again ten times a second.
    fn accept_failed(&self, error: &io::Error);
    /// A TLS handshake failed for this error, or took too long.
    fn handshake_failed(&self, error: Option<&io::Error>);
    /// A TLS handshake has come to a port in the clear.
    fn tls_in_the_clear(&self);
    /// There was no slot left for one more connection; it has that of another if
    /// it is admitted.
    fn crowded(&self, _limit: SlotLimit, _is_admitted: bool) {}
}

/// A connection that is open, for the observer.
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
