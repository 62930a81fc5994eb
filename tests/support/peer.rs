//! A client or proxy at the other end of a real connection.

use std::net::SocketAddr;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Response, Result};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection.
pub(crate) enum Peer {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Peer {
    /// Connects over HTTP/1.1 without TLS.
    pub(crate) async fn http1(addr: SocketAddr) -> Self {
        Self::http1_over(TcpStream::connect(addr).await.unwrap()).await
    }

    /// Connects over HTTP/2 without TLS, with prior knowledge.
    pub(crate) async fn http2(addr: SocketAddr) -> Self {
        Self::http2_over(TcpStream::connect(addr).await.unwrap()).await
    }

    pub(crate) async fn http1_over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    pub(crate) async fn http2_over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let executor = TokioExecutor::new();
        let (sender, connection) = http2::handshake(executor, TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, String) {
        self.try_post(path, body).await.unwrap()
    }

    /// Like `post`, for a server that may not answer.
    pub(crate) async fn try_post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, String)> {
        let response = self.send(path, body.into()).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn send(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::post(path).header("Host", "cdn.example");
        match self {
            Self::Http1(sender) => {
                let request = request.body(Full::new(body)).unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let request = request
                    .uri(format!("http://cdn.example{path}"))
                    .body(Full::new(body))
                    .unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}
