//! Flaws of certificates that do not prevent serving them, but make some clients refuse
//! them.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::X509Certificate;

/// A flaw of a certificate. The message contains nothing from the file except times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The certificate expired at this time.
    Expired(SystemTime),
    /// The certificate is valid from this time on.
    NotYetValid(SystemTime),
    /// The certificate expires at this time.
    EndsSoon(SystemTime),
    /// The key is of this kind, which few clients support.
    Key(&'static str),
    /// The certificate at this position, counted from 1, has a signature that few clients
    /// can verify.
    Signature(usize, &'static str),
    /// The certificate is not meant for servers.
    Purpose,
    /// The certificate has no host names for clients to match.
    NoNames,
    /// The issuer of the certificate at this position is in the chain, but not next to
    /// it.
    Order(usize),
    /// The certificate after this position is not its issuer.
    Gap(usize),
    /// The certificates have matching names, but not matching signatures.
    Signatures,
    /// The server's own certificate is alone, but was issued by another.
    Alone,
}

impl Flaw {
    /// The remaining lifetime at which a certificate is reported as ending soon.
    pub const SOON: Duration = Duration::from_hours(7 * 24);

    /// Returns true if the flaw depends on time, and so may be new.
    pub fn is_of_time(self) -> bool {
        matches!(
            self,
            Self::Expired(_) | Self::NotYetValid(_) | Self::EndsSoon(_)
        )
    }

    /// Returns true if the flaw matters only with unknown clients, and not among peers
    /// that know each other's authorities and programs.
    pub fn is_of_strangers(self) -> bool {
        matches!(
            self,
            Self::Key(_) | Self::Signature(..) | Self::NoNames | Self::Alone
        )
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Expired(at) => write!(f, "expired on {}: clients refuse it", date(at)),
            Self::NotYetValid(at) => write!(
                f,
                "is not valid before {}: clients refuse it (if that is past, the clock is wrong)",
                date(at)
            ),
            Self::EndsSoon(at) => {
                write!(f, "expires on {}, in less than 7 days: renew it", date(at))
            }
            Self::Key(kind) => write!(
                f,
                "has a key of the kind {kind}, which browsers and uTLS do not support: use ECDSA \
                 with P-256, or RSA"
            ),
            Self::Signature(number, kind) => write!(
                f,
                "certificate {number} in it is signed with {kind}, which browsers and uTLS do not \
                 accept"
            ),
            Self::Purpose => f.write_str(
                "is not for TLS servers (its extended key usage lacks serverAuth): clients refuse \
                 it",
            ),
            Self::NoNames => f.write_str(
                "has no subject alternative names, the only ones that clients look at: they refuse \
                 it",
            ),
            Self::Order(number) => write!(
                f,
                "is in the wrong order: the issuer of certificate {number} in it must come right \
                 after it"
            ),
            Self::Gap(number) => write!(
                f,
                "is not a chain: certificate {} in it is not the issuer of certificate {number}, and \
                 clients that do not know the missing one refuse it",
                number + 1
            ),
            Self::Signatures => f.write_str(
                "is not a chain: the names of the issuers fit, but their signatures do not, and \
                 clients refuse it",
            ),
            Self::Alone => f.write_str(
                "has no intermediate certificate in it, and clients that do not know the issuer \
                 refuse it: use the full chain, such as fullchain.pem",
            ),
        }
    }
}

fn date(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}

/// The flaws of a chain that do not depend on time.
pub(super) fn of(ders: &[CertificateDer<'_>], chain: &[X509Certificate<'_>]) -> Vec<Flaw> {
    let Some(own) = chain.first() else {
        return Vec::new();
    };
    let mut flaws = Vec::new();
    flaws.extend(key_kind(own).map(Flaw::Key));
    flaws.extend(signature_kind(chain));
    flaws.extend(names(own));
    flaws.extend(purpose(own));
    flaws.extend(gap(chain).or_else(|| signatures(ders)));
    flaws
}

fn names(own: &X509Certificate<'_>) -> Option<Flaw> {
    let names = own.subject_alternative_name().ok().flatten();
    let has_names = names.is_some_and(|names| !names.value.general_names.is_empty());
    (!has_names).then_some(Flaw::NoNames)
}

fn purpose(own: &X509Certificate<'_>) -> Option<Flaw> {
    let usage = own.extended_key_usage().ok().flatten()?.value;
    (!usage.server_auth && !usage.any).then_some(Flaw::Purpose)
}

fn key_kind(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let algorithm = &certificate.public_key().algorithm;
    let curve = || algorithm.parameters.as_ref()?.as_oid().ok();
    match &*algorithm.algorithm.to_id_string() {
        "1.2.840.10045.2.1" => {
            let is_p521 = curve()?.to_id_string() == "1.3.132.0.35";
            is_p521.then_some("P-521")
        }
        _ => new_kind(&algorithm.algorithm),
    }
}

/// The first certificate whose signature few clients can verify. Nobody verifies the
/// signature of a self-issued certificate.
fn signature_kind(chain: &[X509Certificate<'_>]) -> Option<Flaw> {
    let checked = (1..).zip(chain).filter(|(_, one)| !is_self_issued(one));
    let mut odd = checked.filter_map(|(number, one)| {
        let algorithm = &one.signature_algorithm.algorithm;
        let kind = match &*algorithm.to_id_string() {
            "1.2.840.113549.1.1.4" => Some("MD5"),
            "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Some("SHA-1"),
            _ => new_kind(algorithm),
        };
        kind.map(|kind| Flaw::Signature(number, kind))
    });
    odd.next()
}

/// Algorithms that browsers do not support yet.
fn new_kind(algorithm: &Oid<'_>) -> Option<&'static str> {
    match &*algorithm.to_id_string() {
        "1.3.101.112" => Some("Ed25519"),
        "1.3.101.113" => Some("Ed448"),
        "2.16.840.1.101.3.4.3.17" | "2.16.840.1.101.3.4.3.18" | "2.16.840.1.101.3.4.3.19" => {
            Some("ML-DSA")
        }
        _ => None,
    }
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

/// The first position at which the next certificate is not the issuer.
fn gap(chain: &[X509Certificate<'_>]) -> Option<Flaw> {
    if let [own] = chain {
        return (!is_self_issued(own)).then_some(Flaw::Alone);
    }
    let is_issuer = |one: &X509Certificate<'_>, issuer: &X509Certificate<'_>| {
        one.issuer().as_raw() == issuer.subject().as_raw()
    };
    let mut pairs = (1..).zip(chain.windows(2));
    let (number, pair) = pairs.find(|(_, pair)| !is_issuer(&pair[0], &pair[1]))?;
    let is_elsewhere =
        !is_self_issued(&pair[0]) && chain.iter().any(|one| is_issuer(&pair[0], one));
    Some(if is_elsewhere {
        Flaw::Order(number)
    } else {
        Flaw::Gap(number)
    })
}

/// The flaw if a client that trusts the last certificate would refuse the first because
/// of its signatures. Validity periods and purposes do not matter here.
fn signatures(chain: &[CertificateDer<'_>]) -> Option<Flaw> {
    let [own, issuers @ .., last] = chain else {
        return None;
    };
    let mut roots = RootCertStore::empty();
    roots.add(last.clone().into_owned()).ok()?;
    let time = chain.iter().rev().skip(1).filter_map(valid_from).max()?;
    let verified = verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(own).ok()?,
        &roots,
        issuers,
        time,
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all,
    );
    let is_refused = matches!(
        verified,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::BadSignature | CertificateError::UnknownIssuer
        ))
    );
    is_refused.then_some(Flaw::Signatures)
}

fn valid_from(der: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let from = certificate.validity().not_before.timestamp();
    let since_epoch = Duration::from_secs(u64::try_from(from).ok()?);
    Some(UnixTime::since_unix_epoch(since_epoch))
}

#[cfg(test)]
mod tests;
