//! The bytes of a connection, watched on their way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio_util::either::Either;

use super::Stream;
use super::activity::{Activity, PIECE};

/// A stream whose arriving bytes count as activity.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
    /// What is read before anything else is.
    early: Bytes,
    /// The peer does not take what is written, and has taken so much since.
    blocked: Option<usize>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            early: Bytes::new(),
            blocked: None,
        }
    }

    /// Has these bytes read before all others.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.early = [bytes, &self.early].concat().into();
        }
    }

    fn note_write(&mut self, written: &Poll<io::Result<usize>>) {
        match (written, &mut self.blocked) {
            (Poll::Pending, None) => {
                self.blocked = Some(0);
                self.activity.write_blocked();
            }
            (Poll::Ready(Ok(count)), Some(taken)) => {
                *taken += count;
                if *taken >= PIECE {
                    *taken = 0;
                    self.activity.write_blocked();
                }
            }
            _ => {}
        }
    }

    /// All that is written is flushed in the end.
    fn note_flush(&mut self, flushed: &Poll<io::Result<()>>) {
        if flushed.is_ready() {
            if self.blocked.take().is_some() {
                self.activity.write_unblocked();
            }
        } else {
            self.note_write(&Poll::Pending);
        }
    }
}

impl Watched<Stream> {
    /// Returns when the peer has closed, whatever it has sent before: that is kept,
    /// and no more read.
    pub(super) async fn closed(&mut self) {
        if self.early.is_empty() {
            let mut byte = [0];
            let Ok(1) = self.stream.read(&mut byte).await else {
                return;
            };
            self.put_back(&byte);
        }
        let tcp = match &self.stream {
            Either::Left(tcp) => tcp,
            Either::Right(tls) => tls.get_ref().0.tcp(),
        };
        // What has come of more is no sign, but the end of it is. It is the same if
        // this fails: nothing will come any more.
        let _ = tcp.ready(Interest::PRIORITY).await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
            return Poll::Ready(self.activity.read(length));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.activity.read(count)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.note_flush(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
