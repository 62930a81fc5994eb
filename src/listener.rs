//! Sockets and connections: accept, TLS, HTTP/1.1 and HTTP/2, time limits.
//! Knows nothing of what is served.

mod activity;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use activity::{Activity, Limits, Overdue, Watched};

/// How many connections the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 4096;
/// The largest head of a request that is read, in bytes. AMP carries a client's
/// poll of some 4 KB in the path.
const HEAD_MAX: u32 = 64 * 1024;
/// How often an HTTP/2 peer is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where and how connections are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port; without an address, all of them, IPv6 and IPv4.
    pub addr: String,
    /// How long a peer may take over the TLS handshake.
    #[serde(with = "crate::timespan")]
    pub tls_handshake_timeout: Duration,
    /// How long a peer may take over the head of a request.
    #[serde(with = "crate::timespan")]
    pub header_read_timeout: Duration,
    /// How long a connection is kept open between two requests. Proxies poll
    /// every 20 s.
    #[serde(with = "crate::timespan")]
    pub idle_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addr: ":443".to_owned(),
            tls_handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

/// Listens on `addr`, written `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every
/// address of the machine.
pub async fn bind(addr: &str) -> io::Result<TcpListener> {
    if let Some(port) = addr.strip_prefix(':') {
        let port = port.parse().map_err(|_| no_port(port))?;
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return listen(everywhere).or_else(|error| match error.kind() {
            // A machine without IPv6.
            io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable => {
                listen(SocketAddr::from(([0, 0, 0, 0], port)))
            }
            _ => Err(error),
        });
    }
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    for addr in lookup_host(addr).await? {
        match listen(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn no_port(port: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{port:?} is no port"))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// The other end of the connection that a request came over; an extension of
/// each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What whoever counts connections wants to be told.
pub trait Observer: Send + Sync + 'static {
    /// A connection was accepted.
    fn opened(&self);
    /// A connection has ended.
    fn closed(&self);
    /// A TLS handshake failed; `in_time` unless it took too long.
    fn handshake_failed(&self, in_time: bool);
}

/// Serves connections with one router.
pub struct Server {
    settings: Settings,
    tls: Option<TlsAcceptor>,
    router: Router,
    observer: Arc<dyn Observer>,
    http: Builder<TokioExecutor>,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl Server {
    /// A server over TLS, or in the clear without an acceptor. Once `closing` is
    /// cancelled it accepts nothing more, and connections end after the
    /// requests that they are at.
    pub fn new(
        settings: Settings,
        tls: Option<TlsAcceptor>,
        router: Router,
        observer: Arc<dyn Observer>,
        closing: CancellationToken,
    ) -> Self {
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // Ours holds from the first byte on; see `activity`.
            .header_read_timeout(None)
            .max_buf_size(HEAD_MAX as usize);
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_MAX)
            .keep_alive_interval(HTTP2_PING_INTERVAL)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT);
        Self {
            settings,
            tls,
            router,
            observer,
            http,
            connections: TaskTracker::new(),
            closing,
        }
    }

    /// Accepts connections until closing, then waits for the open ones.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = Arc::clone(&self);
                    self.connections.spawn(server.serve(stream, Peer(peer)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.connections.close();
        self.connections.wait().await;
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let _open = Open::new(&*self.observer);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection closed before it was served");
            return;
        }
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, peer).await;
        };
        match timeout(self.settings.tls_handshake_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) if is_challenge(&stream) => {}
            Ok(Ok(stream)) => self.serve_http(stream, peer).await,
            Ok(Err(error)) => {
                self.observer.handshake_failed(true);
                tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_) => {
                self.observer.handshake_failed(false);
                tracing::debug!("TLS handshake took too long");
            }
        }
    }

    /// Serves requests until the peer or the server closes, or the peer takes
    /// too long over a head, or over thinking of its next request.
    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) {
        let activity = Activity::new();
        let service = service_fn(|mut request: Request<Incoming>| {
            let under_way = activity.begin_request(request.version() == Version::HTTP_2);
            request.extensions_mut().insert(peer);
            let response = self.router.clone().oneshot(request.map(Body::new));
            async move {
                let _under_way = under_way;
                response.await
            }
        });
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        let connection = self.http.serve_connection(stream, service);
        tokio::pin!(connection);
        let overdue = Overdue::new(activity.clone(), self.limits());
        tokio::pin!(overdue);
        let mut is_closing = false;
        loop {
            tokio::select! {
                // In this order: the connection's turn can change what is due.
                biased;
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection broke off");
                    }
                    return;
                }
                () = overdue.as_mut() => return,
                () = self.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            head: self.settings.header_read_timeout,
            idle: self.settings.idle_timeout,
        }
    }
}

/// Whether somebody came for the certificate of an ACME challenge. That was all:
/// nothing follows the handshake (RFC 8737, section 3).
fn is_challenge(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"acme-tls/1")
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
