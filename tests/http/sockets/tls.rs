//! TLS: versions, names, protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use snowflake_broker::tls::{CertResolver, Certificate, ServerConfigs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::sockets::{FOREVER, serve};
use crate::support::front::Front;
use crate::support::messages::proxy_answer;
use crate::support::peer::Peer;

pub(crate) struct TlsFront {
    pub(crate) addr: SocketAddr,
    roots: RootCertStore,
    pub(crate) front: Front,
}

pub(crate) async fn front() -> TlsFront {
    front_with(matching::Settings::default()).await
}

pub(crate) async fn front_with(settings: matching::Settings) -> TlsFront {
    let front = Front::new(settings);
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let resolver = CertResolver::default();
    resolver.set(Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap());
    let configs = ServerConfigs::new(&Arc::new(resolver)).unwrap();
    let tls = Arc::new(move |hello: &[u8]| configs.choose(hello));
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    TlsFront {
        addr: serve(&front, Settings::default(), Some(tls)).await,
        roots,
        front,
    }
}

pub(crate) async fn connect(
    front: &TlsFront,
    version: &'static SupportedProtocolVersion,
    protocol: &[u8],
    sends_name: bool,
) -> TlsStream<TcpStream> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(front.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.enable_sni = sends_name;
    let stream = TcpStream::connect(front.addr).await.unwrap();
    let name = ServerName::try_from("broker.example").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

async fn expect_client_gone(mut peer: Peer) {
    let (status, reply) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(
        (status.as_u16(), &*reply),
        (200, r#"{"Status":"client gone"}"#)
    );
}

#[tokio::test]
async fn both_versions_carry_both_protocols() {
    let front = front().await;
    for version in [&version::TLS12, &version::TLS13] {
        let http1 = connect(&front, version, b"http/1.1", true).await;
        expect_client_gone(Peer::http1_over(http1).await).await;
        let http2 = connect(&front, version, b"h2", true).await;
        assert_eq!(http2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        expect_client_gone(Peer::http2_over(http2).await).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_no_name_gets_a_certificate() {
    let front = front().await;
    let stream = connect(&front, &version::TLS13, b"http/1.1", false).await;
    expect_client_gone(Peer::http1_over(stream).await).await;
}

#[tokio::test]
async fn a_client_that_asks_for_another_name_gets_our_certificate() {
    let front = front().await;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(front.roots.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect(front.addr).await.unwrap();
    let name = ServerName::try_from("front.example").unwrap();
    let refused = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    // It is the client that rejects the name in the certificate.
    let reason = refused.unwrap_err().to_string();
    assert!(reason.contains("not valid for name"), "{reason}");
}

#[tokio::test]
async fn rubbish_instead_of_a_handshake_ends_the_connection() {
    let front = front().await;
    for rubbish in [&[0; 100][..], &[128, 46, 1, 3, 1], &[22, 3, 1, 255, 255, 1]] {
        let mut stream = TcpStream::connect(front.addr).await.unwrap();
        stream.write_all(rubbish).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = Vec::new();
        let read = timeout(FOREVER, stream.read_to_end(&mut reply)).await;
        read.expect("the server did not close").ok();
        assert!(!reply.starts_with(b"HTTP"));
    }
    let stream = connect(&front, &version::TLS13, b"http/1.1", true).await;
    expect_client_gone(Peer::http1_over(stream).await).await;
}
