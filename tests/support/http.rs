//! A minimal HTTP client for reading the broker's pages.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The broker's whole response: status line, headers and body as received.
pub(crate) async fn get(broker: SocketAddr, path: &str) -> Result<String> {
    let mut connection = TcpStream::connect(broker).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {broker}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    connection.read_to_string(&mut response).await?;
    Ok(response)
}
