//! The challenges that wait to be looked at by the certificate authority.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::OrderError;
use crate::tls::InvalidCertificate;

/// A way to prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate with the proof in it, on port 443 (RFC 8737).
    TlsAlpn01,
    /// A page with the proof, on port 80 (RFC 8555, section 8.3).
    Http01,
}

impl Proof {
    pub(super) fn challenge(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        })
    }
}

/// The answers that are given at the moment: of one order, so as many as it has
/// names at most.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// By host name.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token.
    pages: HashMap<String, String>,
}

impl Challenges {
    /// Answers a challenge until the result is dropped.
    pub(super) fn answer(
        self: &Arc<Self>,
        proof: Proof,
        name: &str,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Answering, OrderError> {
        let question = match proof {
            Proof::TlsAlpn01 => {
                let name = name.to_lowercase();
                let certificate = certificate(&name, authorization)?;
                let certificates = &mut self.answers().certificates;
                certificates.insert(name.clone(), Arc::new(certificate));
                Question::Name(name)
            }
            Proof::Http01 => {
                let page = authorization.as_str().to_owned();
                self.answers().pages.insert(token.to_owned(), page);
                Question::Token(token.to_owned())
            }
        };
        Ok(Answering {
            challenges: Arc::clone(self),
            question,
        })
    }

    /// The certificate that proves this name.
    pub(in crate::tls) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        get(&self.answers().certificates, name)
    }

    /// The page that belongs to this token.
    pub(super) fn page(&self, token: &str) -> Option<String> {
        get(&self.answers().pages, token)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn get<V: Clone>(answers: &HashMap<String, V>, question: &str) -> Option<V> {
    answers.get(question).cloned()
}

/// The certificate of RFC 8737, section 3: for the one name, with the hash of
/// the key authorization.
fn certificate(name: &str, authorization: &KeyAuthorization) -> Result<CertifiedKey, OrderError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let proof = CustomExtension::new_acme_identifier(authorization.digest().as_ref());
    params.custom_extensions = vec![proof];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key).map_err(|_| InvalidCertificate::UnusableKey)?;
    // Not checked: the check does not know the extension, which is critical.
    Ok(CertifiedKey::new(chain, key))
}

#[derive(Debug)]
enum Question {
    Name(String),
    Token(String),
}

/// A challenge that is being answered.
#[derive(Debug)]
pub(super) struct Answering {
    challenges: Arc<Challenges>,
    question: Question,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut answers = self.challenges.answers();
        match &self.question {
            Question::Name(name) => drop(answers.certificates.remove(name)),
            Question::Token(token) => drop(answers.pages.remove(token)),
        }
    }
}
