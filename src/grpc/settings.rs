//! Settings of the administration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use crate::host_port::{self, is_address, is_loopback};
use crate::listener::addresses::{self, OFF};
use crate::report::SettingsReport;

use super::role::AdminRole;

/// The default administration socket, used if its directory exists and no other Unix
/// socket is configured.
pub const DEFAULT_SOCKET: &str = "/run/snowflake-broker/admin.sock";

/// The addresses of the administration, and its callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses with ports and Unix sockets (`unix:PATH` or an absolute path), or only
    /// `off`. Without a Unix socket, [`DEFAULT_SOCKET`] is added if its directory exists.
    #[serde(
        deserialize_with = "deserialize_listen",
        serialize_with = "addresses::serialize",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub listen: Vec<String>,
    /// TLS for listening over TCP.
    pub tls: AdminTlsSettings,
    /// The callers with bearer tokens.
    pub tokens: Vec<TokenSettings>,
    /// The file in which the private pools are kept that the administration creates. If unset,
    /// it creates none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools_file: Option<PathBuf>,
}

/// TLS for listening over TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminTlsSettings {
    /// The server's certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities that must have issued the callers' certificates, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// DNS or URI names of certificates that may make changes.
    pub operators: Vec<String>,
    /// DNS or URI names of certificates that may only read.
    pub viewers: Vec<String>,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// The name of its bearer, for the log.
    pub name: String,
    /// The rights of its bearer.
    pub role: AdminRole,
    /// The file with the token.
    pub file: PathBuf,
}

fn deserialize_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let expected = "a path, an address and port, a list of them, or off";
    addresses::deserialize(deserializer, expected)
}

/// A place where the administration listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen<'a> {
    /// A Unix socket.
    Unix(&'a Path),
    /// A Unix socket, if its directory exists.
    UnixIfPossible(&'a Path),
    /// An address and port.
    Tcp(&'a str),
}

impl<'a> AdminListen<'a> {
    fn parse(text: &'a str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(Path::new(path)),
            None if text.starts_with('/') => Self::Unix(Path::new(text)),
            None => Self::Tcp(text),
        }
    }

    /// The path, for a Unix socket.
    pub fn path(self) -> Option<&'a Path> {
        match self {
            Self::Unix(path) | Self::UnixIfPossible(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }

    /// The address and port, for TCP.
    pub fn address(self) -> Option<&'a str> {
        match self {
            Self::Tcp(address) => Some(address),
            Self::Unix(_) | Self::UnixIfPossible(_) => None,
        }
    }
}

impl Settings {
    /// Reports mistakes, and settings that expose too much.
    pub fn check(&self, report: &mut SettingsReport) {
        self.check_listen(report);
        self.check_certificates(report);
        self.check_tokens(report);
    }

    fn check_listen(&self, report: &mut SettingsReport) {
        if self.is_off_and_on() {
            report.refuse(&["listen"], "must be off alone, or not have off in it");
            return;
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.listen.iter().find(|place| !seen.insert(*place)) {
            report.refuse(&["listen"], format!("has {twice:?} twice"));
            return;
        }
        let places = self.listen();
        let mut paths = places.iter().filter_map(|place| place.path());
        if paths.any(Path::is_relative) {
            report.refuse(&["listen"], "must name the socket by an absolute path");
            return;
        }
        let addresses: Vec<&str> = places.iter().filter_map(|place| place.address()).collect();
        if let Some(wrong) = addresses.iter().find(|addr| !is_address(addr)) {
            let forms = host_port::EXPECTED.replace("must be", "must be a path,");
            let problem = format!("{forms}, a list of these, or off; {wrong:?} is none");
            report.refuse(&["listen"], problem);
        } else if addresses.iter().all(|addr| is_loopback(addr)) {
            // Only this machine can connect.
        } else if !self.authenticates() {
            report.refuse(
                &["listen", "tls.client_ca", "tokens"],
                "other machines reach it: set admin.tls.client_ca (with cert and key) or admin.tokens",
            );
        } else if self.tls.cert.is_none() {
            report.warn(
                &["listen", "tls.cert"],
                "other machines reach it without TLS and may read tokens: set admin.tls.cert and key",
            );
        }
    }

    fn check_certificates(&self, report: &mut SettingsReport) {
        let tls = &self.tls;
        match (&tls.cert, &tls.key) {
            (Some(_), None) => {
                report.refuse(&["tls.cert", "tls.key"], "needs admin.tls.key as well");
            }
            (None, Some(_)) => {
                report.refuse(&["tls.key", "tls.cert"], "needs admin.tls.cert as well");
            }
            _ => {}
        }
        let names = [
            ("tls.operators", &tls.operators),
            ("tls.viewers", &tls.viewers),
        ];
        if tls.client_ca.is_none() {
            // Without it, callers are not asked for a certificate, and on the loopback
            // not for anything.
            for (key, _) in names.iter().filter(|(_, names)| !names.is_empty()) {
                report.refuse(
                    &[key, "tls.client_ca"],
                    "needs admin.tls.client_ca as well: without it, callers are not asked for a \
                     certificate",
                );
            }
            return;
        }
        if tls.cert.is_none() {
            let problem = "needs admin.tls.cert and admin.tls.key as well";
            report.refuse(&["tls.client_ca", "tls.cert"], problem);
        }
        if names.iter().all(|(_, names)| names.is_empty()) {
            report.refuse(
                &["tls.client_ca", "tls.operators", "tls.viewers"],
                "needs names of certificates in admin.tls.operators or admin.tls.viewers",
            );
        }
    }

    fn check_tokens(&self, report: &mut SettingsReport) {
        if self.tokens.iter().any(|token| token.name.is_empty()) {
            report.refuse(&["tokens"], "must not have an empty name");
        }
        let mut names = BTreeSet::new();
        let twice = self.tokens.iter().find(|token| !names.insert(&token.name));
        let problem = twice.map(|twice| format!("has the name {:?} twice", twice.name));
        report.refuse_if("tokens", problem);
    }

    /// Returns true if the administration is turned off.
    pub fn is_off(&self) -> bool {
        self.listen == [OFF]
    }

    /// Returns true if `off` is combined with other places, which makes no sense.
    pub fn is_off_and_on(&self) -> bool {
        self.listen.len() > 1 && self.listen.iter().any(|place| place == OFF)
    }

    /// All places to listen at; none if the administration is off. A Unix socket is
    /// always among them, as a way in for operators who are locked out of the others.
    pub fn listen(&self) -> Vec<AdminListen<'_>> {
        if self.is_off() {
            return Vec::new();
        }
        let mut places: Vec<_> = self
            .listen
            .iter()
            .map(|text| AdminListen::parse(text))
            .collect();
        if !places.iter().any(|place| place.path().is_some()) {
            places.insert(0, AdminListen::UnixIfPossible(Path::new(DEFAULT_SOCKET)));
        }
        places
    }

    /// Returns true if callers over TCP must authenticate.
    pub fn authenticates(&self) -> bool {
        self.tls.client_ca.is_some() || !self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(places: &[&str]) -> Settings {
        Settings {
            listen: places.iter().map(|&place| place.to_owned()).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn there_is_a_unix_socket_whatever_else_there_is() {
        let default = AdminListen::UnixIfPossible(Path::new(DEFAULT_SOCKET));
        let socket = AdminListen::Unix(Path::new("/a/b"));
        let (one, other) = (AdminListen::Tcp("127.0.0.1:1"), AdminListen::Tcp("[::1]:1"));
        for (places, expected) in [
            (&[][..], &[default][..]),
            (&["/a/b"], &[socket]),
            (&["unix:/a/b"], &[socket]),
            (&["127.0.0.1:1"], &[default, one]),
            (&["127.0.0.1:1", "[::1]:1"], &[default, one, other]),
            (&["127.0.0.1:1", "/a/b"], &[one, socket]),
            (&["off"], &[]),
        ] {
            assert_eq!(listening(places).listen(), expected, "{places:?}");
        }
    }
}
