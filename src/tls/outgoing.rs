//! TLS of connections that we make to servers known by their names.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;

use super::certificate::Certificate;
use super::mutual::{self, InvalidMutualTls};

/// The reason why connections cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOutgoingTls {
    /// The authorities in the file are invalid.
    #[error("{0}")]
    Authorities(InvalidMutualTls),
    /// The machine has no authorities.
    #[error(
        "must have certificate authorities, and this machine has none: install ca-certificates"
    )]
    NoAuthorities,
    /// TLS itself cannot be set up.
    #[error("{0}")]
    Tls(rustls::Error),
}

/// The client's configuration: the server must have a certificate for its name from these
/// authorities (PEM), by default the machine's. Our certificate is for servers that ask for
/// one.
pub fn client_config(
    authorities: Option<&[u8]>,
    certificate: Option<Certificate>,
) -> Result<ClientConfig, InvalidOutgoingTls> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidOutgoingTls::Tls)?;
    let builder = match authorities {
        Some(authorities) => {
            let roots = mutual::roots(authorities).map_err(InvalidOutgoingTls::Authorities)?;
            builder.with_root_certificates(roots)
        }
        // The library's error is no text for people.
        None => builder
            .with_native_roots()
            .map_err(|_| InvalidOutgoingTls::NoAuthorities)?,
    };
    Ok(match certificate {
        Some(certificate) => {
            let certificate = SingleCertAndKey::from(certificate.into_key());
            builder.with_client_cert_resolver(Arc::new(certificate))
        }
        None => builder.with_no_client_auth(),
    })
}
