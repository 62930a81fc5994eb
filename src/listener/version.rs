//! Detection of a connection's HTTP version. hyper can detect it, too, but then reads the
//! first request in two parts, and keeps a buffer of twice the size as long as a poll is
//! parked.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// TLS instead of plain HTTP.
    Tls,
}

/// The first byte of TLS: the record type of a handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

impl HttpVersion {
    /// Detects the version of a plain connection from its first bytes. Returns it with
    /// the bytes that were read.
    pub(super) async fn of(stream: &mut TcpStream) -> io::Result<(Self, Vec<u8>)> {
        // "POST" and the preface differ in the second byte.
        let mut first = [0; 4];
        let length = stream.peek(&mut first).await?;
        if !PREFACE.starts_with(&first[..length]) {
            let is_tls = first[0] == HANDSHAKE_RECORD;
            let version = if is_tls { Self::Tls } else { Self::Http1 };
            return Ok((version, Vec::new()));
        }
        let mut read = Vec::with_capacity(PREFACE.len());
        let mut preface = stream.take(PREFACE.len() as u64);
        while PREFACE.starts_with(&read) && preface.read_buf(&mut read).await? > 0 {}
        let is_http2 = read == PREFACE;
        Ok((if is_http2 { Self::Http2 } else { Self::Http1 }, read))
    }

    /// The version agreed on by a TLS connection (ALPN, RFC 7301).
    pub(super) fn agreed<S>(stream: &TlsStream<S>) -> Self {
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Self::Http2,
            _ => Self::Http1,
        }
    }
}
