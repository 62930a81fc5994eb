//! TLS in which the server authenticates the client: between operators and a broker, and
//! between brokers.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::GeneralName;

use super::certificate::Certificate;
use super::pem::{self, Fault};

/// The reason why mutual TLS cannot be set up. The message contains nothing from the
/// authorities' file.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMutualTls {
    /// The file of the authorities is invalid.
    #[error("{0}")]
    Authorities(Fault),
    /// The authority at this position in the file, counted from 1, is invalid.
    #[error("certificate {0} in it is damaged or of an unknown form")]
    Authority(usize),
    /// The authorities cannot verify any certificate.
    #[error("{0}")]
    NoAuthority(VerifierBuilderError),
    /// TLS itself cannot be set up.
    #[error("{0}")]
    Tls(rustls::Error),
}

/// The clients that may complete the handshake.
#[derive(Clone, Copy, Debug)]
pub enum Clients<'a> {
    /// All clients: they authenticate by other means, or need not.
    Any,
    /// Clients with a certificate from these authorities (PEM), and clients without a
    /// certificate.
    Known(&'a [u8]),
    /// Only clients with a certificate from these authorities (PEM).
    OnlyKnown(&'a [u8]),
}

/// The server's configuration, for HTTP/2 only.
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

/// The client's configuration, for HTTP/2 only: the server must have a certificate from
/// these authorities (PEM). The caller must check its [`names`].
pub fn client_config(
    certificate: Certificate,
    authorities: &[u8],
) -> Result<ClientConfig, InvalidMutualTls> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = KnownServer {
        roots: roots(authorities)?,
        algorithms: provider.signature_verification_algorithms,
    };
    let certificate = SingleCertAndKey::from(certificate.into_key());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidMutualTls::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Accepts any server with a valid certificate from these authorities, whatever its
/// names.
#[derive(Debug)]
struct KnownServer {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for KnownServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The authorities' certificates in a PEM text, at least one.
pub(super) fn roots(authorities: &[u8]) -> Result<RootCertStore, InvalidMutualTls> {
    let mut roots = RootCertStore::empty();
    let authorities = pem::certificates(authorities).map_err(InvalidMutualTls::Authorities)?;
    for (number, authority) in (1..).zip(authorities) {
        let added = roots.add(authority);
        added.map_err(|_| InvalidMutualTls::Authority(number))?;
    }
    Ok(roots)
}

/// The DNS and URI names in a certificate (RFC 5280, section 4.2.1.6); empty if it cannot
/// be parsed. The common name no longer counts as a name (RFC 9525).
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_joined_without_a_line_break_are_all_known() {
        let authority = || {
            let pair = rcgen::generate_simple_self_signed(["ca.example".to_owned()]);
            pair.unwrap().cert.pem()
        };
        let both = authority().trim_end().to_owned() + &authority();
        assert_eq!(roots(both.as_bytes()).unwrap().len(), 2);
        let and_rubbish = both + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = roots(and_rubbish.as_bytes()).unwrap_err();
        assert!(matches!(error, InvalidMutualTls::Authority(3)), "{error}");
    }
}
