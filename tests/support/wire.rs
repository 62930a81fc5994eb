//! One end of a connection between brokers, with the names that the other end would
//! have proved by a certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use snowflake_broker::grpc::connection::ConnectInfo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// The end that was called. What is kept `with` it is dropped with it.
pub(crate) struct Wire<S, W = ()> {
    pub(crate) stream: S,
    pub(crate) names: Arc<[String]>,
    pub(crate) is_loopback: bool,
    pub(crate) _with: W,
}

impl<S, W> Connected for Wire<S, W> {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        ConnectInfo::Tcp {
            is_loopback: self.is_loopback,
            certificate_names: Arc::clone(&self.names),
            caller: None,
        }
    }
}

impl<S: AsyncRead + Unpin, W: Unpin> AsyncRead for Wire<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin, W: Unpin> AsyncWrite for Wire<S, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
