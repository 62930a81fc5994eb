//! Byte streams of connections, with accounting of received and sent bytes.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::activity::{ConnectionActivity, HEAD_FREE, PIECE};
use super::identity::{PeerIdentity, RemoteAddress};
use super::write_through::{WriteThrough, write_through};

/// A byte stream that can be served.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The stream of a connection: TCP, TLS, a Unix socket or anything else.
pub(super) type ConnectionStream = Either<TcpStream, Box<dyn ByteStream>>;

/// A connection before its first request.
pub(super) struct FreshConnection {
    pub(super) stream: ConnectionStream,
    /// The bytes that were already read.
    pub(super) early: Vec<u8>,
    /// `None` for a connection that is not over TCP.
    pub(super) address: Option<RemoteAddress>,
    /// `None` on a listener without credentials.
    pub(super) identity: Option<Arc<PeerIdentity>>,
}

/// A stream whose received bytes count as activity.
pub(super) struct CountedStream {
    stream: ConnectionStream,
    activity: ConnectionActivity,
    /// Bytes to return before reading from the stream.
    early: BytesMut,
    /// The number of bytes that a peer has taken since it blocked a write; `None` if not
    /// blocked.
    blocked: Option<usize>,
}

impl CountedStream {
    pub(super) fn new(stream: ConnectionStream, activity: ConnectionActivity) -> Self {
        Self {
            stream,
            activity,
            early: BytesMut::new(),
            blocked: None,
        }
    }

    /// Puts back bytes, to be read before all others.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.early = [bytes, &self.early].concat().as_slice().into();
        }
    }

    /// The number of bytes that were put back or read early.
    pub(super) fn early(&self) -> usize {
        self.early.len()
    }

    /// Returns when the peer has closed, or has sent more data early than is kept. Any
    /// more data stays in the kernel's memory and is charged to no account.
    pub(super) async fn closed(&mut self) {
        while self.early.len() <= HEAD_FREE && self.read_early().await {}
    }

    /// Reads some early data; returns true if there was any.
    async fn read_early(&mut self) -> bool {
        poll_fn(|context| {
            // Not part of the future, of which there is one for each parked poll.
            let mut some = [MaybeUninit::uninit(); 1_024];
            let mut some = ReadBuf::uninit(&mut some);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut some));
            self.early.extend_from_slice(some.filled());
            Poll::Ready(read.is_ok() && !some.filled().is_empty())
        })
        .await
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..length]);
            let read = self.activity.read(&self.early[..length]);
            self.early.advance(length);
            if self.early.is_empty() {
                // Frees the buffer, too.
                self.early = BytesMut::new();
            }
            return Poll::Ready(read);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        if !new.is_empty() {
            self.activity.read(new)?;
        }
        read
    }
}

impl WriteThrough for CountedStream {
    type Inner = ConnectionStream;

    fn inner(&self) -> &ConnectionStream {
        &self.stream
    }

    fn inner_mut(&mut self) -> &mut ConnectionStream {
        &mut self.stream
    }

    fn note_write(&mut self, written: &Poll<io::Result<usize>>) -> io::Result<()> {
        match (written, &mut self.blocked) {
            (Poll::Pending, None) => {
                self.blocked = Some(0);
                self.activity.write_blocked()?;
            }
            (Poll::Ready(Ok(count)), Some(taken)) => {
                *taken += count;
                if *taken >= PIECE {
                    *taken = 0;
                    self.activity.write_blocked()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All written data is flushed eventually.
    fn note_flush(&mut self, flushed: &Poll<io::Result<()>>) -> io::Result<()> {
        if flushed.is_pending() {
            return self.note_write(&Poll::Pending);
        }
        if self.blocked.take().is_some() {
            self.activity.write_unblocked();
        }
        Ok(())
    }
}

write_through!(CountedStream);
