//! TLS 1.2 and 1.3 with a single certificate, from files or by ACME, that can be replaced
//! at runtime.

pub mod acme;
mod cert_resolver;
mod certificate;
mod flaws;
mod hello;
pub mod mutual;
pub mod outgoing;
pub mod pem;
mod settings;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::ProducesTickets;
use rustls::{NamedGroup, ServerConfig};
use rustls_acme::acme::ACME_TLS_ALPN_NAME;

pub use cert_resolver::CertResolver;
pub use certificate::{Certificate, InvalidCertificate, Validity};
pub use flaws::Flaw;
pub use settings::Settings;

use hello::Hello;

/// The key exchange groups. The client chooses among them: see [`ServerConfigs`].
const GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
    kx_group::X25519MLKEM768,
];

/// The server's side of TLS, using whatever certificate is current at the handshake.
/// Sessions are resumed across a change of certificates.
///
/// There is one configuration for each key exchange group, and one for all of them.
/// rustls takes the first group in the client's list that it supports, and requests
/// another hello if the client has sent no key share for it, even if it has sent one for
/// the next group. That costs a round trip, and some clients cannot handle it: uTLS, when
/// it imitates a randomized browser, offers the post-quantum group without a share,
/// although it has no code for that key exchange. So this type chooses the group, and
/// gives rustls only that one.
#[derive(Clone, Debug)]
pub struct ServerConfigs {
    by_group: Vec<(NamedGroup, Arc<ServerConfig>)>,
    for_all_groups: Arc<ServerConfig>,
}

impl ServerConfigs {
    /// Configurations that serve the resolver's certificate.
    pub fn new(resolver: &Arc<CertResolver>) -> Result<Self, rustls::Error> {
        let ticketer = aws_lc_rs::Ticketer::new()?;
        let config = |groups: &[&'static dyn SupportedKxGroup]| {
            let resolver = Arc::clone(resolver);
            server_config(resolver, groups, Arc::clone(&ticketer)).map(Arc::new)
        };
        let by_group = GROUPS.map(|group| Ok((group.name(), config(&[group])?)));
        Ok(Self {
            by_group: by_group.into_iter().collect::<Result<_, rustls::Error>>()?,
            for_all_groups: config(&GROUPS)?,
        })
    }

    /// The configuration for a client that has sent these bytes; `None` if more bytes are
    /// needed. It is for the first group in the client's list that has a key share, or
    /// else for all groups.
    pub fn choose(&self, received: &[u8]) -> Option<Arc<ServerConfig>> {
        let Hello::Whole(groups) = Hello::read(received) else {
            return None;
        };
        let of_group = |group: &NamedGroup| {
            let mut configs = self.by_group.iter();
            configs.find_map(|(name, config)| (name == group).then_some(config))
        };
        let chosen = groups.iter().find_map(of_group);
        Some(Arc::clone(chosen.unwrap_or(&self.for_all_groups)))
    }
}

fn server_config(
    resolver: Arc<CertResolver>,
    groups: &[&'static dyn SupportedKxGroup],
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let mut protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if resolver.answers_challenges() {
        // Last, so that it is used only by clients that offer nothing else.
        protocols.push(ACME_TLS_ALPN_NAME.to_vec());
    }
    let provider = CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocols;
    // Shared, so that a session can be resumed with any group.
    config.ticketer = ticketer;
    // One ticket is enough to poll again, and each costs a key and a record.
    config.send_tls13_tickets = 1;
    Ok(config)
}

#[cfg(test)]
mod tests;
