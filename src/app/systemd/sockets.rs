//! Sockets that the service manager has opened, and keeps open while the broker restarts
//! (`sd_listen_fds(3)`).

use std::env;
use std::os::fd::AsFd;

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use tokio::net::{TcpListener, UnixListener};

use crate::config::Config;

/// The main socket, for clients, proxies and the public pages.
pub(in crate::app) const HTTP: &str = "http";

/// The socket for a certificate authority's challenges.
pub(in crate::app) const ACME: &str = "acme";

/// The sockets for operators.
pub(in crate::app) const OPERATOR: &str = "operator";

/// The sockets of the administration.
pub(in crate::app) const ADMIN: &str = "admin";

/// The socket for peers.
pub(in crate::app) const FEDERATION: &str = "federation";

/// The setting with the names of expected sockets.
const EXPECTED_SOCKETS: &str = "listener.expected_sockets";

/// A listening socket of either kind.
#[derive(Debug)]
pub(in crate::app) enum Inherited {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// The passed sockets by name.
pub(in crate::app) struct Sockets {
    descriptors: ListenFd,
    /// The purpose of each socket; `None` once taken.
    purposes: Vec<Option<String>>,
}

impl Sockets {
    /// The sockets passed to this process. Changes the environment, so there must not be
    /// any other threads yet.
    pub(in crate::app) fn inherit() -> anyhow::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").ok();
        let descriptors = ListenFd::from_env();
        let purposes = match (descriptors.len(), names) {
            (0, _) => Vec::new(),
            (count, None) => purposes(&vec![UNKNOWN; count])?,
            (count, Some(names)) => {
                let names: Vec<&str> = names.split(':').collect();
                ensure!(
                    names.len() == count,
                    "LISTEN_FDNAMES: has {} names for {count} sockets",
                    names.len()
                );
                purposes(&names)?
            }
        };
        Ok(Self {
            descriptors,
            purposes: purposes.into_iter().map(Some).collect(),
        })
    }

    /// Takes all TCP sockets with this name.
    pub(in crate::app) fn take(&mut self, name: &str) -> anyhow::Result<Vec<TcpListener>> {
        let mut listeners = Vec::new();
        for (index, purpose) in self.purposes.iter_mut().enumerate() {
            if purpose.as_deref() == Some(name) {
                *purpose = None;
                let taken =
                    listener(&mut self.descriptors, index).with_context(|| inherited(name))?;
                listeners.extend(taken);
            }
        }
        Ok(listeners)
    }

    /// Takes the only socket with this name, of either kind, if there is one.
    pub(in crate::app) fn take_one(&mut self, name: &str) -> anyhow::Result<Option<Inherited>> {
        let mut taken = self.take_any(name)?;
        ensure!(taken.len() < 2, "LISTEN_FDNAMES: has {name:?} twice");
        Ok(taken.pop())
    }

    /// Takes all sockets with this name, of either kind.
    pub(in crate::app) fn take_any(&mut self, name: &str) -> anyhow::Result<Vec<Inherited>> {
        let mut all = Vec::new();
        for (index, purpose) in self.purposes.iter_mut().enumerate() {
            if purpose.as_deref() == Some(name) {
                *purpose = None;
                let taken = listener_of_any_kind(&mut self.descriptors, index)
                    .with_context(|| inherited(name))?;
                all.extend(taken);
            }
        }
        Ok(all)
    }

    /// Warns about each expected socket that was not passed; call it before any is taken.
    /// The broker then opens the socket itself, if it may, and closes it when it ends, so
    /// that connections are refused during a restart.
    pub(in crate::app) fn warn_of_missing(&self, config: &Config) {
        for name in self.missing(&config.listener.expected_sockets) {
            let instead = instead(name, config);
            tracing::warn!(
                "{EXPECTED_SOCKETS}: the service manager has not passed the socket {name:?}; {instead}"
            );
        }
    }

    fn missing<'a>(&self, expected: &'a [String]) -> impl Iterator<Item = &'a str> {
        let is_there = |name: &str| self.purposes.iter().flatten().any(|it| it == name);
        let names = expected.iter().map(String::as_str);
        names.filter(move |name| !is_there(name))
    }

    /// Refuses sockets that nothing has taken; call it last. A client that connects to
    /// such a socket would wait forever.
    pub(in crate::app) fn refuse_rest(&self) -> anyhow::Result<()> {
        match self.purposes.iter().flatten().next() {
            Some(name) => {
                bail!("LISTEN_FDNAMES: {name:?} is not the name of a socket that the broker serves")
            }
            None => Ok(()),
        }
    }
}

/// The clause that says what happens instead of a missing socket, and what can be done.
fn instead(name: &str, config: &Config) -> String {
    match off(name, config) {
        None => "the broker opens it itself: restart its socket unit, then the broker".to_owned(),
        Some((why, true)) => format!(
            "nothing listens in its place, because {why}: restart its socket unit, then the broker"
        ),
        Some((why, false)) => {
            format!("nothing listens there, because {why}: remove it from {EXPECTED_SOCKETS}")
        }
    }
}

/// The reason why the broker does not open a socket with this name itself, and true if it
/// would serve one that was passed; `None` if it opens one.
fn off(name: &str, config: &Config) -> Option<(&'static str, bool)> {
    let Config { acme, admin, .. } = config;
    match name {
        ACME if acme.hostnames.is_empty() => Some(("acme.hostnames is empty", false)),
        ACME if acme.http_addr.is_empty() => Some(("acme.http_addr is empty", true)),
        ADMIN if admin.is_off() => Some(("admin.listen is off", false)),
        FEDERATION if config.federation.listen.is_none() => {
            Some(("federation.listen is not set", true))
        }
        OPERATOR if config.operator.listen.is_off() => Some(("operator.listen is off", true)),
        _ => None,
    }
}

fn listener(descriptors: &mut ListenFd, index: usize) -> anyhow::Result<Option<TcpListener>> {
    let Some(listener) = descriptors.take_tcp_listener(index)? else {
        return Ok(None);
    };
    ensure_listening(&listener)?;
    listener.set_nonblocking(true)?;
    Ok(Some(TcpListener::from_std(listener)?))
}

fn listener_of_any_kind(
    descriptors: &mut ListenFd,
    index: usize,
) -> anyhow::Result<Option<Inherited>> {
    // The socket stays in place if it is not of the requested kind.
    let Ok(Some(listener)) = descriptors.take_unix_listener(index) else {
        return Ok(listener(descriptors, index)?.map(Inherited::Tcp));
    };
    ensure_listening(&listener)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    Ok(Some(Inherited::Unix(listener)))
}

fn ensure_listening(socket: &impl AsFd) -> anyhow::Result<()> {
    let is_listening = socket_acceptconn(socket.as_fd())?;
    ensure!(
        is_listening,
        "does not listen: does its unit say Accept=yes?"
    );
    Ok(())
}

fn inherited(name: &str) -> String {
    format!("the inherited socket {name:?}")
}

/// The name that systemd gives to a socket without a name or unit.
const UNKNOWN: &str = "unknown";

/// The purposes of sockets with these names. Unnamed sockets count as the main one if all
/// are unnamed; otherwise, an administration socket without a name could become the
/// public one.
fn purposes(names: &[&str]) -> anyhow::Result<Vec<String>> {
    let is_alike = names.iter().all(|name| *name == names[0]);
    let purpose = |&name: &&str| match name {
        "https" => Ok(HTTP.to_owned()),
        name if !is_default(name) => Ok(name.to_owned()),
        _ if is_alike => Ok(HTTP.to_owned()),
        _ => bail!("LISTEN_FDNAMES: must name each of several sockets: set FileDescriptorName="),
    };
    names.iter().map(purpose).collect()
}

/// Returns true if systemd chose the name: without `FileDescriptorName=`, it is that of
/// the socket unit.
fn is_default(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    name.is_empty() || name == UNKNOWN || extension == Some("socket")
}

#[cfg(test)]
mod tests {
    use super::{ACME, ADMIN, FEDERATION, HTTP, OPERATOR, instead, purposes};
    use crate::config::Config;
    use crate::http::operator::OperatorListen;
    use crate::listener::SOCKETS;

    #[test]
    fn the_setting_knows_every_name() {
        assert_eq!(SOCKETS, [HTTP, ACME, ADMIN, FEDERATION, OPERATOR]);
    }

    #[test]
    fn a_socket_of_what_is_off_is_not_said_to_be_opened() {
        let opened = "the broker opens it itself: ";
        let mut config = Config::default();
        config.acme.hostnames = vec!["a.example".to_owned()];
        config.federation.listen = Some(":1".to_owned());
        for name in SOCKETS {
            let said = instead(name, &config);
            assert!(said.starts_with(opened), "{name}: {said}");
        }
        config.acme.http_addr = String::new();
        config.admin.listen = vec!["off".to_owned()];
        config.federation.listen = None;
        config.operator.listen = OperatorListen::At(Vec::new());
        for (name, why) in [
            (ACME, "because acme.http_addr is empty: restart"),
            (ADMIN, "because admin.listen is off: remove it from"),
            (FEDERATION, "because federation.listen is not set: restart"),
            (OPERATOR, "because operator.listen is off: restart"),
        ] {
            let said = instead(name, &config);
            assert!(said.starts_with("nothing listens "), "{name}: {said}");
            assert!(said.contains(why), "{name}: {said}");
        }
        config.acme.hostnames = Vec::new();
        let said = instead(ACME, &config);
        assert!(
            said.contains("because acme.hostnames is empty: remove it from"),
            "{said}"
        );
        assert!(instead(HTTP, &config).starts_with(opened));
    }

    #[test]
    fn sockets_are_for_what_their_names_say() {
        let named = |names: &[&str]| purposes(names).unwrap();
        assert_eq!(
            named(&["admin", "https", "http"]),
            ["admin", "http", "http"]
        );
        for alone in ["unknown", "", "snowflake-broker.socket"] {
            assert_eq!(named(&[alone]), ["http"]);
            assert_eq!(named(&[alone, alone]), ["http", "http"]);
            let error = purposes(&["http", alone]).unwrap_err().to_string();
            assert!(error.contains("FileDescriptorName="), "{error}");
        }
    }
}
