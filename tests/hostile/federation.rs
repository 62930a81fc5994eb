//! Connections to the federation port by strangers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use snowflake_broker::broker::clock;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::broker::{Broker, Setup};
use crate::network::{STRANGER, connect_to, somebody};
use crate::report::Row;
use crate::support::certificates::Authority;
use crate::support::peer::Peer;

const PORT: u16 = 7_443;

/// Half of the strangers are silent; the others have no certificate and are refused.
const PEERS: usize = 1_000;

/// Time after which a stranger returns whose connection was closed.
const AGAIN: Duration = Duration::from_millis(200);

/// Maximum time that a peer has to wait, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const CALLS: u16 = 3;

/// The peer's address, which no healthy pair uses.
const OTHER_BROKER: u16 = 5_000;

pub(crate) async fn strangers() -> Row {
    let setup = Setup::new();
    let folder = setup.path("");
    let authority = Authority::new(&folder, "authority");
    for name in ["own", "other"] {
        authority.certify(&folder, name, &format!("{name}.example"), 2_040);
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let peers = format!(
        "[federation]\nlisten = \"[::]:{PORT}\"\n\
         [federation.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n\
         [[federation.peers]]\nname = \"other.example\"\nurl = \"https://127.0.0.1:1\"\nborrow = false\n",
        file("own.pem"),
        file("own.key"),
        authority.file.display(),
    );
    let setup = setup.configured(&peers);
    let unknown = Arc::new(trusting(&authority.file).with_no_client_auth());
    let chain = CertificateDer::pem_file_iter(file("other.pem")).unwrap();
    let mut known = trusting(&authority.file)
        .with_client_auth_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(file("other.key")).unwrap(),
        )
        .unwrap();
    known.alpn_protocols = vec![b"h2".to_vec()];
    let attack = async |_: &Broker| {
        let mut strangers = JoinSet::new();
        for number in 0..PEERS {
            let tls = (number % 2 == 0).then(|| Arc::clone(&unknown));
            strangers.spawn(stay(tls));
        }
        let mut slowest = Duration::ZERO;
        for call in 0..CALLS {
            sleep(Duration::from_secs(1)).await;
            let started = clock::now();
            let watched = timeout(PATIENCE, Box::pin(watch(&known, call))).await;
            watched.expect("the peer gets no connection");
            slowest = slowest.max(clock::now() - started);
        }
        strangers.shutdown().await;
        let slowest = slowest.as_millis();
        format!(
            "{PEERS} that come back; another broker called {CALLS} times, in {slowest} ms at most"
        )
    };
    setup.start().await.withstands(attack).await
}

fn trusting(
    authority: &Path,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).unwrap();
    roots.add(authority).unwrap();
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// Connects and stays until the connection is closed; then returns.
async fn stay(tls: Option<Arc<ClientConfig>>) {
    let name = ServerName::try_from("own.example").unwrap();
    loop {
        if let Ok(mut stream) = connect_to(PORT, STRANGER).await {
            if let Some(tls) = &tls {
                let connector = TlsConnector::from(Arc::clone(tls));
                if let Ok(mut stream) = connector.connect(name.clone(), stream).await {
                    stream.read_u8().await.ok();
                }
            } else {
                stream.read_u8().await.ok();
            }
        }
        sleep(AGAIN).await;
    }
}

/// Watches the supply of proxies, as a peer does.
async fn watch(tls: &ClientConfig, call: u16) {
    let stream = connect_to(PORT, somebody(OTHER_BROKER + call))
        .await
        .unwrap();
    let name = ServerName::try_from("own.example").unwrap();
    let connector = TlsConnector::from(Arc::new(tls.clone()));
    let stream = connector.connect(name, stream).await.unwrap();
    let Peer::Http2(mut sender) = Peer::http2_over(stream).await else {
        unreachable!("it is HTTP/2");
    };
    let request =
        Request::post("https://own.example/snowflake.broker.federation.v1.Federation/WatchSupply")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // An empty message.
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    // The status comes in the headers if there is no stream.
    assert_eq!(response.headers().get("grpc-status"), None, "{response:?}");
}
