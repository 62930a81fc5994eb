//! A certificate with its key, from PEM.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, server::ParsedCertificate};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::flaws::{self, Flaw};
use super::pem::{self, Fault};

/// The shortest RSA key that TLS clients take, in bits.
const RSA_MIN: usize = 2048;

/// A certificate chain and the private key that belongs to it.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
    flaws: Vec<Flaw>,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not valid before.
    pub from: SystemTime,
    /// Not valid after.
    pub until: SystemTime,
}

/// The reason why a certificate cannot be served. The words hold nothing of what is in its
/// files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The file of the chain.
    #[error("{0}")]
    Chain(Fault),
    /// This one of the chain, counted from 1.
    #[error("certificate {0} in it is damaged, or has what rustls does not know")]
    Damaged(usize),
    /// The server's own is from before 1996, or made as if.
    #[error("it is of X.509 version 1, which TLS clients refuse: version 3 is needed")]
    Version,
    /// The server's own has an RSA key of so many bits.
    #[error("its RSA key has {0} bits: TLS clients want {RSA_MIN} or more")]
    ShortKey(usize),
    /// The server's own is this one, counted from 1.
    #[error(
        "the chain is in the wrong order: certificate {0} in it is that of the key, and has to be \
         the first, before those of its issuers"
    )]
    Order(usize),
    /// The file of the key.
    #[error("{0}")]
    Key(Fault),
    /// The key is of a kind that rustls does not know, or damaged.
    #[error(
        "the private key is damaged, or of a kind that is not supported: ECDSA (P-256, P-384), \
         RSA (2048 to 8192 bits) and, for few clients, P-521 and Ed25519 are"
    )]
    UnusableKey,
    /// They do not belong together.
    #[error("it is not the key of the certificate")]
    Mismatch,
}

impl InvalidCertificate {
    /// The error, with the setting and the file to blame: that of the certificate or
    /// that of the key.
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
    /// Reads a chain, the server's own certificate first, and its key, and
    /// checks that they belong together.
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

    /// From when until when the server's own certificate is valid. The others in the
    /// chain do not count: some chains hold an expired one on purpose, for old
    /// clients.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The flaws that it has at this time, although it can be served.
    pub fn flaws(&self, now: SystemTime) -> Vec<Flaw> {
        let of_time = self.validity.flaw(now);
        of_time.into_iter().chain(self.flaws.clone()).collect()
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

/// The key is that of the first certificate.
fn check_match(key: &CertifiedKey) -> Result<(), InvalidCertificate> {
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(owner_of(key)),
        Err(_) => Err(InvalidCertificate::Damaged(1)),
    }
}

/// The reason why it is not that of the first one.
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

    /// Returns true if clients would rather have a certificate with this validity than one
    /// with another: one that is valid, else one that will be, else the one that was
    /// for longer.
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
