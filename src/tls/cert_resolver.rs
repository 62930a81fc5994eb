//! The choice of the certificate for a handshake.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::is_tls_alpn_challenge;

use super::acme::Challenges;
use super::certificate::Certificate;

/// Resolves to a single certificate, whatever name the client asks for: domain fronting
/// sends other names than ours. Without a certificate, handshakes fail, except for a
/// certificate authority's challenges.
#[derive(Debug, Default)]
pub struct CertResolver {
    current: ArcSwapOption<CertifiedKey>,
    challenges: Option<Arc<Challenges>>,
}

impl CertResolver {
    /// A resolver without a certificate, which responds to these TLS-ALPN-01 challenges.
    pub fn answering(challenges: Arc<Challenges>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            challenges: Some(challenges),
        }
    }

    /// Serves this certificate from now on. Open connections are not affected.
    pub fn set(&self, certificate: Certificate) {
        self.current.store(Some(certificate.into_key()));
    }

    pub(super) fn answers_challenges(&self) -> bool {
        self.challenges.is_some()
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_tls_alpn_challenge(&hello) {
            return self.challenges.as_ref()?.resolve(hello);
        }
        self.current.load_full()
    }
}
