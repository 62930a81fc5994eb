//! The challenges as the authority finds them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::parse_x509_certificate;

use crate::acme::broker::{NAMES, Proofs, Site};
use crate::acme::pebble::{Pebble, free_address};
use crate::support::tls_client::{connect, served, trusting};
use crate::support::wait::until;

/// The authority is delayed on its way to the broker, so that there is time to examine
/// the challenge.
#[tokio::test]
async fn a_challenge_ends_with_the_handshake_and_shows_the_proof() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let authority = pebble.start().await;
    let addr = free_address();
    let gate = TcpListener::bind(pebble.tls_alpn).await.unwrap();
    let mut broker = site.start_at(&pebble, Proofs::TlsAlpn01, addr).await;
    broker.until_logged("ordering a certificate").await;
    let (first, _) = gate.accept().await.unwrap();

    // The authority chooses which name it validates first, and the gate holds the other one back.
    let (name, mut stream) = until("a challenge is answered", async || {
        for name in NAMES {
            if let Ok(stream) = connect(validating(), addr, name).await {
                return Ok(Some((name, stream)));
            }
        }
        Ok(None)
    })
    .await
    .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let shown = served(&stream);
    let (_, shown) = parse_x509_certificate(&shown).unwrap();
    // RFC 8737, section 3.
    let proof = oid!(1.3.6.1.5.5.7.1.31);
    let proof = shown.get_extension_unique(&proof).unwrap().unwrap();
    assert!(proof.critical);
    assert_eq!(proof.value.len(), 34);
    // HTTP is not spoken on this connection.
    let request = b"GET /robots.txt HTTP/1.1\r\nHost: broker.example\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    assert!(reply.is_empty(), "{}", String::from_utf8_lossy(&reply));

    // The challenge is not visible to others: neither for other names, nor with other
    // protocols.
    connect(validating(), addr, "front.example")
        .await
        .unwrap_err();
    let mut both = validating();
    both.alpn_protocols.push(b"http/1.1".to_vec());
    connect(both, addr, name).await.unwrap_err();

    tokio::spawn(pass_on(first, addr));
    tokio::spawn(async move {
        while let Ok((stream, _)) = gate.accept().await {
            tokio::spawn(pass_on(stream, addr));
        }
    });
    broker.until_vouched_for_by(&authority.root).await;
    connect(validating(), addr, name).await.unwrap_err();
}

async fn pass_on(mut stream: TcpStream, addr: SocketAddr) -> Result<()> {
    let mut broker = TcpStream::connect(addr).await?;
    copy_bidirectional(&mut stream, &mut broker).await?;
    Ok(())
}

/// A client like the authority's.
fn validating() -> ClientConfig {
    let mut config = trusting([]);
    let provider = aws_lc_rs::default_provider();
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Anybody(provider)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    config
}

/// Accepts any certificate, so that the test can examine it.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
