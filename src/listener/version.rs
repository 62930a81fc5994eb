//! Which version of HTTP a connection speaks. hyper finds that out too, but then
//! reads the first request in two parts, and keeps a buffer of twice the size for
//! as long as a poll is parked.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.
    Http1,
    /// Possibly HTTP/2.
    Any,
}

impl Version {
    /// Of a connection in the clear: its first bytes tell, once they are there.
    pub(super) async fn peek(stream: &TcpStream) -> io::Result<Self> {
        // "POST" and the preface differ in the second.
        let mut first = [0; 4];
        let read = stream.peek(&mut first).await?;
        Ok(if PREFACE.starts_with(&first[..read]) {
            Self::Any
        } else {
            Self::Http1
        })
    }

    /// Of a connection over TLS: what was agreed on (ALPN, RFC 7301).
    pub(super) fn agreed(stream: &TlsStream<TcpStream>) -> Self {
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Self::Any,
            _ => Self::Http1,
        }
    }
}
