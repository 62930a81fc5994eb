//! The connections that calls come over.

use std::fmt;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::HEAD_MAX;
use super::places::{Caller, Place};
use crate::listener::AuthorityRewriter;
use crate::tls::mutual;

/// How much is read from a Unix socket at once, in bytes.
const READ_SIZE: usize = 4096;

/// What a client sends first, in bytes (RFC 9113 section 3.4).
const PREFACE_LEN: usize = 24;
/// How long it may take. Later it is asked whether it is still there.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection tells of who is at its other end; an extension of each
/// request. It has no address, so none gets into a log.
#[derive(Clone, Debug)]
pub enum ConnectInfo {
    /// A Unix socket.
    Unix {
        /// The user who opened it, if the system knows.
        uid: Option<u32>,
    },
    /// TCP, in the clear or over TLS.
    Tcp {
        /// Whether it comes from this machine.
        is_loopback: bool,
        /// The DNS and URI names of the caller's certificate.
        certificate_names: Arc<[String]>,
        /// Whose place among all connections it takes, if it has one.
        caller: Option<Arc<Caller>>,
    },
}

impl ConnectInfo {
    /// The DNS and URI names of the caller's certificate.
    pub fn certificate_names(&self) -> &[String] {
        match self {
            Self::Unix { .. } => &[],
            Self::Tcp {
                certificate_names, ..
            } => certificate_names,
        }
    }

    /// Whose place among all connections it takes.
    pub(super) fn caller(&self) -> Option<&Arc<Caller>> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp { caller, .. } => caller.as_ref(),
        }
    }

    /// Whether it comes from this machine by TCP.
    pub fn is_loopback(&self) -> bool {
        matches!(
            self,
            Self::Tcp {
                is_loopback: true,
                ..
            }
        )
    }
}

/// A connection, whatever it is made of.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    info: ConnectInfo,
    end: End,
    /// `None` once the client has begun.
    beginning: Option<Beginning>,
    /// Given back when the connection is closed.
    _place: Held,
}

/// A place among all that may be open.
#[derive(Debug)]
enum Held {
    Unix { _permit: OwnedSemaphorePermit },
    Tcp { _place: Place },
}

/// When a connection has to end; see [`Caller::has_to_go`].
struct End(Pin<Box<dyn Future<Output = ()> + Send>>);

impl End {
    fn of(caller: Option<&Arc<Caller>>) -> Self {
        match caller.cloned() {
            Some(caller) => Self(Box::pin(caller.has_to_go())),
            None => Self(Box::pin(future::pending())),
        }
    }

    /// An error once it has come, whatever is read and written by then.
    fn poll(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.0.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                // It may be asked for again, and has come for ever.
                self.0 = Box::pin(future::ready(()));
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("End(..)")
    }
}

/// Sees that a client begins, so that nobody holds a place in silence.
#[derive(Debug)]
struct Beginning {
    /// How many bytes have not come yet.
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Stream {
    Unix(Box<UnixConnection>),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

struct UnixConnection {
    stream: UnixStream,
    rewriter: AuthorityRewriter,
    /// What has come and was rewritten.
    read: BytesMut,
}

impl fmt::Debug for UnixConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UnixConnection(..)")
    }
}

impl UnixConnection {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read.is_empty() {
            let mut bytes = [0; READ_SIZE];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut bytes))?;
            if bytes.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.rewriter.pass(bytes.filled(), &mut self.read)?;
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// By a Unix socket.
    pub fn unix(stream: UnixStream, permit: OwnedSemaphorePermit) -> Self {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let stream = Stream::Unix(Box::new(UnixConnection {
            stream,
            rewriter: AuthorityRewriter::new(HEAD_MAX as usize),
            read: BytesMut::new(),
        }));
        let held = Held::Unix { _permit: permit };
        Self::new(stream, ConnectInfo::Unix { uid }, held)
    }

    /// By TCP, in the clear.
    pub fn tcp(stream: TcpStream, peer: SocketAddr, place: Place) -> Self {
        let info = ConnectInfo::Tcp {
            is_loopback: peer.ip().to_canonical().is_loopback(),
            certificate_names: Arc::default(),
            caller: Some(place.caller()),
        };
        Self::new(Stream::Tcp(stream), info, Held::Tcp { _place: place })
    }

    /// By TLS.
    pub fn tls(stream: TlsStream<TcpStream>, peer: SocketAddr, place: Place) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate_names = certificate.map(mutual::names).unwrap_or_default().into();
        let info = ConnectInfo::Tcp {
            is_loopback: peer.ip().to_canonical().is_loopback(),
            certificate_names,
            caller: Some(place.caller()),
        };
        let stream = Stream::Tls(Box::new(stream));
        Self::new(stream, info, Held::Tcp { _place: place })
    }

    /// The DNS and URI names of the caller's certificate.
    pub(super) fn certificate_names(&self) -> &[String] {
        self.info.certificate_names()
    }

    fn new(stream: Stream, info: ConnectInfo, place: Held) -> Self {
        let beginning = Beginning {
            missing: PREFACE_LEN,
            deadline: Box::pin(sleep(PREFACE_TIMEOUT)),
        };
        Self {
            stream,
            end: End::of(info.caller()),
            info,
            beginning: Some(beginning),
            _place: place,
        }
    }

    /// What `read` comes to, by which `count` bytes have come.
    fn watch_beginning(
        &mut self,
        context: &mut Context<'_>,
        read: Poll<io::Result<()>>,
        count: usize,
    ) -> Poll<io::Result<()>> {
        let Some(beginning) = &mut self.beginning else {
            return read;
        };
        if read.is_pending() {
            ready!(beginning.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        beginning.missing = beginning.missing.saturating_sub(count);
        if beginning.missing == 0 {
            self.beginning = None;
        }
        read
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.end.poll(context)?;
        let before = buffer.filled().len();
        let read = match &mut connection.stream {
            Stream::Unix(unix) => unix.poll_read(context, buffer),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let count = buffer.filled().len() - before;
        connection.watch_beginning(context, read, count)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        connection.end.poll(context)?;
        match &mut connection.stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_write(context, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.end.poll(context)?;
        match &mut connection.stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_flush(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.end.poll(context)?;
        match &mut connection.stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_shutdown(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
