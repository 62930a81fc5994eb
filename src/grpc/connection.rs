//! The connections that calls come over.

mod authority;

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

use crate::tls::mutual;

use authority::AuthorityFilter;

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
    /// Given back when the connection is closed.
    place: Option<OwnedSemaphorePermit>,
    /// `None` once the client has begun.
    beginning: Option<Beginning>,
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

#[derive(Debug)]
struct UnixConnection {
    stream: UnixStream,
    filter: AuthorityFilter,
    /// What has come and passed the filter.
    read: BytesMut,
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
            self.filter.pass(bytes.filled(), &mut self.read);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// By a Unix socket.
    pub fn unix(stream: UnixStream) -> Self {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let stream = Stream::Unix(Box::new(UnixConnection {
            stream,
            filter: AuthorityFilter::new(),
            read: BytesMut::new(),
        }));
        Self::new(stream, ConnectInfo::Unix { uid })
    }

    /// By TCP, in the clear.
    pub fn tcp(stream: TcpStream, peer: SocketAddr) -> Self {
        let info = ConnectInfo::Tcp {
            is_loopback: peer.ip().to_canonical().is_loopback(),
            certificate_names: Arc::default(),
        };
        Self::new(Stream::Tcp(stream), info)
    }

    /// By TLS.
    pub fn tls(stream: TlsStream<TcpStream>, peer: SocketAddr) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate_names = certificate.map(mutual::names).unwrap_or_default().into();
        let info = ConnectInfo::Tcp {
            is_loopback: peer.ip().to_canonical().is_loopback(),
            certificate_names,
        };
        Self::new(Stream::Tls(Box::new(stream)), info)
    }

    /// The same, in a place among all that may be open.
    #[must_use]
    pub fn in_place(mut self, place: OwnedSemaphorePermit) -> Self {
        self.place = Some(place);
        self
    }

    fn new(stream: Stream, info: ConnectInfo) -> Self {
        let beginning = Beginning {
            missing: PREFACE_LEN,
            deadline: Box::pin(sleep(PREFACE_TIMEOUT)),
        };
        Self {
            stream,
            info,
            place: None,
            beginning: Some(beginning),
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
        match &mut self.get_mut().stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_write(context, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_flush(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Unix(unix) => Pin::new(&mut unix.stream).poll_shutdown(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
