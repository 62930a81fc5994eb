//! TLS 1.2 and 1.3 with a certificate from files.

pub mod acme;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
