//! Sockets and connections: accept, TLS, HTTP/1.1 and HTTP/2, time limits.
//! Knows nothing of what is served.

pub mod accounts;
mod activity;
pub mod addresses;
mod authority;
mod awaited;
mod bind;
mod buffers;
mod closing;
mod frames;
mod handshake;
mod holds;
mod overdue;
mod proxy_protocol;
mod rules;
mod serving;
mod settings;
mod streams;
mod unwritten;
mod version;
mod watched;
mod write_through;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;
use tower::Service;

pub use authority::AuthorityRewriter;
pub use bind::bind;
pub use closing::{Closing, Stage};
pub use holds::{Connection, Hold};
pub use settings::{SOCKETS, Settings};

use accounts::{Accounts, NoRoom, Reservation};
use buffers::Buffers;
use handshake::Handshake;
use rules::Rules;
use version::Version;

/// How long to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that an open connection costs whatever comes over it, in the clear and
/// over TLS: see docs/performance.md.
const PLAIN_COST: usize = 8 * 1024;
const TLS_COST: usize = 16 * 1024;

/// The other end of the connection that a request came over; an extension of
/// each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Which limit ended a connection, or kept it from being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// [`Settings::max_connections`].
    Connections,
    /// [`Settings::max_connections_per_peer`].
    ConnectionsPerPeer,
    /// [`Settings::proxy_protocol`]: no PROXY header, or of somebody untrusted.
    ProxyProtocol,
    /// [`Settings::header_read_timeout`].
    HeadTimeout,
    /// [`Settings::idle_timeout`].
    IdleTimeout,
    /// [`Settings::http2_max_resets`], [`Settings::http2_max_errors`], and bounds
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

/// What whoever counts connections wants to be told.
pub trait Observer: Send + Sync + 'static {
    /// A connection is served.
    fn opened(&self);
    /// It has ended.
    fn closed(&self);
    /// A connection was ended, or not served at all, for a limit.
    fn dropped(&self, reason: DropReason);
    /// No connection can be accepted now, for want of something. It is tried
    /// again ten times a second.
    fn accept_failed(&self, error: &io::Error);
    /// A TLS handshake failed; `in_time` unless it took too long.
    fn handshake_failed(&self, in_time: bool);
    /// A TLS handshake has come to a port in the clear.
    fn tls_in_the_clear(&self);
}

/// Chooses what the TLS handshake with a peer of which these bytes have come is made
/// with; `None` if more have to come first.
pub type ChooseTls = dyn Fn(&[u8]) -> Option<Arc<ServerConfig>> + Send + Sync;

/// What can be served, such as an `axum::Router`.
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

/// A connection in the clear, or over TLS.
type Stream = Either<TcpStream, Box<TlsStream<Handshake>>>;

/// A connection before its first request.
struct Begun {
    stream: Stream,
    /// What was read of it.
    early: Vec<u8>,
}

/// Serves connections with one service.
pub struct Server<S> {
    rules: ArcSwap<Rules>,
    tls: Option<Arc<ChooseTls>>,
    service: S,
    observer: Arc<dyn Observer>,
    accounts: Arc<Accounts>,
    connections: TaskTracker,
    closing: Closing,
}

impl<S: Serve> Server<S> {
    /// A server over TLS, or in the clear if nothing is there to choose it. It ends
    /// as `closing` tells it to.
    pub fn new(
        settings: Settings,
        tls: Option<Arc<ChooseTls>>,
        service: S,
        observer: Arc<dyn Observer>,
        accounts: Arc<Accounts>,
        closing: Closing,
    ) -> Self {
        Self {
            rules: ArcSwap::from_pointee(Rules::new(settings, Vec::new())),
            tls,
            service,
            observer,
            accounts,
            connections: TaskTracker::new(),
            closing,
        }
    }

    /// The accounts of its peers.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Replaces the settings but for the address; connections that are open keep
    /// the old ones. Peers in `trusted` say for whom they forward.
    pub fn set(&self, settings: Settings, trusted: Vec<IpNet>) {
        self.rules.store(Arc::new(Rules::new(settings, trusted)));
    }

    /// Accepts connections until it leaves, then waits for the open ones. Of
    /// several listeners each needs its own run.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        if let Err(error) = bind::bound_connections(&listener) {
            tracing::warn!(%error, "the kernel's memory for connections is not bounded");
        }
        let leaving = self.closing.reached(Stage::Leaving);
        tokio::pin!(leaving);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = leaving.as_mut() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, Peer(peer)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.observer.accept_failed(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Whoever else has this socket gets the connections from now on.
        drop(listener);
        self.connections.close();
        self.connections.wait().await;
    }

    /// How many requests a peer may have under way on one HTTP/2 connection.
    fn max_streams(&self, peer: Peer, rules: &Rules) -> u32 {
        if self.accounts.is_exempt(peer.0.ip()) {
            rules.settings.http2_max_streams_trusted
        } else {
            rules.settings.http2_max_streams
        }
    }

    /// The kernel's memory for a connection of a peer.
    fn buffers(&self, peer: Peer) -> Buffers {
        Buffers::of(self.accounts.is_exempt(peer.0.ip()))
    }

    /// A place for one more connection of a peer.
    fn place_of(&self, peer: Peer, rules: &Rules) -> Result<Arc<Reservation>, DropReason> {
        let cost = if self.tls.is_some() {
            TLS_COST
        } else {
            PLAIN_COST
        };
        let place = self.accounts.admit(peer.0.ip(), &rules.settings, cost)?;
        // Until its first request is there it may make room for others.
        place.set_idle(true);
        Ok(Arc::new(place))
    }

    /// Serves a connection, unless there are too many.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: Peer) {
        let rules = self.rules.load_full();
        match self.place_of(peer, &rules) {
            Ok(place) => {
                let server = Arc::clone(self);
                self.connections
                    .spawn(server.serve(stream, peer, rules, place));
            }
            Err(reason) => self.observer.dropped(reason),
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: Peer,
        rules: Arc<Rules>,
        place: Arc<Reservation>,
    ) {
        let _open = Open::new(&*self.observer);
        let identified = if rules.settings.proxy_protocol {
            Box::pin(self.identify(&mut stream, peer, place, &rules)).await
        } else {
            Some((peer, place))
        };
        let Some((peer, place)) = identified else {
            return;
        };
        self.buffers(peer).give(&stream);
        // In a box: a connection is open for long after its beginning, and most of
        // its memory is that of this future.
        let begun = Box::pin(self.begin(stream, &rules, &place));
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = place.revoked() => {
                self.observer.dropped(DropReason::Revoked);
                None
            }
        };
        match begun {
            Some((begun, Version::Http2)) => {
                Box::pin(self.serve_http2(begun, peer, &rules, place)).await;
            }
            // Who speaks TLS hears in HTTP/1 that it is none.
            Some((begun, _)) => self.serve_http1(begun, peer, &rules, place).await,
            None => {}
        }
    }

    /// What comes before HTTP; `None` if that fails, or was all.
    async fn begin(
        &self,
        mut stream: TcpStream,
        rules: &Rules,
        place: &Arc<Reservation>,
    ) -> Option<(Begun, Version)> {
        let Some(tls) = &self.tls else {
            let (version, early) = self.first_bytes(&mut stream, rules).await?;
            if version == Version::Tls {
                self.observer.tls_in_the_clear();
            }
            let stream = Stream::Left(stream);
            return Some((Begun { stream, early }, version));
        };
        let stream = Handshake::new(stream, Arc::clone(place));
        let stream = self.shake_hands(&**tls, stream, rules).await?;
        let version = Version::agreed(&stream);
        let begun = Begun {
            stream: Stream::Right(Box::new(stream)),
            early: Vec::new(),
        };
        Some((begun, version))
    }

    /// The version of HTTP that a connection in the clear begins with, and what was
    /// read of it; `None` if it does not begin in time.
    async fn first_bytes(
        &self,
        stream: &mut TcpStream,
        rules: &Rules,
    ) -> Option<(Version, Vec<u8>)> {
        let version = timeout(rules.settings.header_read_timeout, Version::of(stream));
        let version = tokio::select! {
            version = version => version,
            () = self.closing.reached(Stage::Closing) => return None,
        };
        let Ok(version) = version else {
            self.observer.dropped(DropReason::HeadTimeout);
            return None;
        };
        version.ok()
    }

    /// The connection after its TLS handshake; `None` if that fails, or was all.
    async fn shake_hands(
        &self,
        tls: &ChooseTls,
        stream: Handshake,
        rules: &Rules,
    ) -> Option<TlsStream<Handshake>> {
        let handshake = timeout(rules.settings.tls_handshake_timeout, stream.make(tls));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = self.closing.reached(Stage::Closing) => return None,
        };
        match shaken {
            Ok(Ok(stream)) => (!handshake::is_challenge(&stream)).then_some(stream),
            Ok(Err(error)) if lacks_room(&error) => {
                self.observer.dropped(DropReason::Memory);
                None
            }
            Ok(Err(error)) => {
                self.observer.handshake_failed(true);
                tracing::debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => {
                self.observer.handshake_failed(false);
                tracing::debug!("TLS handshake took too long");
                None
            }
        }
    }
}

/// Returns true if there was no room for what was to be read.
fn lacks_room(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref()) == Some(&NoRoom)
}

/// Whether a connection failed before it was accepted; the next may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection that is open, for the observer.
struct Open<'a>(&'a dyn Observer);

impl<'a> Open<'a> {
    fn new(observer: &'a dyn Observer) -> Self {
        observer.opened();
        Self(observer)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}
