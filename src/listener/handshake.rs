//! A connection below TLS: the bytes that come before the handshake is over are in its
//! account, and its first bytes are looked at before they are handed to rustls.

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

/// Bytes of a handshake that are not in an account: few clients send more, and
/// they are a part of what a connection costs by itself.
const FREE: usize = 4 * 1024;
/// The most of a hello that is read at once, in bytes.
const READ_SIZE: usize = 2 * 1024;

/// The time-out of telling a peer that it speaks HTTP in the clear.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to a request that came in the clear.
const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 58\r\n\
    Connection: close\r\n\r\n\
    This port speaks HTTPS, and the request came in the clear.";

/// Chooses the configuration of the TLS handshake with a peer of which these bytes have
/// come; `None` if more have to come first.
pub type ChooseTls = dyn Fn(&[u8]) -> Option<Arc<ServerConfig>> + Send + Sync;

/// The TLS of a server, which may be swapped while it serves; none in the clear.
/// Connections that there are keep theirs.
#[derive(Default)]
pub struct SwappableTls(ArcSwapOption<Arc<ChooseTls>>);

impl SwappableTls {
    /// Made as the argument chooses, from now on.
    pub fn new(tls: Option<Arc<ChooseTls>>) -> Arc<Self> {
        Arc::new(Self(ArcSwapOption::from_pointee(tls)))
    }

    /// Swaps it.
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

/// A TCP connection over which a handshake is made.
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
    /// The part of the hello that was read, and that rustls has not read yet.
    early: BytesMut,
}

/// The beginning of a connection.
enum FirstBytes {
    /// A handshake, or something that rustls will say what is wrong with.
    Tls(Arc<ServerConfig>),
    /// HTTP in the clear.
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

    /// Makes the handshake. Whoever speaks HTTP in the clear hears that this is the
    /// wrong port for it, in HTTP/1 unless that is not spoken here.
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
                // As far as it wants to hear it.
                let _ = timeout(REFUSAL_TIMEOUT, self.refuse_http()).await;
                Err(io::Error::other("it is HTTP in the clear"))
            }
        }
    }

    /// Reads until it is known what the handshake has to be made with.
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

    /// Closes the connection so that the peer hears what was written last.
    async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        // What has come and is not read would make the system reset the connection,
        // and the peer would not hear why.
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

/// Returns true if somebody came for the certificate of an ACME challenge. That was all:
/// nothing follows the handshake (RFC 8737, section 3).
pub(super) fn is_challenge(stream: &TlsStream<Handshake>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"acme-tls/1")
}

/// Returns true if rustls has told the peer of it.
fn is_told(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}

/// Returns true if it begins as the name of a method does: no record of TLS begins with a
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
