//! Connections over a Unix socket, which use HTTP/2 from the first byte.

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

/// The maximum number of bytes read at once.
const READ_SIZE: usize = 4096;

/// A connection over a Unix socket, whose requests get a valid `:authority`.
pub(super) struct UnixConnection {
    stream: UnixStream,
    rewriter: AuthorityRewriter,
    /// Received and rewritten bytes.
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
