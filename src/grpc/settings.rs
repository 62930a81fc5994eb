//! Settings of the administration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use crate::listener::addresses;

use super::role::AdminRole;

/// The socket of the administration unless it is told of another Unix socket, if the
/// directory is there.
pub const DEFAULT_SOCKET: &str = "/run/snowflake-broker/admin.sock";

/// The word for nowhere.
const OFF: &str = "off";

/// The addresses of the administration, and its callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses and ports, and Unix sockets (`unix:PATH` or an absolute path); or only
    /// `off`. Without a Unix socket there is [`DEFAULT_SOCKET`] besides, if its directory
    /// is there.
    #[serde(
        deserialize_with = "deserialize_listen",
        serialize_with = "addresses::serialize",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub listen: Vec<String>,
    /// The certificates of an address and port.
    pub tls: TlsSettings,
    /// Those who may call with a bearer token.
    pub tokens: Vec<TokenSettings>,
}

/// The certificates of an address and port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// The server's certificate chain, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The authorities that the callers' certificates have to be from, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// DNS or URI names of certificates that may change things.
    pub operators: Vec<String>,
    /// DNS or URI names of certificates that may look.
    pub viewers: Vec<String>,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// Whose it is, for the log.
    pub name: String,
    /// The rights of its bearer.
    pub role: AdminRole,
    /// The file that holds it.
    pub file: PathBuf,
}

fn deserialize_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let expected = "a path, an address and port, a list of them, or off";
    addresses::deserialize(deserializer, expected)
}

/// One of the places where the administration listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen<'a> {
    /// At a Unix socket.
    Unix(&'a Path),
    /// At a Unix socket, if its directory is there.
    UnixIfPossible(&'a Path),
    /// At an address and port.
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

    /// The path of a Unix socket.
    pub fn path(self) -> Option<&'a Path> {
        match self {
            Self::Unix(path) | Self::UnixIfPossible(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }

    /// An address and port.
    pub fn address(self) -> Option<&'a str> {
        match self {
            Self::Tcp(address) => Some(address),
            Self::Unix(_) | Self::UnixIfPossible(_) => None,
        }
    }
}

impl Settings {
    /// Returns true if there is to be no administration.
    pub fn is_off(&self) -> bool {
        self.listen == [OFF]
    }

    /// Returns true if `off` is among other places, which makes no sense.
    pub fn is_off_and_on(&self) -> bool {
        self.listen.len() > 1 && self.listen.iter().any(|place| place == OFF)
    }

    /// Every place to listen at; none if the administration is off. There always is a
    /// Unix socket among them: who is locked out of the others has that.
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

    /// Returns true if callers over TCP have to say who they are.
    pub fn authenticates(&self) -> bool {
        self.tls.client_ca.is_some() || !self.tokens.is_empty()
    }
}

/// Returns true if nobody but this machine reaches an address and port. Of names only
/// `localhost` is known to be this machine's.
pub fn is_loopback(addr: &str) -> bool {
    let is_ours = |ip: IpAddr| ip.to_canonical().is_loopback();
    match addr.parse::<SocketAddr>() {
        Ok(addr) => is_ours(addr.ip()),
        Err(_) => addr
            .rsplit_once(':')
            .is_some_and(|(host, _)| host == "localhost"),
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

    #[test]
    fn loopback_is_known() {
        for addr in [
            "127.0.0.1:1",
            "127.8.8.8:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "localhost:1",
        ] {
            assert!(is_loopback(addr), "{addr}");
        }
        for addr in [
            ":1",
            "0.0.0.0:1",
            "[::]:1",
            "192.0.2.1:1",
            "localhost.example:1",
        ] {
            assert!(!is_loopback(addr), "{addr}");
        }
    }
}
