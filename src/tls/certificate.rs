//! A certificate chain with its key, from PEM.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, server::ParsedCertificate};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::flaws::{self, Flaw};
use super::pem::{self, Fault};

/// The minimum size of RSA keys that TLS clients accept, in bits.
const RSA_MIN: usize = 2048;

/// A certificate chain and its private key.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
    flaws: Vec<Flaw>,
}

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not valid before.
    pub from: SystemTime,
    /// Not valid after.
    pub until: SystemTime,
}

/// The reason why a certificate cannot be served. The message contains nothing from the
/// files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The file of the chain is invalid.
    #[error("{0}")]
    Chain(Fault),
    /// The certificate with this position in the chain, counted from 1, is invalid.
    #[error("certificate {0} in it is damaged or of an unknown form")]
    Damaged(usize),
    /// The server's own certificate has X.509 version 1, from before 1996.
    #[error("is of X.509 version 1, which TLS clients refuse: it must be version 3")]
    Version,
    /// The server's own certificate has an RSA key of this many bits.
    #[error("has an RSA key of {0} bits, which TLS clients refuse: it must have {RSA_MIN} or more")]
    ShortKey(usize),
    /// The server's own certificate has this position in the chain, counted from 1.
    #[error(
        "is in the wrong order: certificate {0} in it belongs to the key, and must be the first, \
         before those of its issuers"
    )]
    Order(usize),
    /// The file of the key is invalid.
    #[error("{0}")]
    Key(Fault),
    /// The key is damaged or of an unsupported kind.
    #[error(
        "has a private key that is damaged or not supported: it must be ECDSA (P-256 or P-384), \
         RSA (2048 to 8192 bits) or, for few clients, P-521 or Ed25519"
    )]
    UnusableKey,
    /// The key does not belong to the certificate.
    #[error("is not the key of the certificate")]
    Mismatch,
}

impl InvalidCertificate {
    /// The error, with the setting and file at fault: the certificate's or the key's.
    pub fn in_files(
        &self,
        (cert_setting, cert): (&str, &Path),
        (key_setting, key): (&str, &Path),
    ) -> String {
        let (cert, key) = (cert.display(), key.display());
        match self {
            Self::Chain(_)
            | Self::Damaged(_)
            | Self::Version
            | Self::ShortKey(_)
            | Self::Order(_) => format!("{cert_setting}: {cert}: {self}"),
            Self::Key(_) | Self::UnusableKey => format!("{key_setting}: {key}: {self}"),
            Self::Mismatch => format!("{key_setting}: {key}: {self} in {cert_setting}, {cert}"),
        }
    }
}

impl Certificate {
    /// Reads a chain, beginning with the server's own certificate, and its key, and
    /// checks that they match.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let ders = pem::certificates(chain).map_err(InvalidCertificate::Chain)?;
        let secret = pem::private_key(key).map_err(InvalidCertificate::Key)?;
        let chain = parse(&ders)?;
        let own = chain.first().ok_or(InvalidCertificate::Damaged(1))?;
        if own.version() == X509Version::V1 {
            return Err(InvalidCertificate::Version);
        }
        if let Ok(PublicKey::RSA(rsa)) = own.public_key().parsed()
            && rsa.key_size() < RSA_MIN
        {
            return Err(InvalidCertificate::ShortKey(rsa.key_size()));
        }
        let signing_key = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(secret)
            .map_err(|_| InvalidCertificate::UnusableKey)?;
        let (validity, flaws) = (Validity::of(own), flaws::of(&ders, &chain));
        let certified = CertifiedKey::new(ders.clone(), signing_key);
        check_match(&certified)?;
        Ok(Self {
            key: Arc::new(certified),
            validity,
            flaws,
        })
    }

    /// The validity of the server's own certificate. The others in the chain do not
    /// count: some chains deliberately include an expired one for old clients.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate's flaws at this time, which do not prevent serving it.
    pub fn flaws(&self, now: SystemTime) -> Vec<Flaw> {
        let of_time = self.validity.flaw(now);
        of_time.into_iter().chain(self.flaws.clone()).collect()
    }

    /// The first of these host names that the certificate is not for.
    pub fn lacks<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        let own = self.key.end_entity_cert().ok();
        let parsed = own.and_then(|own| ParsedCertificate::try_from(own).ok());
        let is_for = |name: &str| {
            let name = ServerName::try_from(name).ok();
            let both = parsed.as_ref().zip(name.as_ref());
            both.is_some_and(|(parsed, name)| verify_server_name(parsed, name).is_ok())
        };
        let mut names = names.iter().map(String::as_str);
        names.find(|name| !is_for(name))
    }

    pub(super) fn into_key(self) -> Arc<CertifiedKey> {
        self.key
    }
}

fn parse<'a>(
    chain: &'a [CertificateDer<'_>],
) -> Result<Vec<X509Certificate<'a>>, InvalidCertificate> {
    let parsed = (1..).zip(chain).map(|(number, der)| {
        let damaged = InvalidCertificate::Damaged(number);
        let (rest, certificate) = parse_x509_certificate(der).map_err(|_| damaged)?;
        if rest.is_empty() {
            Ok(certificate)
        } else {
            Err(damaged)
        }
    });
    parsed.collect()
}

/// Checks that the key is that of the first certificate.
fn check_match(key: &CertifiedKey) -> Result<(), InvalidCertificate> {
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(owner_of(key)),
        Err(_) => Err(InvalidCertificate::Damaged(1)),
    }
}

/// The reason why the key does not match the first certificate.
fn owner_of(key: &CertifiedKey) -> InvalidCertificate {
    let public = key.key.public_key();
    let is_its_own = |der: &CertificateDer<'_>| {
        ParsedCertificate::try_from(der)
            .is_ok_and(|certificate| Some(certificate.subject_public_key_info()) == public)
    };
    let position = key.cert.iter().position(is_its_own);
    position.map_or(InvalidCertificate::Mismatch, |position| {
        InvalidCertificate::Order(position + 1)
    })
}

impl Validity {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            from: time(validity.not_before),
            until: time(validity.not_after),
        }
    }

    /// Returns true if this validity is better for clients than another: valid now is
    /// better than valid later, and valid later is better than expired, the more recently
    /// the better.
    pub fn is_better_than(self, other: Self, now: SystemTime) -> bool {
        self.rank(now) > other.rank(now)
    }

    fn rank(self, now: SystemTime) -> (u8, Option<SystemTime>) {
        match self.flaw(now) {
            Some(Flaw::Expired(until)) => (0, Some(until)),
            Some(Flaw::NotYetValid(_)) => (1, None),
            _ => (2, None),
        }
    }

    fn flaw(self, now: SystemTime) -> Option<Flaw> {
        if now > self.until {
            Some(Flaw::Expired(self.until))
        } else if now < self.from {
            Some(Flaw::NotYetValid(self.from))
        } else if now + Flaw::SOON > self.until {
            Some(Flaw::EndsSoon(self.until))
        } else {
            None
        }
    }
}

/// No certificate is from before 1970.
fn time(time: ASN1Time) -> SystemTime {
    let since_epoch = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch)
}

#[cfg(test)]
mod tests;
