//! A connection below TLS: it charges the bytes of the handshake to the account, and
//! inspects the first bytes before passing them to rustls.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::accounts::Reservation;
use super::write_through::{WriteThrough, write_through};

/// Bytes of a handshake that are not charged: few clients send more, and they are part of
/// a connection's fixed cost.
const FREE: usize = 4 * 1024;
/// The maximum number of bytes of a hello that are read at once.
const READ_SIZE: usize = 2 * 1024;

/// The time-out for telling a peer that it uses plain HTTP.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The response to a plain HTTP request.
const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 58\r\n\
    Connection: close\r\n\r\n\
    This port speaks HTTPS, and the request came in the clear.";

/// Chooses the TLS configuration for a peer that has sent these bytes; `None` if more
/// bytes are needed.
pub type ChooseTls = dyn Fn(&[u8]) -> Option<Arc<ServerConfig>> + Send + Sync;

/// The TLS configuration of a server, replaceable at runtime; empty for plain HTTP. Open
/// connections keep theirs.
#[derive(Default)]
pub struct SwappableTls(ArcSwapOption<Arc<ChooseTls>>);

impl SwappableTls {
    /// A configuration with the given choice.
    pub fn new(tls: Option<Arc<ChooseTls>>) -> Arc<Self> {
        Arc::new(Self(ArcSwapOption::from_pointee(tls)))
    }

    /// Replaces the configuration for new connections.
    pub fn set(&self, tls: Option<Arc<ChooseTls>>) {
        self.0.store(tls.map(Arc::new));
    }

    pub(super) fn get(&self) -> Option<Arc<ChooseTls>> {
        self.0.load().as_deref().cloned()
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.load().is_some()
    }
}

/// A TCP connection during its handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    stream: TcpStream,
    under_way: Option<Box<UnderWay>>,
}

#[derive(Debug)]
struct UnderWay {
    place: Arc<Reservation>,
    bytes: usize,
    in_account: usize,
    /// The part of the hello that was read but not yet passed to rustls.
    early: BytesMut,
}

/// The start of a connection.
enum FirstBytes {
    /// A handshake, or invalid data that rustls will report.
    Tls(Arc<ServerConfig>),
    /// A plain HTTP request.
    Http,
}

impl Handshake {
    pub(super) fn new(stream: TcpStream, place: Arc<Reservation>) -> Self {
        let under_way = UnderWay {
            place,
            bytes: 0,
            in_account: 0,
            early: BytesMut::new(),
        };
        Self {
            stream,
            under_way: Some(Box::new(under_way)),
        }
    }

    /// Performs the handshake. A peer that speaks plain HTTP is told so, in HTTP/1 if
    /// that is served here.
    pub(super) async fn make(
        mut self,
        tls: &ChooseTls,
        speaks_http1: bool,
    ) -> io::Result<TlsStream<Self>> {
        match self.read_beginning(tls, speaks_http1).await? {
            FirstBytes::Tls(config) => {
                let shaken = TlsAcceptor::from(config).accept(self).into_fallible();
                match shaken.await {
                    Ok(mut stream) => {
                        stream.get_mut().0.under_way = None;
                        Ok(stream)
                    }
                    Err((error, stream)) => {
                        if is_told(&error) {
                            let _ = timeout(REFUSAL_TIMEOUT, stream.close()).await;
                        }
                        Err(error)
                    }
                }
            }
            FirstBytes::Http => {
                // The peer may already be gone.
                let _ = timeout(REFUSAL_TIMEOUT, self.refuse_http()).await;
                Err(io::Error::other("it is HTTP in the clear"))
            }
        }
    }

    /// Reads until the TLS configuration can be chosen.
    async fn read_beginning(
        &mut self,
        tls: &ChooseTls,
        speaks_http1: bool,
    ) -> io::Result<FirstBytes> {
        let Some(under_way) = &mut self.under_way else {
            return Err(ErrorKind::InvalidInput.into());
        };
        loop {
            under_way.early.reserve(READ_SIZE);
            let bytes = self.stream.read_buf(&mut under_way.early).await?;
            if bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            under_way.read(bytes)?;
            if speaks_http1 && is_http(&under_way.early) {
                return Ok(FirstBytes::Http);
            }
            if let Some(config) = tls(&under_way.early) {
                return Ok(FirstBytes::Tls(config));
            }
        }
    }

    async fn refuse_http(mut self) -> io::Result<()> {
        self.stream.write_all(NOT_HTTP).await?;
        self.close().await
    }

    /// Closes the connection so that the peer receives the last response.
    async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        // Unread data would make the system reset the connection, and the peer would not
        // receive the reason.
        let mut rest = [0; 512];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

impl UnderWay {
    fn read(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes;
        let more = self.bytes.saturating_sub(FREE + self.in_account);
        if more > 0 {
            self.place.grow(more).map_err(io::Error::other)?;
            self.in_account += more;
        }
        Ok(())
    }
}

/// Returns true if the connection was a probe for an ACME challenge, which ends with the
/// handshake (RFC 8737, section 3).
pub(super) fn is_challenge(stream: &TlsStream<Handshake>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"acme-tls/1")
}

/// Returns true if rustls has already sent the peer an alert.
fn is_told(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}

/// Returns true if the data begins like an HTTP method: no TLS record begins with a
/// letter.
fn is_http(received: &[u8]) -> bool {
    received.first().is_some_and(u8::is_ascii_alphabetic)
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.in_account > 0 {
            self.place.shrink(self.in_account);
        }
    }
}

impl AsyncRead for Handshake {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(under_way) = &mut self.under_way
            && !under_way.early.is_empty()
        {
            let length = under_way.early.len().min(buffer.remaining());
            buffer.put_slice(&under_way.early.split_to(length));
            if under_way.early.is_empty() {
                under_way.early = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        Poll::Ready(match &mut self.under_way {
            Some(handshake) => handshake.read(bytes),
            None => Ok(()),
        })
    }
}

impl WriteThrough for Handshake {
    type Inner = TcpStream;

    fn inner(&self) -> &TcpStream {
        &self.stream
    }

    fn inner_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

write_through!(Handshake);
