//! Connections to peers over TCP and TLS.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::federation::dial::Dialing;
use crate::federation::{Dial, DialTarget, Dialed};
use crate::tls::mutual;

/// Dials with our current certificate.
#[derive(Debug, Default)]
pub(super) struct Dialer(ArcSwapOption<ClientConfig>);

impl Dialer {
    /// Sets the TLS configuration of new connections; without one, there are none.
    pub(super) fn set(&self, tls: Option<ClientConfig>) {
        self.0.store(tls.map(Arc::new));
    }

    async fn connect(&self, target: &DialTarget) -> io::Result<Dialed> {
        let tls = self
            .0
            .load_full()
            .ok_or_else(|| io::Error::other("federation.tls is not set"))?;
        let stream = TcpStream::connect(&target.addr).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(tls)
            .connect(server_name(&target.addr)?, stream)
            .await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        Ok(Dialed {
            names: certificate.map(mutual::names).unwrap_or_default(),
            stream: Box::new(stream),
        })
    }
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, target: &'a DialTarget) -> Dialing<'a> {
        Box::pin(self.connect(target))
    }
}

/// The name in the request for a certificate. The peer's identity is in the names of its
/// certificate, which need not include its address.
fn server_name(addr: &str) -> io::Result<ServerName<'static>> {
    let host = addr
        .rsplit_once(':')
        .map_or(addr, |(host, _)| host)
        .trim_start_matches('[')
        .trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}
