//! A certificate with its key, from PEM.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

/// A certificate chain and the private key that belongs to it.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not valid before.
    pub from: SystemTime,
    /// Not valid after.
    pub until: SystemTime,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificate {
    /// The chain is no PEM text.
    #[error("{0}")]
    Chain(pem::Error),
    /// The chain has no certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The key is no PEM text.
    #[error("{0}")]
    Key(pem::Error),
    /// The text has no key in it, or one that asks for a pass phrase.
    #[error("there is no private key in it, or it is encrypted")]
    NoKey,
    /// They do not belong together.
    #[error("it is not the key of the certificate")]
    Mismatch,
    /// They are of a kind that is not supported.
    #[error("{0}")]
    Pair(rustls::Error),
}

impl InvalidCertificate {
    /// The error, with the settings `cert` and `key` of this section to blame.
    pub fn in_section(&self, section: &str) -> String {
        match self {
            Self::Chain(_) | Self::NoCertificate => format!("{section}.cert: {self}"),
            Self::Key(_) | Self::NoKey => format!("{section}.key: {self}"),
            Self::Mismatch => format!("{section}.key: {self} in {section}.cert"),
            Self::Pair(_) => format!("{section}.cert and {section}.key: {self}"),
        }
    }
}

impl From<rustls::Error> for InvalidCertificate {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::Mismatch,
            other => Self::Pair(other),
        }
    }
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key, and
    /// checks that they belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(InvalidCertificate::Chain)?;
        let own = chain.first().ok_or(InvalidCertificate::NoCertificate)?;
        let validity = Validity::of(own);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => InvalidCertificate::NoKey,
            other => InvalidCertificate::Key(other),
        })?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        Ok(Self {
            key: Arc::new(key),
            validity,
        })
    }

    /// From when until when the server's own certificate is valid; `None` if it
    /// does not say. The others in the chain do not count: some chains hold an
    /// expired one on purpose, for old clients.
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }

    pub(super) fn into_key(self) -> Arc<CertifiedKey> {
        self.key
    }
}

impl Validity {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        Some(Self {
            from: time(validity.not_before)?,
            until: time(validity.not_after)?,
        })
    }
}

fn time(time: ASN1Time) -> Option<SystemTime> {
    let since_epoch = u64::try_from(time.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    fn error(cert: &str, key: &str) -> InvalidCertificate {
        Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_validity_of_the_first_certificate_is_told() {
        let key = rcgen::KeyPair::generate().unwrap();
        let of_years = |from, until| {
            let names = ["broker.example".to_owned()];
            let mut params = rcgen::CertificateParams::new(names).unwrap();
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            params.self_signed(&key).unwrap().pem()
        };
        let chain = of_years(2026, 2027) + &of_years(2000, 2001);
        let certificate =
            Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let validity = certificate.validity().unwrap();
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(seconds(validity.from).as_secs(), 1_767_225_600);
        assert_eq!(seconds(validity.until).as_secs(), 1_798_761_600);
    }

    #[test]
    fn the_culprit_is_told() {
        let (cert, key) = pair();
        let no_certificate = error("", &key);
        assert_eq!(no_certificate.to_string(), "there is no certificate in it");
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(matches!(error(broken, &key), InvalidCertificate::Chain(_)));
        assert!(matches!(error(&cert, ""), InvalidCertificate::NoKey));
        assert!(matches!(error(&cert, &cert), InvalidCertificate::NoKey));
        let half = key.replace("-----END", "");
        assert!(matches!(error(&cert, &half), InvalidCertificate::Key(_)));
        let (_, other) = pair();
        assert!(matches!(error(&cert, &other), InvalidCertificate::Mismatch));
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(error(rubbish, &key), InvalidCertificate::Pair(_)));
    }
}
