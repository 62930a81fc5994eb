//! The certificate that a handshake is answered with.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::acme::{self, Challenges};
use super::certificate::Certificate;

/// Resolves to one certificate, whatever name the client asks for: domain
/// fronting sends other names than ours. Without one, handshakes fail; only a
/// certificate authority that looks for the answer to its challenge gets it.
#[derive(Debug, Default)]
pub struct CertResolver {
    current: ArcSwapOption<CertifiedKey>,
    challenges: Option<Arc<Challenges>>,
}

impl CertResolver {
    /// Has no certificate yet; these TLS-ALPN-01 challenges are answered.
    pub fn answering(challenges: Arc<Challenges>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            challenges: Some(challenges),
        }
    }

    /// Serves this certificate from now on. Connections that there are stay as they
    /// are.
    pub fn set(&self, certificate: Certificate) {
        self.current.store(Some(certificate.into_key()));
    }

    pub(super) fn answers_challenges(&self) -> bool {
        self.challenges.is_some()
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if is_challenge(&hello) {
            let challenges = self.challenges.as_ref()?;
            return challenges.certificate(hello.server_name()?);
        }
        self.current.load_full()
    }
}

/// An authority that validates offers this protocol and no other (RFC 8737, section 3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(acme::ALPN_PROTOCOL) && offered.next().is_none()
}
