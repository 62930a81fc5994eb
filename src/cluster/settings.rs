//! Settings of the cluster.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::report::{COUNT_MAX, SettingsReport};

/// The maximum length of names, in characters.
const NAME_MAX: usize = 64;
/// The maximum number of servers in the configuration. NATS tells of the others.
const SERVERS_MAX: usize = 64;
/// The numbers of copies that NATS can keep of a bucket.
const REPLICAS: RangeInclusive<usize> = 1..=5;
/// The schemes of servers: in the clear, and with TLS.
const SCHEMES: [&str; 2] = ["nats", "tls"];

/// Settings for serving together with other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The NATS servers, `nats://HOST:PORT` or `tls://HOST:PORT`. Without any, the broker
    /// is no node of a cluster.
    pub servers: Vec<String>,
    /// The name of the cluster, with which all its subjects begin.
    pub name: String,
    /// The name of this node; the name of the host if it is empty.
    pub node: String,
    /// The file of the keys that all nodes have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The number of proxies per pool that other nodes' clients do not get.
    pub reserve: usize,
    /// Keeps what all nodes share in a bucket of NATS (`JetStream`) with the name of the
    /// cluster: the windows of the metrics log, and what the administration changes. Without
    /// it each node has its own.
    pub jetstream: bool,
    /// The number of NATS servers that keep a copy of the bucket, if there are as many.
    pub replicas: usize,
    /// A file of credentials for NATS: a JWT and its seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// The file of the seed of an nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey_file: Option<PathBuf>,
    /// The certificates of the connection to NATS.
    pub tls: ClusterTlsSettings,
}

/// The certificates of the connection to NATS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterTlsSettings {
    /// The authorities that must have issued the servers' certificates, PEM; those of the
    /// system if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our certificate chain, PEM, if the servers ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            name: "snowflake".to_owned(),
            node: String::new(),
            key_file: None,
            reserve: 2,
            jetstream: true,
            replicas: 3,
            credentials_file: None,
            nkey_file: None,
            tls: ClusterTlsSettings::default(),
        }
    }
}

impl Settings {
    /// Returns true if the broker is to be a node of a cluster.
    pub fn is_used(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Reports mistakes, and settings without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        self.check_servers(report);
        if !is_name(&self.name) {
            report.refuse(&["name"], NAME_EXPECTED);
        }
        if !self.node.is_empty() && !is_name(&self.node) {
            report.refuse(&["node"], NAME_EXPECTED);
        }
        report.within("reserve", self.reserve, &(0..=COUNT_MAX));
        report.within("replicas", self.replicas, &REPLICAS);
        if self.is_used() && self.key_file.is_none() {
            let needs = "needs cluster.key_file as well: the messages of nodes are sealed";
            report.refuse(&["servers", "key_file"], needs);
        }
        if self.credentials_file.is_some() && self.nkey_file.is_some() {
            let problem = "must not be set together with cluster.nkey_file";
            report.refuse(&["credentials_file", "nkey_file"], problem);
        }
        self.check_tls(report);
    }

    fn check_servers(&self, report: &mut SettingsReport) {
        if self.servers.len() > SERVERS_MAX {
            let problem = format!("must not have more than {SERVERS_MAX} servers");
            report.refuse(&["servers"], problem);
        }
        // An address may have a password in it, so it is named by its place.
        let wrong = self.servers.iter().position(|server| !is_server(server));
        let problem = wrong.map(|index| {
            format!(
                "number {} must be nats://HOST:PORT or tls://HOST:PORT, without a user",
                index + 1
            )
        });
        report.refuse_if("servers", problem);
        let schemes: Vec<_> = self.servers.iter().map(|server| scheme(server)).collect();
        let is_mixed = schemes.iter().any(|scheme| Some(scheme) != schemes.first());
        if is_mixed {
            let problem = "must all begin with nats:// or all with tls://";
            report.refuse(&["servers"], problem);
        }
        if self.servers.iter().any(|server| is_exposed(server)) {
            let problem = "are not on this host and have no TLS: the messages are sealed, but \
                           everybody on the way sees how many there are";
            report.warn(&["servers"], problem);
        }
    }

    fn check_tls(&self, report: &mut SettingsReport) {
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => {
                report.refuse(&["tls.cert", "tls.key"], "needs cluster.tls.key as well");
            }
            (None, Some(_)) => {
                report.refuse(&["tls.key", "tls.cert"], "needs cluster.tls.cert as well");
            }
            _ => {}
        }
        let has_tls = self
            .servers
            .iter()
            .any(|server| scheme(server) == Some("tls"));
        let has_files = self.tls != ClusterTlsSettings::default();
        if self.is_used() && has_files && !has_tls {
            let problem = "has no effect, because no server begins with tls://";
            report.warn(&["tls", "servers"], problem);
        }
    }

    /// Returns true if connections to the servers have TLS.
    pub fn has_tls(&self) -> bool {
        self.servers.first().and_then(|server| scheme(server)) == Some("tls")
    }
}

const NAME_EXPECTED: &str = "must be 1 to 64 characters of a-z, A-Z, 0-9, _ and -";

/// Returns true if the text is one token of a subject without a meaning of its own.
pub fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=NAME_MAX).contains(&text.len()) && text.chars().all(is_plain)
}

fn is_server(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let is_plain = !authority.contains('@') && matches!(url.path(), "" | "/");
    url.scheme_str()
        .is_some_and(|scheme| SCHEMES.contains(&scheme))
        && is_plain
        && url.port_u16().is_some()
        && url.host().is_some_and(|host| !host.is_empty())
}

fn scheme(server: &str) -> Option<&str> {
    server.split_once("://").map(|(scheme, _)| scheme)
}

/// Returns true if who connects to the server passes a network in the clear.
fn is_exposed(server: &str) -> bool {
    let Ok(url) = server.parse::<Uri>() else {
        return false;
    };
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = address == "localhost"
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    url.scheme_str() == Some("nats") && !is_here
}
