//! Calls that do not come from a broker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::program::brokers::Setup;

/// A channel of a caller with this broker's certificate.
pub(crate) async fn channel(from: &Setup, to: SocketAddr) -> Channel {
    let certificate = CertificateDer::from_pem_file(from.file("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(from.file("key")).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots(&from.authority))
        .with_client_auth_cert(vec![certificate], key);
    let stream = connect(to, config.unwrap()).await;
    let mut stream = Some(TokioIo::new(stream));
    let connector =
        service_fn(move |_| std::future::ready(stream.take().ok_or("there is only one")));
    let endpoint = Endpoint::from_static("http://peer");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// Connects to the broker b.
pub(crate) async fn connect(to: SocketAddr, mut config: ClientConfig) -> TlsStream<TcpStream> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("b.example").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

pub(crate) fn roots(authority: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).unwrap();
    roots.add(authority).unwrap();
    roots
}
