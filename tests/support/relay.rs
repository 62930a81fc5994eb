//! A bridge's WebSocket relay, from a proxy's view.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Accepts proxies and passes on their data.
pub(crate) struct Relay {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Relay {
    pub(crate) async fn listen() -> Result<Self> {
        Self::listen_on(Ipv4Addr::LOCALHOST).await
    }

    pub(crate) async fn listen_on(address: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, streams) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, sender));
        Ok(Self { address, streams })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// The pattern of proxies that accept only this relay.
    pub(crate) fn pattern(&self) -> String {
        format!("{}$", self.address.ip())
    }

    /// Waits for a connection that carries `needle`, and returns all its data so far.
    pub(crate) async fn receive(&mut self, needle: &[u8]) -> Result<Vec<u8>> {
        loop {
            let stream = self.streams.recv().await.context("the relay has ended")?;
            if contains(&stream, needle) {
                return Ok(stream);
            }
        }
    }

    /// Waits until each needle has arrived, over whichever connection.
    pub(crate) async fn receive_all(&mut self, mut needles: Vec<String>) -> Result<()> {
        while !needles.is_empty() {
            let stream = self.streams.recv().await.context("the relay has ended")?;
            needles.retain(|needle| !contains(&stream, needle.as_bytes()));
        }
        Ok(())
    }
}

fn contains(stream: &[u8], needle: &[u8]) -> bool {
    stream.windows(needle.len()).any(|window| window == needle)
}

async fn serve(listener: TcpListener, streams: mpsc::UnboundedSender<Vec<u8>>) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(collect(connection, streams.clone()));
    }
}

/// Sends all bytes of a connection from its beginning, whenever there are more. Replies with
/// padding of no length (a zero), since a client closes a connection on which nothing has come
/// for 20 s.
async fn collect(connection: TcpStream, streams: mpsc::UnboundedSender<Vec<u8>>) -> Result<()> {
    let mut socket = accept_async(connection).await?;
    let mut stream = Vec::new();
    while let Some(message) = socket.next().await {
        if let Message::Binary(bytes) = message? {
            stream.extend_from_slice(&bytes);
            streams.send(stream.clone())?;
            socket.send(Message::Binary(vec![0].into())).await?;
        }
    }
    Ok(())
}
