//! The certificate authority, and the trust in its own certificate.

use std::sync::Arc;

use http::Uri;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::tls::mutual::{InvalidMutualTls, roots};

/// A reason why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthority {
    /// The file with its certificates is invalid.
    #[error(transparent)]
    File(#[from] InvalidMutualTls),
    /// The system has no certificate authorities.
    #[error("must be set: this machine has no certificate authorities")]
    System,
    /// TLS cannot be set up.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(super) directory: String,
    pub(super) tls: Arc<ClientConfig>,
}

impl Authority {
    /// The authority with this directory. Its own certificate must be in the PEM text or
    /// issued by a certificate there; without a PEM text, the system's authorities are
    /// trusted.
    pub fn new(directory: &str, vouchers: Option<&[u8]>) -> Result<Self, InvalidAuthority> {
        let provider = aws_lc_rs::default_provider().into();
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = match vouchers {
            Some(pem) => tls.with_root_certificates(roots(pem)?),
            None => tls
                .with_native_roots()
                .map_err(|_| InvalidAuthority::System)?,
        };
        Ok(Self {
            directory: directory.to_owned(),
            tls: Arc::new(tls.with_no_client_auth()),
        })
    }
}

/// Checks the URL of a directory and returns the error.
pub(super) fn check_directory(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "must be a URL")?;
    let host = uri.host().unwrap_or_default();
    if uri.scheme_str() != Some("https") || host.is_empty() {
        return Err("must be a URL that begins with https://");
    }
    if host.starts_with('[') {
        return Err("must have a host name, as the ACME client cannot use an IPv6 address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(vouchers: &str) -> String {
        let authority = Authority::new("https://ca.example/", Some(vouchers.as_bytes()));
        authority.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_vouches_for_nobody_is_refused() {
        assert_eq!(error("a note"), "has no certificate in it");
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let culprit = "certificate 1 in it is damaged";
        assert!(error(rubbish).starts_with(culprit), "{}", error(rubbish));
    }

    #[test]
    fn directories_are_https_urls() {
        for right in ["https://ca.example:14000/dir", "https://192.0.2.1/dir"] {
            assert_eq!(check_directory(right), Ok(()));
        }
        for wrong in [
            "http://ca.example/dir",
            "ca.example",
            "https://",
            "",
            "a b",
            "https://[2001:db8::1]/dir",
        ] {
            assert!(check_directory(wrong).is_err(), "{wrong}");
        }
    }
}
