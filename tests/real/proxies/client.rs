//! Clients that poll from their own addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::proxies::broker::Broker;
use crate::support::wait::LONG_ENOUGH;

const POLL: &str = "1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\"}";

/// Returns true if the client's poll with these header lines is admitted; otherwise it is
/// told to slow down.
pub(crate) async fn ask(client: &str, to: &str, headers: &str) -> Result<bool> {
    let stream = connect(client, to).await?;
    poll(stream, headers).await
}

/// The same over TLS.
pub(crate) async fn ask_over_tls(
    client: &str,
    to: &str,
    headers: &str,
    broker: &Broker,
) -> Result<bool> {
    let mut trusted = RootCertStore::empty();
    trusted.add(broker.certificate.clone().context("it has none")?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let stream = connect(client, to).await?;
    let name = ServerName::try_from("broker.example")?;
    let connector = TlsConnector::from(Arc::new(config));
    poll(connector.connect(name, stream).await?, headers).await
}

async fn poll(mut stream: impl AsyncRead + AsyncWrite + Unpin, headers: &str) -> Result<bool> {
    let length = POLL.len();
    let request = format!(
        "POST /client HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{POLL}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    // A peer that ends TLS without a notification has sent everything, too.
    let read = timeout(LONG_ENOUGH, stream.read_to_end(&mut reply)).await;
    let reply = String::from_utf8_lossy(&reply);
    read.with_context(|| format!("no reply: {reply}"))?.ok();
    if reply.contains("no snowflake proxies currently available") {
        Ok(true)
    } else if reply.contains("too many requests, slow down") {
        Ok(false)
    } else {
        bail!("unexpected: {reply:?}")
    }
}

/// Returns true if a connection that begins like this is closed without a reply.
pub(crate) async fn is_closed(client: &str, to: &str, beginning: &str) -> Result<bool> {
    let mut stream = connect(client, to).await?;
    // The connection may already be closed.
    stream.write_all(beginning.as_bytes()).await.ok();
    let mut reply = Vec::new();
    let read = timeout(LONG_ENOUGH, stream.read_to_end(&mut reply)).await;
    read.context("it stays open")?.ok();
    Ok(reply.is_empty())
}

async fn connect(from: &str, to: &str) -> Result<TcpStream> {
    let from: IpAddr = from.parse()?;
    let to: SocketAddr = to.parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket.connect(to).await?)
}
