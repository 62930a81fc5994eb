//! The server: takes connections, and does with each what comes before HTTP.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::accounts::{Accounts, NoRoom, Reservation};
use super::bind;
use super::buffers::Buffers;
use super::closing::{Closing, ClosingStage};
use super::handshake::{self, ChooseTls, Handshake};
use super::identity::RemoteAddress;
use super::observer::{DropCause, Observer, OpenConnection};
use super::rules::ConnectionRules;
use super::settings::Settings;
use super::stream::{ConnectionStream, FreshConnection};
use super::version::HttpVersion;

/// The time to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that an open connection costs whatever comes over it, in the clear and
/// over TLS: see docs/performance.md.
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

/// Serves connections with one service.
pub struct Server<S> {
    rules: ArcSwap<ConnectionRules>,
    pub(super) tls: Option<Arc<ChooseTls>>,
    pub(super) service: S,
    pub(super) observer: Arc<dyn Observer>,
    accounts: Arc<Accounts>,
    connections: TaskTracker,
    pub(super) closing: Closing,
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
            rules: ArcSwap::from_pointee(ConnectionRules::new(settings, Vec::new())),
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
        self.rules
            .store(Arc::new(ConnectionRules::new(settings, trusted)));
    }

    /// Accepts connections until it leaves, then waits for the open ones. Of
    /// several listeners each needs its own run.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        if let Err(error) = bind::bound_connections(&listener) {
            tracing::warn!(%error, "the kernel's memory for connections is not bounded");
        }
        let leaving = self.closing.reached(ClosingStage::Leaving);
        tokio::pin!(leaving);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = leaving.as_mut() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, RemoteAddress(peer)),
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

    /// The number of requests that a peer may have under way on one HTTP/2 connection.
    pub(super) fn max_streams(&self, peer: RemoteAddress, rules: &ConnectionRules) -> u32 {
        if self.accounts.is_exempt(peer.0.ip()) {
            rules.settings.http2_max_streams_trusted
        } else {
            rules.settings.http2_max_streams
        }
    }

    /// The kernel's memory for a connection of a peer.
    pub(super) fn buffers(&self, peer: RemoteAddress) -> Buffers {
        Buffers::of(self.accounts.is_exempt(peer.0.ip()))
    }

    /// A place for one more connection of a peer.
    pub(super) fn place_of(
        &self,
        peer: RemoteAddress,
        rules: &ConnectionRules,
    ) -> Result<Arc<Reservation>, DropCause> {
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
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: RemoteAddress) {
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
        peer: RemoteAddress,
        rules: Arc<ConnectionRules>,
        place: Arc<Reservation>,
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
        self.buffers(peer).give(&stream);
        // In a box: a connection is open for long after its beginning, and most of
        // its memory is that of this future.
        let begun = Box::pin(self.begin(stream, &rules, &place));
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = place.revoked() => {
                self.observer.dropped(DropCause::Revoked);
                None
            }
        };
        match begun {
            Some((begun, HttpVersion::Http2)) => {
                Box::pin(self.serve_http2(begun, peer, &rules, place)).await;
            }
            // Who speaks TLS hears in HTTP/1 that it is none.
            Some((begun, _)) => self.serve_http1(begun, peer, &rules, place).await,
            None => {}
        }
    }

    /// Does what comes before HTTP; `None` if that fails, or was all.
    async fn begin(
        &self,
        mut stream: TcpStream,
        rules: &ConnectionRules,
        place: &Arc<Reservation>,
    ) -> Option<(FreshConnection, HttpVersion)> {
        let Some(tls) = &self.tls else {
            let (version, early) = self.first_bytes(&mut stream, rules).await?;
            if version == HttpVersion::Tls {
                self.observer.tls_in_the_clear();
            }
            let stream = ConnectionStream::Left(stream);
            return Some((FreshConnection { stream, early }, version));
        };
        let stream = Handshake::new(stream, Arc::clone(place));
        let stream = self.shake_hands(&**tls, stream, rules).await?;
        let version = HttpVersion::agreed(&stream);
        let begun = FreshConnection {
            stream: ConnectionStream::Right(Box::new(stream)),
            early: Vec::new(),
        };
        Some((begun, version))
    }

    /// The version of HTTP that a connection in the clear begins with, and what was
    /// read of it; `None` if it does not begin in time.
    async fn first_bytes(
        &self,
        stream: &mut TcpStream,
        rules: &ConnectionRules,
    ) -> Option<(HttpVersion, Vec<u8>)> {
        let version = timeout(rules.settings.header_read_timeout, HttpVersion::of(stream));
        let version = tokio::select! {
            version = version => version,
            () = self.closing.reached(ClosingStage::Closing) => return None,
        };
        let Ok(version) = version else {
            self.observer.dropped(DropCause::HeadTimeout);
            return None;
        };
        version.ok()
    }

    /// The connection after its TLS handshake; `None` if that fails, or was all.
    async fn shake_hands(
        &self,
        tls: &ChooseTls,
        stream: Handshake,
        rules: &ConnectionRules,
    ) -> Option<TlsStream<Handshake>> {
        let handshake = timeout(rules.settings.tls_handshake_timeout, stream.make(tls));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = self.closing.reached(ClosingStage::Closing) => return None,
        };
        match shaken {
            Ok(Ok(stream)) => (!handshake::is_challenge(&stream)).then_some(stream),
            Ok(Err(error)) if lacks_room(&error) => {
                self.observer.dropped(DropCause::Memory);
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

/// Returns true if a connection failed before it was accepted; the next may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
