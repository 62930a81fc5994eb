//! A way to the broker on which the answers of proxies get lost.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Forwards requests to the broker from this address, except for answers. Returns where it
/// listens.
pub(super) async fn start(
    here: Ipv4Addr,
    address: Ipv4Addr,
    broker: SocketAddr,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind((here, 0)).await?;
    let listens = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((proxy, _)) = listener.accept().await {
            tokio::spawn(forward(proxy, address, broker));
        }
    });
    Ok(listens)
}

/// Each request of a proxy is read at once, as it is small.
async fn forward(proxy: TcpStream, address: Ipv4Addr, broker: SocketAddr) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    let broker = socket.connect(broker).await?;
    let (mut from_broker, mut to_broker) = broker.into_split();
    let (mut from_proxy, mut to_proxy) = proxy.into_split();
    let replies = tokio::spawn(async move { copy(&mut from_broker, &mut to_proxy).await });
    let mut request = vec![0; 65_536];
    loop {
        let length = from_proxy.read(&mut request).await?;
        let request = &request[..length];
        if request.is_empty() || request.starts_with(b"POST /answer") {
            replies.abort();
            return Ok(());
        }
        to_broker.write_all(request).await?;
    }
}
