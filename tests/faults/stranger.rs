//! Connections by somebody who does not play by the rules.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::FOREVER;

/// Connects and sends these bytes.
pub(crate) async fn connect(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // It may be closed already.
    stream.write_all(bytes).await.ok();
    stream
}

/// What comes until the other side closes, which it has to do.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut reply = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut reply)).await;
    // A reset is an end, too.
    read.expect("it does not close").ok();
    String::from_utf8_lossy(&reply).into_owned()
}
