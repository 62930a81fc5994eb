//! Pending challenges of the certificate authority.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert as _};
use rustls::sign::CertifiedKey;
use rustls_acme::tower::TowerHttp01ChallengeService;
use rustls_acme::{AcmeState, ResolvesServerCertAcme};

/// A method of proving control over a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate that contains the proof, on port 443 (RFC 8737).
    TlsAlpn01,
    /// A page with the proof, on port 80 (RFC 8555, section 8.3).
    Http01,
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        })
    }
}

/// The current responses to challenges: those of the order in progress.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwapOption<Answers>);

/// The responses for an order. One is enough: rustls-acme proves one name after the
/// other.
struct Answers {
    tls_alpn: Arc<ResolvesServerCertAcme>,
    http: TowerHttp01ChallengeService,
}

impl Challenges {
    /// Responds to the challenges of an order until the guard is dropped.
    pub(super) fn answer<EC: fmt::Debug + 'static, EA: fmt::Debug + 'static>(
        self: &Arc<Self>,
        order: &AcmeState<EC, EA>,
    ) -> AnsweringGuard {
        self.0.store(Some(Arc::new(Answers {
            tls_alpn: order.resolver(),
            http: order.http01_challenge_tower_service(),
        })));
        AnsweringGuard(Arc::clone(self))
    }

    /// The certificate for a TLS-ALPN-01 challenge (RFC 8737, section 3).
    pub(in crate::tls) fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()?.tls_alpn.resolve(hello)
    }

    /// The service for HTTP-01 challenges, while an order is in progress.
    pub(super) fn http(&self) -> Option<TowerHttp01ChallengeService> {
        Some(self.0.load_full()?.http.clone())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The contents are secret proofs.
        f.write_str("Answers")
    }
}

/// Keeps the responses to an order's challenges in place.
#[derive(Debug)]
pub(super) struct AnsweringGuard(Arc<Challenges>);

impl Drop for AnsweringGuard {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}
