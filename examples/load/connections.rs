//! Connections to the broker: HTTP/1.1 or HTTP/2, with or without TLS, kept alive or new
//! for each request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::options::Options;
use crate::report::Handshakes;
use crate::tls;

/// Maximum number of connections being opened at a time; more would overflow the server's
/// backlog.
const OPENING_MAX: usize = 256;

/// The way to reach the broker.
pub(crate) struct Dialer {
    addr: SocketAddr,
    tls: Option<TlsConnector>,
    http2: bool,
    keep_alive: bool,
    sources: u32,
    patience: Duration,
    permits: Semaphore,
    /// Connections being opened or waiting for a permit.
    opening: AtomicUsize,
    /// The connections that peers may have at the same time, so far.
    slots: AtomicUsize,
    handshakes: AtomicU64,
    resumed: AtomicU64,
}

impl Dialer {
    pub(crate) fn new(options: &Options, addr: SocketAddr, tls: bool) -> Result<Self> {
        if options.sources > 1 && !is_ipv4_loopback(addr) {
            bail!("--sources is for a broker on an IPv4 address of this machine's loopback");
        }
        let connector = tls.then(|| tls::connector(options.http2, options.resume));
        Ok(Self {
            addr,
            tls: connector.transpose()?,
            http2: options.http2,
            keep_alive: !options.no_keep_alive,
            sources: options.sources,
            patience: options.patience,
            permits: Semaphore::new(OPENING_MAX),
            opening: AtomicUsize::new(0),
            slots: AtomicUsize::new(0),
            handshakes: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
        })
    }

    /// The number of connections being opened.
    pub(crate) fn opening(&self) -> usize {
        self.opening.load(Ordering::Relaxed)
    }

    /// The number of TLS handshakes, and of those that resumed a session.
    pub(crate) fn handshakes(&self) -> Handshakes {
        Handshakes {
            all: self.handshakes.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
        }
    }

    async fn open(&self, index: usize) -> Result<Sender> {
        self.opening.fetch_add(1, Ordering::Relaxed);
        let opened = self.open_in_turn(index).await;
        self.opening.fetch_sub(1, Ordering::Relaxed);
        opened
    }

    async fn open_in_turn(&self, index: usize) -> Result<Sender> {
        let _permit = self.permits.acquire().await?;
        let stream = self.connect(index).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return self.handshake(stream).await;
        };
        // A name for each peer, so that it resumes none but its own sessions.
        let name = ServerName::try_from(format!("for-{index}.broker.example"))?;
        let stream = tls.connect(name, stream).await?;
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        self.handshake(stream).await
    }

    async fn connect(&self, index: usize) -> Result<TcpStream> {
        if self.sources == 1 {
            return Ok(TcpStream::connect(self.addr).await?);
        }
        let host = u32::try_from(index % self.sources as usize)?;
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + host);
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((source, 0).into())?;
        Ok(socket.connect(self.addr).await?)
    }

    async fn handshake<S>(&self, stream: S) -> Result<Sender>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}

fn is_ipv4_loopback(addr: SocketAddr) -> bool {
    addr.is_ipv4() && addr.ip().is_loopback()
}

/// The connections of all proxies, or of all clients.
pub(crate) struct Connections {
    dialer: Arc<Dialer>,
    /// The number of proxies or clients that share a connection.
    streams: usize,
    /// The number of the first connection, among those of all peers.
    first: usize,
    open: Vec<Slot>,
}

/// The slot of a connection while it is open. Only HTTP/2 connections are shared.
type Slot = Mutex<Option<Sender>>;

impl Connections {
    /// Creates the connections of this many proxies or clients.
    pub(crate) fn new(options: &Options, dialer: &Arc<Dialer>, peers: usize) -> Self {
        let streams = if options.http2 { options.streams } else { 1 };
        let slots = peers.div_ceil(streams);
        Self {
            dialer: Arc::clone(dialer),
            streams,
            first: dialer.slots.fetch_add(slots, Ordering::Relaxed),
            open: (0..slots).map(|_| Slot::default()).collect(),
        }
    }

    /// Sends a request of the proxy or client with this index, and waits for the
    /// response.
    pub(crate) async fn post(
        &self,
        index: usize,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        timeout(self.dialer.patience, self.exchange(index, path, body))
            .await
            .context("no response in time")?
    }

    async fn exchange(&self, index: usize, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let mut sender = self.sender(index / self.streams).await?;
        let response = match &mut sender {
            Sender::Http1(sender) => {
                let mut request = Request::post(path).header(HOST, "broker.example");
                if !self.dialer.keep_alive {
                    request = request.header(CONNECTION, "close");
                }
                sender.ready().await?;
                sender.send_request(request.body(Full::new(body))?).await?
            }
            Sender::Http2(sender) => {
                let scheme = self.dialer.tls.as_ref().map_or("http", |_| "https");
                let request = Request::post(format!("{scheme}://broker.example{path}"));
                sender.ready().await?;
                sender.send_request(request.body(Full::new(body))?).await?
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if let Sender::Http1(_) = sender
            && self.dialer.keep_alive
        {
            *self.open[index].lock().await = Some(sender);
        }
        Ok((status, body))
    }

    /// Returns the connection in a slot, or opens one. An HTTP/1.1 connection is taken
    /// out of its slot and put back only after its response arrived.
    async fn sender(&self, slot: usize) -> Result<Sender> {
        let mut open = self.open[slot].lock().await;
        let usable = match open.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.dialer.open(self.first + slot).await?,
        };
        if let Sender::Http2(shared) = &usable {
            *open = Some(Sender::Http2(shared.clone()));
        }
        Ok(usable)
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}
