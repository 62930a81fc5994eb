//! The PROXY protocol, versions 1 and 2: a load balancer that forwards bytes first sends
//! a header that names the sender.
//!
//! Specification: `doc/proxy-protocol.txt` of `HAProxy`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_header::{ParseConfig, Protocol, ProxiedAddress, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accounts::{Payer, Reservation};
use super::closing::ClosingStage;
use super::identity::RemoteAddress;
use super::observer::DropCause;
use super::rules::ConnectionRules;
use super::server::{Serve, Server};

/// The signature of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The shortest possible header, `PROXY UNKNOWN` with its line end: this much can be read
/// without reading too far.
const SHORTEST: usize = 15;
/// The longest header of version 1, according to the specification.
const LONGEST_TEXT: usize = 107;
/// The size of version 2's fixed part, which ends with the length.
const BINARY_HEAD: usize = 16;
/// The longest accepted header of version 2: 216 bytes of addresses, and details of the
/// client's TLS connection.
const LONGEST_BINARY: usize = 2_048;

impl<S: Serve> Server<S> {
    /// The sender behind a trusted load balancer, and its place; `None` without a valid
    /// header or if the load balancer is not trusted.
    pub(super) async fn identify(
        &self,
        stream: &mut TcpStream,
        balancer: RemoteAddress,
        place: Arc<Reservation>,
        rules: &ConnectionRules,
    ) -> Option<(RemoteAddress, Arc<Reservation>)> {
        if !rules.is_trusted(balancer) {
            self.observer.dropped(DropCause::ProxyProtocol);
            return None;
        }
        let header = timeout(rules.settings.header_read_timeout, source(stream));
        let read = tokio::select! {
            read = header => read,
            () = self.closing.reached(ClosingStage::Closing) => return None,
        };
        match read {
            Ok(Ok(Some(source))) => {
                // The connection now counts for the sender, not for the load balancer.
                drop(place);
                let place = self
                    .place_of(Payer::Address(source.ip()), rules)
                    .map_err(|reason| self.observer.dropped(reason));
                Some((RemoteAddress(source), place.ok()?))
            }
            Ok(Ok(None)) => Some((balancer, place)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no PROXY header");
                self.observer.dropped(DropCause::ProxyProtocol);
                None
            }
            Err(_) => {
                self.observer.dropped(DropCause::HeadTimeout);
                None
            }
        }
    }
}

/// Reads exactly the header. Returns the address in it; `None` if the load balancer
/// speaks for itself or does not know: then the address of the connection counts
/// (sections 2.1 and 2.2).
async fn source(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let header = read_header(stream).await?;
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (parsed, length) = ProxyHeader::parse(&header, config).map_err(invalid)?;
    if length != header.len() {
        return Err(invalid("it is longer than it says"));
    }
    match parsed.proxied_address() {
        None => Ok(None),
        Some(ProxiedAddress {
            protocol: Protocol::Datagram,
            ..
        }) => Err(invalid("it is about datagrams")),
        // The loopback of the load balancer's machine is not ours.
        Some(address) if address.source.ip().to_canonical().is_loopback() => Ok(None),
        Some(address) => Ok(Some(address.source)),
    }
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(SIGNATURE) {
        header.push(stream.read_u8().await?);
        let rest = u16::from_be_bytes([header[BINARY_HEAD - 2], header[BINARY_HEAD - 1]]);
        let length = BINARY_HEAD + usize::from(rest);
        if length > LONGEST_BINARY {
            return Err(invalid("it is too long"));
        }
        header.resize(length, 0);
        stream.read_exact(&mut header[BINARY_HEAD..]).await?;
    } else {
        while header.starts_with(b"PROXY ") && !header.ends_with(b"\n") {
            if header.len() == LONGEST_TEXT {
                return Err(invalid("it is too long"));
            }
            header.push(stream.read_u8().await?);
        }
    }
    Ok(header)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The source in these bytes, and the number of bytes left.
    async fn read(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, usize) {
        let mut rest = bytes;
        let source = source(&mut rest).await;
        (source, rest.len())
    }

    /// A version 2 header with this command, family and payload.
    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    const IPV4: [u8; 12] = [8, 8, 8, 8, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];

    #[tokio::test]
    async fn both_versions_tell_the_source_and_nothing_more_is_read() {
        let mut ipv6 = vec![0; 36];
        ipv6[..4].copy_from_slice(&[0x2a, 0, 0x14, 0x50]);
        ipv6[15] = 1;
        ipv6[32..34].copy_from_slice(&[0x12, 0x67]);
        let with_extra = [&IPV4[..], &[4, 0, 3, 1, 2, 3]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 8.8.8.8 10.0.0.1 4711 443\r\n".to_vec(),
                Some("8.8.8.8:4711"),
            ),
            (
                b"PROXY TCP6 2a00:1450::1 ::1 4711 443\r\n".to_vec(),
                Some("[2a00:1450::1]:4711"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ff ff 1 2\r\n".to_vec(), None),
            (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec(), None),
            (binary(0x21, 0x11, &IPV4), Some("8.8.8.8:4711")),
            (binary(0x21, 0x11, &with_extra), Some("8.8.8.8:4711")),
            (binary(0x21, 0x21, &ipv6), Some("[2a00:1450::1]:4711")),
            (binary(0x20, 0x11, &IPV4), None),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            let whole = [&header[..], b"POST"].concat();
            let (source, left) = read(&whole).await;
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(source.unwrap(), expected, "{header:?}");
            assert_eq!(left, 4, "{header:?}");
        }
    }

    #[tokio::test]
    async fn all_else_is_refused_within_bounds() {
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 10_000]].concat();
        let large = binary(0x21, 0x11, &[0; 2_033]);
        for (bytes, at_most) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], SHORTEST),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\0",
                SHORTEST,
            ),
            (b"PROXY TCP4 8.8.8.8\r\n", 20),
            (b"PROXY TCP5 8.8.8.8 10.0.0.1 1 2\r\n", 33),
            (b"PROXY TCP4 8.8.8.8 10.0.0.1 1 2 3\r\n", 35),
            (b"PROXY TCP4 8.8.8.8 10.0.0.1 1 65536\r\n", 37),
            (&endless, LONGEST_TEXT),
            (&large, BINARY_HEAD),
            (&binary(0x21, 0x12, &IPV4), 28),
            (&binary(0x22, 0x11, &IPV4), 28),
            (&binary(0x11, 0x11, &IPV4), 28),
            (&binary(0x21, 0x11, &IPV4[..11]), 27),
        ] {
            let (source, left) = read(bytes).await;
            assert!(source.is_err(), "{bytes:?}");
            assert!(bytes.len() - left <= at_most, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_does_not_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            beginning in prop::sample::select(vec![
                &b""[..], b"PROXY ", b"PROXY TCP6 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
            ]),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let bytes = [beginning, &bytes].concat();
            let (_, left) = runtime.block_on(read(&bytes));
            prop_assert!(bytes.len() - left <= LONGEST_BINARY);
        }
    }
}
