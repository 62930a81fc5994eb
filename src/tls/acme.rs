//! Certificates by ACME (RFC 8555): what to order, how to prove that the names
//! are ours, and when to order again. Who does it, and keeps the result, is
//! in `app`.

mod authority;
mod challenges;
mod http01;
mod order;
mod order_error;
mod schedule;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use authority::{Authority, InvalidAuthority, check_directory};
pub use challenges::Challenges;
pub use http01::router;
pub use order::{Issued, Order, Proof};
pub use order_error::OrderError;
pub use rustls_acme::AccountCache;
pub use schedule::{renewal_time, retry_delay};

/// For which names to order a certificate, where and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The host names; none means no ACME.
    pub hostnames: Vec<String>,
    /// Where the certificate authority may write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Directory that keeps the account and the certificate.
    pub cert_cache: PathBuf,
    /// The certificate authority: the URL of its directory (RFC 8555, section
    /// 7.1.1).
    pub directory: String,
    /// PEM file with who vouches for that URL's own certificate; without one,
    /// those whom the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Prove by TLS-ALPN-01, on the broker's own port.
    pub tls_alpn: bool,
    /// Prove by HTTP-01, on this address and port; empty means not to.
    pub http_addr: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostnames: Vec::new(),
            email: None,
            cert_cache: "acme-cert-cache".into(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_file: None,
            tls_alpn: true,
            http_addr: ":80".to_owned(),
        }
    }
}
