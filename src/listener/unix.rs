//! Connections by a Unix socket, which speak HTTP/2 from their first byte on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;

use super::activity::HEAD_MAX;
use super::authority::AuthorityRewriter;
use super::identity::PeerIdentity;
use super::write_through::{WriteThrough, write_through};

/// Bytes that are read at once.
const READ_SIZE: usize = 4096;

/// A connection by a Unix socket, whose requests get an `:authority` that is one.
pub(super) struct UnixConnection {
    stream: UnixStream,
    rewriter: AuthorityRewriter,
    /// The bytes that have come and were rewritten.
    read: BytesMut,
}

impl UnixConnection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            rewriter: AuthorityRewriter::new(HEAD_MAX as usize),
            read: BytesMut::new(),
        }
    }

    pub(super) fn identity(&self) -> PeerIdentity {
        let credentials = self.stream.peer_cred().ok();
        PeerIdentity::Unix {
            uid: credentials.map(|peer| peer.uid()),
        }
    }
}

impl AsyncRead for UnixConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.read.is_empty() {
            let mut bytes = [0; READ_SIZE];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut bytes))?;
            if bytes.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rewriter.pass(bytes.filled(), &mut this.read)?;
        }
        let count = this.read.len().min(buffer.remaining());
        buffer.put_slice(&this.read.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl WriteThrough for UnixConnection {
    type Inner = UnixStream;

    fn inner(&self) -> &UnixStream {
        &self.stream
    }

    fn inner_mut(&mut self) -> &mut UnixStream {
        &mut self.stream
    }
}

write_through!(UnixConnection);
