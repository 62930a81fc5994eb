//! Settings of TLS with certificates from files.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{SPAN_OR_ZERO, SettingsReport};

/// The certificate from files, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// True to serve plain HTTP, behind something that terminates TLS.
    pub disable: bool,
    /// The certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The interval of checks for changed files; 0 means never.
    #[serde(with = "crate::timespan")]
    pub watch_interval: Duration,
}

impl Settings {
    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("watch_interval", self.watch_interval, &SPAN_OR_ZERO);
        match (&self.cert, &self.key) {
            (Some(_), None) => {
                report.refuse(&["cert", "key"], "needs tls.key, the private key, as well");
            }
            (None, Some(_)) => {
                report.refuse(&["key", "cert"], "needs tls.cert, the certificate, as well");
            }
            _ => {}
        }
    }
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
