//! Which country an address is in, by Tor's text files. So far only where
//! those files are; they are read when metrics need countries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the databases are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Look up no country at all.
    pub disable: bool,
    /// The IPv4 database.
    pub geoipdb: PathBuf,
    /// The IPv6 database.
    pub geoip6db: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disable: false,
            geoipdb: "/usr/share/tor/geoip".into(),
            geoip6db: "/usr/share/tor/geoip6".into(),
        }
    }
}
