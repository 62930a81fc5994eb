//! The server: accepts connections, and prepares each one for HTTP.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::accounts::{Accounts, Payer, Reservation};
use super::bind;
use super::buffers::Buffers;
use super::closing::{Closing, ClosingStage};
use super::handshake::{ChooseTls, SwappableTls};
use super::identity::{PeerIdentity, RemoteAddress};
use super::observer::{DropCause, Observer, OpenConnection};
use super::rules::{ConnectionRules, KeepAlive};
use super::self_woken::polled_again;
use super::settings::Settings;
use super::slots::{Admission, CallerSlot, CallerSlots, SlotHolder};
use super::socket::{Accepted, ListenSocket};
use super::stream::{ByteStream, ConnectionStream, FreshConnection};
use super::unix::UnixConnection;
use super::version::HttpVersion;

/// The pause after a failed accept for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The fixed cost of an open connection in bytes, without and with TLS: see
/// docs/performance.md.
const PLAIN_COST: usize = 8 * 1024;
const TLS_COST: usize = 16 * 1024;

/// A service that can be served, such as an `axum::Router`.
pub trait Serve:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Serve for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Returns true if a certificate with these names makes its owner known.
pub type KnowsNames = Box<dyn Fn(&[String]) -> bool + Send + Sync>;

/// Options of a server that speaks only HTTP/2 and requires credentials.
pub struct Http2Only {
    /// The keep-alive pings.
    pub keep_alive: KeepAlive,
    /// The slots of its TCP connections.
    pub slots: Arc<CallerSlots>,
    /// Returns true if a certificate with these names makes its owner known.
    pub knows: KnowsNames,
}

/// Serves connections with one service.
pub struct Server<S> {
    rules: ArcSwap<ConnectionRules>,
    pub(super) tls: Arc<SwappableTls>,
    pub(super) http2_only: Option<Http2Only>,
    pub(super) service: S,
    pub(super) observer: Arc<dyn Observer>,
    accounts: Arc<Accounts>,
    connections: TaskTracker,
    pub(super) closing: Closing,
}

impl<S: Serve> Server<S> {
    /// A server over TLS, or plain HTTP if `tls` is `None`. It shuts down with `closing`.
    pub fn new(
        settings: Settings,
        tls: Option<Arc<ChooseTls>>,
        service: S,
        observer: Arc<dyn Observer>,
        accounts: Arc<Accounts>,
        closing: Closing,
    ) -> Self {
        Self {
            rules: ArcSwap::from_pointee(ConnectionRules::new(settings, Vec::new())),
            tls: SwappableTls::new(tls),
            http2_only: None,
            service,
            observer,
            accounts,
            connections: TaskTracker::new(),
            closing,
        }
    }

    /// Uses `tls` for new connections.
    #[must_use]
    pub fn with_tls(self, tls: Arc<SwappableTls>) -> Self {
        Self { tls, ..self }
    }

    /// Serves only HTTP/2, to callers with a [`PeerIdentity`].
    #[must_use]
    pub fn http2_only(self, http2_only: Http2Only) -> Self {
        Self {
            http2_only: Some(http2_only),
            ..self
        }
    }

    /// The accounts of the peers.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Replaces the settings except the address; open connections keep the old ones.
    /// Peers in `trusted` may name the senders that they forward for.
    pub fn set(&self, settings: Settings, trusted: Vec<IpNet>) {
        let rules = ConnectionRules::new(settings, trusted);
        self.rules.store(Arc::new(rules));
    }

    /// Accepts connections until shutdown, then waits for the open ones to end. Call it
    /// once for each socket.
    pub async fn run(self: Arc<Self>, socket: impl Into<ListenSocket>) {
        let socket = socket.into();
        if let ListenSocket::Tcp(listener) = &socket
            && let Err(error) = bind::bound_connections(listener)
        {
            tracing::warn!(%error, "cannot bound the kernel's memory for connections");
        }
        let leaving = self.closing.reached(ClosingStage::Leaving);
        tokio::pin!(leaving);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = leaving.as_mut() => break,
            };
            match accepted {
                Ok(accepted) => self.admit(accepted),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.observer.accept_failed(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Another process with this socket gets the connections from now on.
        drop(socket);
        self.connections.close();
        self.connections.wait().await;
    }

    /// Serves HTTP/2 over a non-TCP connection from an identified peer.
    pub async fn serve_stream(
        self: Arc<Self>,
        stream: impl ByteStream + 'static,
        identity: PeerIdentity,
    ) {
        let rules = self.rules.load_full();
        match self.place_of(Payer::Many, &rules) {
            Ok(place) => {
                let _open = OpenConnection::new(&*self.observer);
                let begun = FreshConnection {
                    stream: ConnectionStream::Right(Box::new(stream)),
                    early: Vec::new(),
                    address: None,
                    identity: Some(Arc::new(identity)),
                };
                self.serve_http2(begun, &rules, place).await;
            }
            Err(reason) => self.observer.dropped(reason),
        }
    }

    /// Returns true if a peer has no limits of its own.
    pub(super) fn is_exempt(&self, address: Option<RemoteAddress>) -> bool {
        address.is_none_or(|address| self.accounts.is_exempt(address.0.ip()))
    }

    /// The keep-alive pings.
    pub(super) fn keep_alive(&self) -> KeepAlive {
        let other = self.http2_only.as_ref().map(|other| other.keep_alive);
        other.unwrap_or_default()
    }

    /// Returns true if a connection may be open for a long time before its first request.
    pub(super) fn is_patient(&self) -> bool {
        self.http2_only.is_some()
    }

    /// The place of one more connection from a peer.
    pub(super) fn place_of(
        &self,
        peer: Payer,
        rules: &ConnectionRules,
    ) -> Result<Arc<Reservation>, DropCause> {
        let cost = if self.tls.is_some() {
            TLS_COST
        } else {
            PLAIN_COST
        };
        let place = self.accounts.admit(peer, &rules.settings, cost)?;
        // Until its first request, the connection may be closed to make room.
        place.set_idle(true);
        Ok(Arc::new(place))
    }

    /// Serves a connection, unless there are too many.
    fn admit(self: &Arc<Self>, accepted: Accepted) {
        let server = Arc::clone(self);
        let (stream, peer) = match accepted {
            Accepted::Tcp(stream, peer) => (stream, RemoteAddress(peer)),
            Accepted::Unix(stream) => {
                let stream = UnixConnection::new(stream);
                let identity = stream.identity();
                let serving = server.serve_stream(stream, identity);
                self.connections.spawn(polled_again(Box::pin(serving)));
                return;
            }
        };
        let rules = self.rules.load_full();
        let place = match self.place_of(Payer::Address(peer.0.ip()), &rules) {
            Ok(place) => place,
            Err(reason) => return self.observer.dropped(reason),
        };
        let Some(http2_only) = &self.http2_only else {
            let serving = server.serve(stream, peer, rules, place, None);
            self.connections.spawn(polled_again(Box::pin(serving)));
            return;
        };
        let Admission { slot, limit } = http2_only.slots.admit(peer.0.ip());
        if let Some(limit) = limit {
            self.observer.crowded(limit, slot.is_some());
        }
        if let Some(slot) = slot {
            let serving = server.serve_in_slot(stream, peer, rules, place, slot);
            self.connections.spawn(polled_again(Box::pin(serving)));
        }
    }

    /// Serves a connection until its caller loses its slot.
    async fn serve_in_slot(
        self: Arc<Self>,
        stream: TcpStream,
        peer: RemoteAddress,
        rules: Arc<ConnectionRules>,
        place: Arc<Reservation>,
        slot: CallerSlot,
    ) {
        let holder = Some(slot.holder());
        tokio::select! {
            // Biased, so that the caller gets the reason before the connection ends.
            biased;
            () = Box::pin(self.serve(stream, peer, rules, place, holder)) => {}
            () = slot.holder().has_to_go() => {}
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: RemoteAddress,
        rules: Arc<ConnectionRules>,
        place: Arc<Reservation>,
        holder: Option<Arc<SlotHolder>>,
    ) {
        let _open = OpenConnection::new(&*self.observer);
        let identified = if rules.settings.proxy_protocol {
            Box::pin(self.identify(&mut stream, peer, place, &rules)).await
        } else {
            Some((peer, place))
        };
        let Some((peer, place)) = identified else {
            return;
        };
        Buffers::of(self.is_exempt(Some(peer))).give(&stream);
        // Boxed: a connection outlives its start by far, and most of its memory is in
        // this future.
        let begun = Box::pin(self.begin(stream, peer, &rules, &place, holder.as_ref()));
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = place.revoked() => {
                self.observer.dropped(DropCause::Revoked);
                None
            }
            () = SlotHolder::gone(holder.as_ref()) => {
                if self.tls.is_some() {
                    self.observer.handshake_failed(None);
                }
                None
            }
        };
        match begun {
            Some((begun, HttpVersion::Http2)) => {
                Box::pin(self.serve_http2(begun, &rules, place)).await;
            }
            // A TLS peer gets a plain HTTP/1 error.
            Some((begun, _)) => self.serve_http1(begun, &rules, place).await,
            None => {}
        }
    }
}

/// Returns true if only a single connection failed; the next one may succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
