//! Clients and proxies that come through the reverse proxy, by HTTPS.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::machine::{BROKER, NAME, PUBLIC};
use crate::support::wait::{self, LONG_ENOUGH};

const CLIENT_POLL: &str = "1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\",\"nat\":\"unrestricted\"}";
const PROXY_POLL: &str = "{\"Sid\":\"a-poll\",\"Version\":\"1.3\",\"Type\":\"standalone\",\"NAT\":\"unrestricted\",\"Clients\":0}";
/// Where operators look, at the polls as they are now.
const OPERATORS: &str = "127.0.0.1:9580";

/// A way to leave while a poll waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Departure {
    Closed,
    Reset,
    HalfClosed,
    StreamReset,
}

impl Departure {
    pub(crate) const ALL: [Self; 4] = [
        Self::Closed,
        Self::Reset,
        Self::HalfClosed,
        Self::StreamReset,
    ];
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Visitor {
    trusted: RootCertStore,
}

impl Visitor {
    pub(crate) fn new(authority: CertificateDer<'static>) -> Result<Self> {
        let mut trusted = RootCertStore::empty();
        trusted.add(authority)?;
        Ok(Self { trusted })
    }

    /// Whether a client's poll is admitted, sent with these header lines; if not, it is
    /// told to slow down.
    pub(crate) async fn ask(&self, from: &str, headers: &str) -> Result<bool> {
        let reply = self
            .request(from, "POST /client", headers, CLIENT_POLL)
            .await?;
        if reply
            .body
            .contains("no snowflake proxies currently available")
        {
            Ok(true)
        } else if reply.body.contains("too many requests, slow down") {
            Ok(false)
        } else {
            bail!("unexpected: {reply:?}")
        }
    }

    /// The response to a request, which is its method and path.
    pub(crate) async fn request(
        &self,
        from: &str,
        request: &str,
        headers: &str,
        body: &str,
    ) -> Result<Reply> {
        exchange(
            self.connect(from, b"http/1.1").await?,
            request,
            headers,
            body,
        )
        .await
    }

    /// A proxy polls, waits and leaves. What is returned keeps open what it leaves open.
    pub(crate) async fn poll_and_leave(
        &self,
        from: &str,
        departure: Departure,
    ) -> Result<Option<Box<dyn Any>>> {
        if let Departure::StreamReset = departure {
            return self.poll_and_reset_stream(from).await.map(Some);
        }
        let mut stream = self.connect(from, b"http/1.1").await?;
        let request = head("POST /proxy", "", PROXY_POLL) + PROXY_POLL;
        stream.write_all(request.as_bytes()).await?;
        until_parked().await?;
        match departure {
            Departure::HalfClosed => {
                stream.shutdown().await?;
                return Ok(Some(Box::new(stream)));
            }
            Departure::Reset => stream.get_ref().0.set_zero_linger()?,
            _ => {}
        }
        Ok(None)
    }

    async fn poll_and_reset_stream(&self, from: &str) -> Result<Box<dyn Any>> {
        let stream = TokioIo::new(self.connect(from, b"h2").await?);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        let connection = tokio::spawn(connection);
        let poll = Request::post(format!("https://{NAME}/proxy"));
        let poll = poll.body(Full::new(Bytes::from_static(PROXY_POLL.as_bytes())))?;
        let response = tokio::spawn(sender.send_request(poll));
        until_parked().await?;
        response.abort();
        Ok(Box::new((sender, connection)))
    }

    async fn connect(&self, from: &str, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.trusted.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(NAME)?;
        // Caddy listens before it has a certificate.
        wait::until("a TLS connection", async || {
            let stream = tcp(from, &format!("{PUBLIC}:443")).await?;
            Ok(connector.connect(name.clone(), stream).await.ok())
        })
        .await
    }
}

/// The number of polls that the broker holds.
pub(crate) async fn parked_polls() -> Result<usize> {
    let stream = TcpStream::connect(OPERATORS).await?;
    let page = exchange(stream, "GET /debug", "", "").await?.body;
    let first = page.lines().next().context("no line")?;
    let (_, count) = first.rsplit_once(' ').context("no count")?;
    Ok(count.parse()?)
}

/// The response to a client that polls the broker itself.
pub(crate) async fn client_poll() -> Result<String> {
    let stream = TcpStream::connect(BROKER).await?;
    let reply = exchange(stream, "POST /client", "", CLIENT_POLL).await?;
    Ok(reply.body)
}

async fn until_parked() -> Result<()> {
    let is_parked = async || Ok((parked_polls().await? == 1).then_some(()));
    wait::until("the poll to be parked", is_parked).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<Reply> {
    let headers = format!("Connection: close\r\n{headers}");
    let request = head(request, &headers, body) + body;
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    // An end of TLS without a word will do.
    timeout(LONG_ENOUGH, stream.read_to_end(&mut reply))
        .await
        .context("no end")?
        .ok();
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    ensure!(head.starts_with("HTTP/1.1 "), "{head}");
    Ok(Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn head(request: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{request} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {length}\r\n{headers}\r\n")
}

async fn tcp(from: &str, to: &str) -> Result<TcpStream> {
    let from: IpAddr = from.parse()?;
    let to: SocketAddr = to.parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket.connect(to).await?)
}
