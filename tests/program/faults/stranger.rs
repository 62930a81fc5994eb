//! Connections from a misbehaving stranger.

use std::net::SocketAddr;

pub(crate) use crate::support::closing::read_to_end;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Connects and sends these bytes.
pub(crate) async fn connect(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The connection may already be closed.
    stream.write_all(bytes).await.ok();
    stream
}
