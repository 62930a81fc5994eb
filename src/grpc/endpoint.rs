//! The endpoint of a gRPC listener: its TLS, its connection slots, and the log of refused
//! connections.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{InvalidMessage, ServerConfig};
use tracing::Level;

use super::slow_down::SlowDown;
use crate::broker::clock;
use crate::causes::in_words;
use crate::listener::accounts::{Accounts, Bounds};
use crate::listener::{
    self, CallerSlots, ChooseTls, Closing, DropCause, Http2Only, KeepAlive, Observer, PeerIdentity,
    SLOTS_MAX, Serve, Server, SlotLimit, SwappableTls,
};
use crate::metrics::Metrics;
use crate::metrics::labels::GrpcListener;
use crate::telemetry::{Kind, LogLimit};

/// The maximum number of connections: as many over TCP as over a Unix socket.
const CONNECTIONS_MAX: usize = 2 * SLOTS_MAX;

/// The maximum number of failed handshakes, and of crowded-out connections, logged per
/// period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);

/// The limits of a service: concurrent calls per connection, and keep-alive pings.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointLimits {
    pub(super) max_streams: u32,
    pub(super) keep_alive: KeepAlive,
}

/// The endpoint of one listener.
pub struct TlsEndpoint {
    listener: GrpcListener,
    tls: Arc<SwappableTls>,
    slots: Arc<CallerSlots>,
    slow_down: SlowDown,
    metrics: Arc<Metrics>,
    failed_handshakes: LogLimit,
    crowds: LogLimit,
    failed_accepts: LogLimit,
}

impl TlsEndpoint {
    /// The endpoint of a listener, over TLS if `tls` is given.
    pub(super) fn new(
        listener: GrpcListener,
        tls: Option<ServerConfig>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let limit = |what| {
            let gist = format!("{}: {what}", listener.setting()).into();
            let level = Level::INFO;
            LogLimit::new(Kind { level, gist }, LOGGED_MAX, LOG_PERIOD)
        };
        Arc::new(Self {
            listener,
            tls: SwappableTls::new(tls.map(always)),
            slots: Arc::default(),
            slow_down: SlowDown::default(),
            metrics,
            failed_handshakes: limit("failed TLS handshakes"),
            crowds: limit("connections closed because there were too many"),
            failed_accepts: limit("failed accepts of connections"),
        })
    }

    /// Replaces the TLS of new connections.
    pub(super) fn set_tls(&self, tls: Option<ServerConfig>) {
        self.tls.set(tls.map(always));
    }

    /// A server for this service. `knows` returns true for certificate names of known
    /// callers.
    pub(super) fn server<S: Serve>(
        self: &Arc<Self>,
        service: S,
        limits: EndpointLimits,
        knows: impl Fn(&[String]) -> bool + Send + Sync + 'static,
        closing: Closing,
    ) -> Server<S> {
        let settings = listener::Settings {
            max_connections: CONNECTIONS_MAX,
            // The slots have their own limit per address.
            max_connections_per_peer: 0,
            // Pings detect dead connections.
            idle_timeout: Duration::MAX,
            http2_max_streams: limits.max_streams,
            http2_max_streams_trusted: limits.max_streams,
            ..listener::Settings::default()
        };
        let http2_only = Http2Only {
            keep_alive: limits.keep_alive,
            slots: Arc::clone(&self.slots),
            knows: Box::new(knows),
        };
        let observer = Arc::clone(self);
        let accounts = Accounts::new(Bounds::default());
        Server::new(settings, None, service, observer, accounts, closing)
            .with_tls(Arc::clone(&self.tls))
            .http2_only(http2_only)
    }

    /// Notes that the credentials of a call were accepted, so that its connection stays
    /// open.
    pub(super) fn accepted(&self, peer: &PeerIdentity) {
        if let Some(holder) = peer.holder() {
            self.slots.accepted(holder);
        }
    }

    /// Notes that the credentials of a call were refused, and returns the delay of the
    /// response.
    pub(super) fn refused(&self, peer: &PeerIdentity) -> Duration {
        self.metrics.credentials_refused(self.listener);
        let Some(holder) = peer.holder() else {
            return Duration::ZERO;
        };
        holder.refused();
        let now = clock::now();
        let pause = self.slow_down.refused(holder.network(), now);
        pause.min(holder.patience(now))
    }

    fn log_handshake(&self, problem: &str) {
        if let Some(suppressed) = self.failed_handshakes.admit(clock::now()) {
            let setting = self.listener.setting();
            tracing::info!(problem, suppressed, "{setting}: TLS handshake failed");
        }
    }
}

/// Chooses the same TLS for every connection.
fn always(config: ServerConfig) -> Arc<ChooseTls> {
    let config = Arc::new(config);
    Arc::new(move |_| Some(Arc::clone(&config)))
}

impl Observer for TlsEndpoint {
    fn opened(&self) {}

    fn closed(&self) {}

    fn dropped(&self, cause: DropCause) {
        let is_full = matches!(
            cause,
            DropCause::Connections | DropCause::ConnectionsPerPeer
        );
        if is_full && let Some(suppressed) = self.crowds.admit(clock::now()) {
            let setting = self.listener.setting();
            tracing::warn!(
                suppressed,
                "{setting}: dropped a connection: too many are open"
            );
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failed_accepts.admit(clock::now()) {
            let setting = self.listener.setting();
            tracing::warn!(%error, suppressed, "{setting}: cannot accept connections, will try again");
        }
    }

    fn handshake_failed(&self, error: Option<&io::Error>) {
        let Some(error) = error else {
            return self.log_handshake("it took too long, or too many were under way");
        };
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) =
            tls
        {
            self.metrics.credentials_refused(self.listener);
        }
        let not_tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        if tls == Some(&not_tls) {
            self.log_handshake(&format!("it is not TLS that came: {error}"));
        } else {
            self.log_handshake(&in_words(error));
        }
    }

    fn tls_in_the_clear(&self) {
        self.log_handshake("it came to a port that is served in the clear");
    }

    fn crowded(&self, limit: SlotLimit, is_admitted: bool) {
        let setting = self.listener.setting();
        let Some(suppressed) = self.crowds.admit(clock::now()) else {
            return;
        };
        if is_admitted {
            tracing::info!(
                suppressed,
                "{setting}: {limit}: closed the oldest connection without credentials"
            );
        } else {
            tracing::warn!(suppressed, "{setting}: {limit}: closed a new connection");
        }
    }
}

impl fmt::Debug for TlsEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = &self.listener;
        formatter
            .debug_struct("TlsEndpoint")
            .field("listener", listener)
            .finish_non_exhaustive()
    }
}
