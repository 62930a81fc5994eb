//! The challenges that wait to be looked at by the certificate authority.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert as _};
use rustls::sign::CertifiedKey;
use rustls_acme::tower::TowerHttp01ChallengeService;
use rustls_acme::{AcmeState, ResolvesServerCertAcme};

/// A way to prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate with the proof in it, on port 443 (RFC 8737).
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

/// The answers that are given at the moment: those of the one order under way.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwapOption<Answers>);

/// The answers of an order, of which there is one at a time: rustls-acme proves
/// name after name.
struct Answers {
    tls_alpn: Arc<ResolvesServerCertAcme>,
    http: TowerHttp01ChallengeService,
}

impl Challenges {
    /// Answers the challenges of an order until the result is dropped.
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

    /// Finds the certificate that proves the name of a TLS-ALPN-01 challenge
    /// (RFC 8737, section 3).
    pub(in crate::tls) fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()?.tls_alpn.resolve(hello)
    }

    /// The service that answers HTTP-01 challenges, while an order is under way.
    pub(super) fn http(&self) -> Option<TowerHttp01ChallengeService> {
        Some(self.0.load_full()?.http.clone())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest is what proves that the names are ours.
        f.write_str("Answers")
    }
}

/// An order whose challenges are being answered.
#[derive(Debug)]
pub(super) struct AnsweringGuard(Arc<Challenges>);

impl Drop for AnsweringGuard {
    fn drop(&mut self) {
        self.0.0.store(None);
    }
}
