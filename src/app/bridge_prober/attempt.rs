//! One connection to a bridge, by TCP, TLS and the WebSocket upgrade (RFC 6455).

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tower::{ServiceExt as _, service_fn};

use crate::bridges::health::ProbeFailure;

/// The time limit of TCP, for all addresses of a family together. The rest of the probe's time
/// is for TLS and the upgrade.
const TCP_PATIENCE: Duration = Duration::from_secs(6);
/// The time after which the other family is tried, too, as proxies in Go and browsers do.
const FAMILY_PATIENCE: Duration = Duration::from_millis(300);

/// Connects to the WebSocket server at this URL, and closes the connection. Redirects are
/// not followed, as proxies do not follow them.
pub(super) async fn connect(relay_url: &str, tls: &TlsConnector) -> Result<(), ProbeFailure> {
    // The bridge list has no other URLs.
    let target = Target::parse(relay_url).ok_or(ProbeFailure::NoAddress)?;
    let stream = dial(&target).await?;
    if !target.is_encrypted {
        return upgrade(target.url, stream).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| ProbeFailure::Certificate)?;
    let stream = tls.connect(name, stream).await;
    upgrade(target.url, stream.map_err(|error| tls_failure(&error))?).await
}

/// The parts of a URL.
struct Target {
    /// The URL with its scheme in lower case.
    url: Uri,
    /// The scheme of HTTP with the host and the port.
    origin: Uri,
    /// The host, without the brackets of an IPv6 address.
    host: String,
    port: u16,
    is_encrypted: bool,
}

impl Target {
    fn parse(relay_url: &str) -> Option<Self> {
        let mut parts = relay_url.parse::<Uri>().ok()?.into_parts();
        let is_encrypted = parts.scheme?.as_str().eq_ignore_ascii_case("wss");
        let (scheme, usual_port) = if is_encrypted {
            ("wss", 443)
        } else {
            ("ws", 80)
        };
        parts.scheme = Some(scheme.parse().ok()?);
        let url = Uri::from_parts(parts).ok()?;
        let port = url.port_u16().unwrap_or(usual_port);
        let origin = format!("http://{}:{port}/", url.host()?).parse().ok()?;
        let host = url.host()?.trim_matches(['[', ']']).to_owned();
        Some(Self {
            url,
            origin,
            host,
            port,
            is_encrypted,
        })
    }
}

/// Connects to the first of the host's addresses that accepts (RFC 8305): what is broken may be
/// the way from here by one family, and proxies take the other.
async fn dial(target: &Target) -> Result<TcpStream, ProbeFailure> {
    let addresses = lookup_host((&*target.host, target.port)).await;
    let addresses: Vec<SocketAddr> = addresses.map_err(|_| ProbeFailure::NoAddress)?.collect();
    let resolved =
        service_fn(move |_: Name| ready(Ok::<_, Infallible>(addresses.clone().into_iter())));
    let mut connector = HttpConnector::new_with_resolver(resolved);
    connector.set_connect_timeout(Some(TCP_PATIENCE));
    connector.set_happy_eyeballs_timeout(Some(FAMILY_PATIENCE));
    let stream = connector.oneshot(target.origin.clone()).await;
    let stream = stream.map_err(|_| ProbeFailure::Unreachable)?;
    Ok(stream.into_inner())
}

/// Asks for the upgrade. The library checks the answer, its accept key among other things.
async fn upgrade(
    url: Uri,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<(), ProbeFailure> {
    let request = url
        .into_client_request()
        .map_err(|_| ProbeFailure::NoWebSocket)?;
    match client_async(request, stream).await {
        Ok((mut socket, _)) => {
            // A bridge that does not care is well, too. But snowflake-server logs an error for
            // each connection that ends without this.
            drop(socket.close(None).await);
            Ok(())
        }
        Err(Error::Http(response)) if response.status().is_redirection() => {
            Err(ProbeFailure::Redirect(response.status().as_u16()))
        }
        Err(Error::Http(response)) => Err(ProbeFailure::Status(response.status().as_u16())),
        Err(_) => Err(ProbeFailure::NoWebSocket),
    }
}

fn tls_failure(error: &io::Error) -> ProbeFailure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => ProbeFailure::Certificate,
        _ => ProbeFailure::Tls,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    use super::*;

    /// A client that trusts nobody but these.
    fn trusting(roots: RootCertStore) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Arc::new(config).into()
    }

    async fn probe(url: &str) -> Result<(), ProbeFailure> {
        connect(url, &trusting(RootCertStore::empty())).await
    }

    /// Answers one request with these bytes, and returns the server's URL.
    async fn answering(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        format!("ws://{address}/")
    }

    async fn accepting(stream: impl AsyncRead + AsyncWrite + Unpin) -> (String, Option<String>) {
        let mut asked = (String::new(), None);
        #[expect(clippy::result_large_err, reason = "the library asks for it")]
        let note = |request: &Request, response: Response| {
            let host = request.headers().get("host").unwrap();
            asked.0 = host.to_str().unwrap().to_owned();
            asked.1 = request.uri().path_and_query().map(ToString::to_string);
            Ok(response)
        };
        let accepted = accept_hdr_async(stream, note).await;
        // Without a farewell, the bridge would log an error.
        let farewell = accepted.unwrap().next().await;
        assert!(
            matches!(farewell, Some(Ok(Message::Close(_)))),
            "{farewell:?}"
        );
        asked
    }

    #[tokio::test]
    async fn a_bridge_is_asked_for_its_path_by_its_name() {
        for (address, host) in [
            ((Ipv4Addr::LOCALHOST).into(), "localhost"),
            (std::net::IpAddr::from(Ipv6Addr::LOCALHOST), "[::1]"),
        ] {
            let listener = TcpListener::bind((address, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let accepted = tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                accepting(stream).await
            });
            assert_eq!(probe(&format!("WS://{host}:{port}/a/b?c=d")).await, Ok(()));
            let (named, path) = accepted.await.unwrap();
            assert_eq!(named, format!("{host}:{port}"));
            assert_eq!(path.as_deref(), Some("/a/b?c=d"));
        }
    }

    #[tokio::test]
    async fn whatever_is_no_websocket_fails_with_the_reason() {
        let moved = b"HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let wrong_key = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let no_upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        for (answer, expected) in [
            (&moved[..], ProbeFailure::Redirect(301)),
            (ok, ProbeFailure::Status(200)),
            (wrong_key, ProbeFailure::NoWebSocket),
            (no_upgrade, ProbeFailure::NoWebSocket),
            (b"SSH-2.0-OpenSSH_9.2\r\n", ProbeFailure::NoWebSocket),
            (b"", ProbeFailure::NoWebSocket),
        ] {
            assert_eq!(probe(&answering(answer).await).await, Err(expected));
        }
        let encrypted = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let encrypted = encrypted.replace("ws:", "wss:");
        assert_eq!(probe(&encrypted).await, Err(ProbeFailure::Tls));
    }

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = probe(&format!("wss://{address}/")).await;
        assert_eq!(refused, Err(ProbeFailure::Unreachable));
        let unknown = probe("wss://bridge.invalid/").await;
        assert_eq!(unknown, Err(ProbeFailure::NoAddress));
    }

    /// A TLS server with a certificate of this name, for two connections.
    async fn encrypted(name: &str) -> (u16, RootCertStore) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    accepting(stream).await;
                }
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        (port, roots)
    }

    #[tokio::test]
    async fn a_certificate_has_to_be_trusted_and_to_have_the_name() {
        let (port, roots) = encrypted("localhost").await;
        let url = format!("wss://localhost:{port}/");
        assert_eq!(connect(&url, &trusting(roots.clone())).await, Ok(()));
        assert_eq!(probe(&url).await, Err(ProbeFailure::Certificate));
        let (port, roots) = encrypted("other.example").await;
        let url = format!("wss://localhost:{port}/");
        let failed = connect(&url, &trusting(roots)).await;
        assert_eq!(failed, Err(ProbeFailure::Certificate));
    }
}
