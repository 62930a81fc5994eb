//! The bytes of a connection, watched on their way.

use std::future::pending;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// A stream whose arriving bytes count as activity.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
    /// What is read before anything else is.
    early: Bytes,
    backlog: Backlog,
}

/// Whether bytes wait for a peer that does not take them.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<AtomicBool>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    /// All that is written has to be flushed in the end, so that tells.
    fn note<T>(&self, flushed: &Poll<T>) {
        let is_waiting = flushed.is_pending();
        if is_waiting == self.is_empty() {
            self.0.store(is_waiting, Ordering::Relaxed);
        }
    }
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            early: Bytes::new(),
            backlog: Backlog::default(),
        }
    }

    pub(super) fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Has these bytes read before all others.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.early = [bytes, &self.early].concat().into();
        }
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Returns when the peer has closed. Not so if it has sent more before: that
    /// is kept, and no more read.
    pub(super) async fn closed(&mut self) {
        if self.early.is_empty() {
            let mut byte = [0];
            let Ok(1) = self.stream.read(&mut byte).await else {
                return;
            };
            self.put_back(&byte);
        }
        pending::<()>().await;
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
            self.activity.read();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
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
        self.backlog.note(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.backlog.note(&flushed);
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
        self.backlog.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
