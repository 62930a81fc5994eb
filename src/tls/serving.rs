//! What a handshake is answered with.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Certificate;

/// The certificate that is served, whatever name the client asks for: domain
/// fronting sends other names than ours. Without one, handshakes fail.
#[derive(Debug, Default)]
pub struct Serving {
    current: ArcSwapOption<CertifiedKey>,
}

impl Serving {
    /// From now on this is served. Connections that there are stay as they are.
    pub fn set(&self, certificate: Certificate) {
        self.current.store(Some(certificate.into_key()));
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}
