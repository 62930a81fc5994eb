//! TLS in which the server asks who the client is: between an operator and a
//! broker, and between brokers.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::GeneralName;

use super::Certificate;

/// Why the server's side of it cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMutualTls {
    /// The authorities are no PEM text.
    #[error("{0}")]
    Authorities(pem::Error),
    /// One of them is no certificate of an authority.
    #[error("{0}")]
    Authority(rustls::Error),
    /// There are none.
    #[error("{0}")]
    NoAuthority(VerifierBuilderError),
    /// TLS itself cannot be set up.
    #[error("{0}")]
    Tls(rustls::Error),
}

/// Which clients may finish the handshake.
#[derive(Clone, Copy, Debug)]
pub enum Clients<'a> {
    /// All: they say who they are by other means, or need not.
    Any,
    /// Those with a certificate of one of these authorities (PEM), and those
    /// with none.
    Known(&'a [u8]),
    /// Only those with a certificate of one of these authorities (PEM).
    OnlyKnown(&'a [u8]),
}

/// The server's side, for HTTP/2 alone.
pub fn server_config(
    certificate: Certificate,
    clients: Clients<'_>,
) -> Result<ServerConfig, InvalidMutualTls> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(InvalidMutualTls::Tls)?;
    let verifier = |authorities| {
        let roots = Arc::new(roots(authorities)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        Ok(match clients {
            Clients::OnlyKnown(_) => verifier,
            _ => verifier.allow_unauthenticated(),
        })
    };
    let builder = match clients {
        Clients::Any => builder.with_no_client_auth(),
        Clients::Known(authorities) | Clients::OnlyKnown(authorities) => {
            let verifier = verifier(authorities)?.build();
            builder.with_client_cert_verifier(verifier.map_err(InvalidMutualTls::NoAuthority)?)
        }
    };
    let certificate = SingleCertAndKey::from(certificate.into_key());
    let mut config = builder.with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(authorities: &[u8]) -> Result<RootCertStore, InvalidMutualTls> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities) {
        let authority = authority.map_err(InvalidMutualTls::Authorities)?;
        roots.add(authority).map_err(InvalidMutualTls::Authority)?;
    }
    Ok(roots)
}

/// The DNS and URI names of a certificate (RFC 5280 section 4.2.1.6); none if it
/// cannot be read. The common name is no name of a peer any more (RFC 9525).
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
