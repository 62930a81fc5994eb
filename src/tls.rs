//! TLS 1.2 and 1.3 with one certificate, from files or by ACME, that can be
//! replaced while it is served.

pub mod acme;
mod certificate;
pub mod mutual;
mod serving;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use serde::{Deserialize, Serialize};

pub use certificate::{Certificate, InvalidCertificate, Validity};
pub use serving::Serving;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// How often both are looked at for a new certificate; 0 means never.
    #[serde(with = "crate::timespan")]
    pub watch_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disable: false,
            cert: None,
            key: None,
            watch_interval: Duration::from_secs(30),
        }
    }
}

/// The key exchanges that are taken, the preferred one first. As rustls has them,
/// unless a crate somewhere in the program asks it for another order.
const KEY_EXCHANGES: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
    kx_group::X25519MLKEM768,
];

/// The server's side of TLS, with whatever certificate is served at the time of
/// a handshake. Sessions are resumed across a change of certificates.
pub fn server_config(serving: Arc<Serving>) -> Result<ServerConfig, rustls::Error> {
    let mut protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if serving.answers_challenges() {
        // The last one: it is for those who offer nothing else.
        protocols.push(acme::ALPN_PROTOCOL.to_vec());
    }
    let provider = CryptoProvider {
        kx_groups: KEY_EXCHANGES.to_vec(),
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(serving);
    config.alpn_protocols = protocols;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // One is enough for whoever polls again, and each takes a key and a record.
    config.send_tls13_tickets = 1;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::acme::Challenges;
    use super::*;

    #[test]
    fn there_are_tickets_and_alpn() {
        let config = server_config(Arc::new(Serving::default())).unwrap();
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert!(config.ticketer.enabled());
        assert_eq!(config.send_tls13_tickets, 1);
    }

    /// Those of rustls, whatever their order.
    #[test]
    fn no_key_exchange_is_missing() {
        let names = |groups: &[&dyn SupportedKxGroup]| {
            let mut names: Vec<String> = groups.iter().map(|g| format!("{:?}", g.name())).collect();
            names.sort();
            names
        };
        let config = server_config(Arc::new(Serving::default())).unwrap();
        let taken = &config.crypto_provider().kx_groups;
        assert_eq!(names(taken), names(aws_lc_rs::DEFAULT_KX_GROUPS));
        assert_eq!(taken[0].name(), rustls::NamedGroup::X25519);
    }

    #[test]
    fn the_protocol_of_challenges_is_there_only_for_who_answers_them() {
        let serving = Serving::answering(Arc::new(Challenges::default()));
        let config = server_config(Arc::new(serving)).unwrap();
        assert_eq!(config.alpn_protocols[2], b"acme-tls/1");
    }
}
