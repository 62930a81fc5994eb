//! The first certificate of a broker.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::acme::broker::{Broker, NAMES, Proofs, Site};
use crate::acme::http::Connection;
use crate::acme::pebble::{Pebble, free_address};
use crate::support::tls_client::{connect, served, trusting};
use crate::support::wait::LONG_ENOUGH;

/// The expiry of pebble's certificates: five years.
const EXPIRY: &str = "snowflake_broker_certificate_expiry_timestamp_seconds{}";

#[tokio::test]
async fn by_tls_alpn_01_alone() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let authority = pebble.start().await;
    let broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    expect_certificate(&broker, &authority.root).await;
    assert_eq!(mode(&site.cache()), 0o700);
    for name in ["account.json", "certificate.json"] {
        assert_eq!(mode(&site.cache().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn by_http_01_alone() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let authority = pebble.start().await;
    let broker = site.start(&pebble, Proofs::Http01).await;
    expect_certificate(&broker, &authority.root).await;

    // Paths that are not challenges, or of earlier ones, are not found.
    for path in ["/", "/proxy", "/.well-known/acme-challenge/over"] {
        let stream = TcpStream::connect(pebble.http).await.unwrap();
        let (status, _) = Connection::over(stream).await.get(path).await;
        assert_eq!(status, 404, "{path}");
    }
    // The authority does not validate by TLS here.
    let mut config = trusting([&authority.root]);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    connect(config, broker.addr, NAMES[0]).await.unwrap_err();
}

/// A CDN in front of the broker terminates TLS, so that TLS-ALPN-01 fails.
#[tokio::test]
async fn by_the_other_challenge_when_one_is_refused() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let authority = pebble.start().await;
    let mut broker = site.start_at(&pebble, Proofs::Both, free_address()).await;
    broker
        // The authority chooses which name it validates first.
        .until_logged("example by tls-alpn-01: ")
        .await;
    expect_certificate(&broker, &authority.root).await;
    assert_eq!(broker.orders("refused").await, 1);
}

#[tokio::test]
async fn while_the_other_listener_cannot_be_had() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let _taken = TcpListener::bind(pebble.http).unwrap();
    let authority = pebble.start().await;
    let mut broker = site.start(&pebble, Proofs::Both).await;
    expect_certificate(&broker, &authority.root).await;
    broker
        .until_logged("acme.http_addr: cannot listen on ")
        .await;
}

#[tokio::test]
async fn not_where_it_never_could() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let _taken = TcpListener::bind(pebble.http).unwrap();
    let mut command = site.command(&pebble, Proofs::Http01, pebble.tls_alpn);
    expect_failure(&mut command, 1, "acme.http_addr: cannot listen on ").await;

    let mut command = site.command(&pebble, Proofs::TlsAlpn01, pebble.tls_alpn);
    command.env("SNOWFLAKE_BROKER_ACME__CA_FILE", "/nowhere/ca.pem");
    expect_failure(&mut command, 2, "acme.ca_file: /nowhere/ca.pem: ").await;

    let mut command = site.command(&pebble, Proofs::TlsAlpn01, pebble.tls_alpn);
    command.arg("--acme-cert-cache=/dev/null/acme");
    expect_failure(&mut command, 2, "acme.cert_cache: /dev/null/acme: ").await;
}

async fn expect_failure(command: &mut Command, code: i32, reason: &str) {
    let output = timeout(LONG_ENOUGH, command.output())
        .await
        .expect("it does not end")
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{log}");
    assert!(log.lines().last().unwrap().starts_with(reason), "{log}");
}

#[tokio::test]
async fn not_with_an_authority_that_takes_no_nonce_which_is_no_refusal() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let mut authority = pebble.start_rejecting_nonces(100).await;
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_logged("cannot get a certificate: ").await;
    assert!(broker.log().contains("badNonce"));
    // Retried at once, several times.
    assert!(authority.asked_for_account() >= 8);
    assert_eq!(broker.orders("refused").await, 0);
    assert!(broker.orders("failed").await >= 1);
}

/// The broker retries after up to 13 s.
#[tokio::test]
async fn after_the_authority_was_down_at_the_start() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_logged("cannot get a certificate: ").await;
    let config = trusting([]);
    let error = connect(config, broker.addr, NAMES[0]).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");

    let authority = pebble.start().await;
    expect_certificate(&broker, &authority.root).await;
    assert!(broker.orders("failed").await >= 1);
}

/// The certificate is valid for all names, and served for any requested name.
async fn expect_certificate(broker: &Broker, root: &CertificateDer<'static>) {
    let stream = broker.until_vouched_for_by(root).await;
    let certificate = served(&stream);
    for name in NAMES {
        connect(trusting([root]), broker.addr, name).await.unwrap();
    }
    let mut nameless = trusting([root]);
    nameless.enable_sni = false;
    let stream = connect(nameless, broker.addr, NAMES[0]).await.unwrap();
    assert_eq!(served(&stream), certificate);
    let config = trusting([root]);
    let refused = connect(config, broker.addr, "front.example").await;
    // It is the client that rejects the names in it.
    let reason = refused.unwrap_err().to_string();
    assert!(reason.contains("not valid for name"), "{reason}");

    assert_eq!(broker.orders("issued").await, 1);
    assert!(broker.metric(EXPIRY).await > 1_900_000_000);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
