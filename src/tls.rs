//! TLS 1.2 and 1.3 with a certificate from files.

pub mod acme;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

/// Where the certificate is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Serve in the clear, behind something that ends TLS.
    pub disable: bool,
    /// The certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificate {
    /// The chain is no PEM text.
    #[error("tls.cert: {0}")]
    Chain(pem::Error),
    /// The chain has no certificate in it.
    #[error("tls.cert: there is no certificate in it")]
    NoCertificate,
    /// The key is no PEM text.
    #[error("tls.key: {0}")]
    Key(pem::Error),
    /// The text has no key in it, or one that asks for a pass phrase.
    #[error("tls.key: there is no private key in it, or it is encrypted")]
    NoKey,
    /// They do not belong together.
    #[error("tls.key: it is not the key of the certificate in tls.cert")]
    Mismatch,
    /// They are of a kind that is not supported.
    #[error("tls.cert and tls.key: {0}")]
    Pair(rustls::Error),
}

impl From<rustls::Error> for InvalidCertificate {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(_) => Self::Mismatch,
            other => Self::Pair(other),
        }
    }
}

/// The server's side of TLS with one certificate, whatever name the client
/// asks for: domain fronting sends other names than ours. Both texts are PEM.
pub fn server_config(cert: &[u8], key: &[u8]) -> Result<ServerConfig, InvalidCertificate> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<_, _>>()
        .map_err(InvalidCertificate::Chain)?;
    if chain.is_empty() {
        return Err(InvalidCertificate::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => InvalidCertificate::NoKey,
        other => InvalidCertificate::Key(other),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Until when the server's own certificate in a PEM chain is valid; `None` if it
/// does not say. The others in the chain do not count: some chains hold an
/// expired one on purpose, for old clients.
pub fn valid_until(cert: &[u8]) -> Option<SystemTime> {
    let own = CertificateDer::from_pem_slice(cert).ok()?;
    let (_, own) = parse_x509_certificate(&own).ok()?;
    let since_epoch = u64::try_from(own.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    fn error(cert: &str, key: &str) -> String {
        let config = server_config(cert.as_bytes(), key.as_bytes());
        config.err().unwrap().to_string()
    }

    #[test]
    fn a_pair_is_served_with_tickets_and_alpn() {
        let (cert, key) = pair();
        let config = server_config(cert.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn the_end_of_the_first_certificate_is_told() {
        let end_of = |year| {
            let names = ["broker.example".to_owned()];
            let mut params = rcgen::CertificateParams::new(names).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().pem()
        };
        let chain = end_of(2027) + &end_of(2001);
        let until = valid_until(chain.as_bytes()).unwrap();
        let since_epoch = until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since_epoch.as_secs(), 1_798_761_600);
        assert_eq!(valid_until(b"rubbish"), None);
    }

    #[test]
    fn the_culprit_is_named() {
        let (cert, key) = pair();
        assert!(error("", &key).starts_with("tls.cert: there is no certificate"));
        assert!(error(&cert, "").starts_with("tls.key: there is no private key"));
        assert!(error(&cert, &cert).starts_with("tls.key: there is no private key"));
        let half = key.replace("-----END", "");
        assert!(error(&cert, &half).starts_with("tls.key: "));
        let (_, other) = pair();
        assert!(error(&cert, &other).starts_with("tls.key: it is not the key of"));
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error(rubbish, &key).starts_with("tls.cert and tls.key: "));
    }
}
