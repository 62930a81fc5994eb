//! What an operator can set about the administration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::auth::Role;

/// Where the administration listens unless it is told otherwise, if the
/// directory is there.
pub const DEFAULT_SOCKET: &str = "/run/snowflake-broker/admin.sock";

/// Where the administration listens, and who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A Unix socket (`unix:PATH` or an absolute path), an address and port, or
    /// `off`; without it [`DEFAULT_SOCKET`], if its directory is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// The certificates of an address and port.
    pub tls: TlsSettings,
    /// Who may call with a bearer token.
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
    /// What its bearer may do.
    pub role: Role,
    /// The file that holds it.
    pub file: PathBuf,
}

/// Where the administration listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen<'a> {
    /// Nowhere.
    Off,
    /// At a Unix socket.
    Unix(&'a Path),
    /// At a Unix socket, if its directory is there.
    UnixIfPossible(&'a Path),
    /// At an address and port.
    Tcp(&'a str),
}

impl Settings {
    /// Where to listen.
    pub fn listen(&self) -> Listen<'_> {
        match self.listen.as_deref() {
            None => Listen::UnixIfPossible(Path::new(DEFAULT_SOCKET)),
            Some("off") => Listen::Off,
            Some(text) => match text.strip_prefix("unix:") {
                Some(path) => Listen::Unix(Path::new(path)),
                None if text.starts_with('/') => Listen::Unix(Path::new(text)),
                None => Listen::Tcp(text),
            },
        }
    }

    /// Whether callers over TCP have to say who they are.
    pub fn authenticates(&self) -> bool {
        self.tls.client_ca.is_some() || !self.tokens.is_empty()
    }
}

/// Whether nobody but this machine reaches an address and port. Of names only
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

    fn listening(text: &str) -> Settings {
        Settings {
            listen: Some(text.to_owned()),
            ..Settings::default()
        }
    }

    #[test]
    fn sockets_and_addresses_are_told_apart() {
        let default = Path::new(DEFAULT_SOCKET);
        assert_eq!(
            Settings::default().listen(),
            Listen::UnixIfPossible(default)
        );
        assert_eq!(listening("off").listen(), Listen::Off);
        let socket = Listen::Unix(Path::new("/a/b"));
        assert_eq!(listening("unix:/a/b").listen(), socket);
        assert_eq!(listening("/a/b").listen(), socket);
        assert_eq!(
            listening("127.0.0.1:1").listen(),
            Listen::Tcp("127.0.0.1:1")
        );
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
