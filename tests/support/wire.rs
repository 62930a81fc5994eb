//! One end of a connection between brokers, with the names that the other end would have
//! proved by its certificate.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use snowflake_broker::listener::{ByteStream, PeerIdentity, Serve, Server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;

/// The called end. Whatever is kept in `_with` is dropped with it.
pub(crate) struct Wire<S, W = ()> {
    pub(crate) stream: S,
    pub(crate) names: Arc<[String]>,
    pub(crate) is_loopback: bool,
    pub(crate) _with: W,
}

impl<S, W> Wire<S, W> {
    fn identity(&self) -> PeerIdentity {
        PeerIdentity::Tcp {
            is_loopback: self.is_loopback,
            certificate_names: Arc::clone(&self.names),
            holder: None,
        }
    }
}

/// Serves incoming connections until there are no more. Dropping the future stops the
/// server.
pub(crate) async fn serve<S, W>(
    incoming: impl Stream<Item = io::Result<Wire<S, W>>>,
    server: Server<impl Serve>,
) where
    S: ByteStream + 'static,
    W: Send + Unpin + 'static,
{
    let (server, mut open) = (Arc::new(server), JoinSet::new());
    let mut incoming = pin!(incoming);
    while let Some(wire) = incoming.next().await {
        while open.try_join_next().is_some() {}
        let wire = wire.unwrap();
        let identity = wire.identity();
        open.spawn(Arc::clone(&server).serve_stream(wire, identity));
    }
    open.join_all().await;
}

impl<S, W> Connected for Wire<S, W> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
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
