//! Certificates by ACME. So far only the settings, so that the flags of the
//! reference broker are understood; a broker that is told to use them says
//! that it cannot yet.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// For which names to order a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The host names; none means no ACME.
    pub hostnames: Vec<String>,
    /// Where the certificate authority may write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Directory that keeps the account and the certificates.
    pub cert_cache: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostnames: Vec::new(),
            email: None,
            cert_cache: "acme-cert-cache".into(),
        }
    }
}
