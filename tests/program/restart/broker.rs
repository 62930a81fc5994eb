//! A broker started like by a service manager: with sockets that are already open.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::net::listen;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::restart::FOREVER;

/// The number of connections that may wait while no broker runs; the standard library's
/// default is 128.
const BACKLOG: i32 = 4096;

/// A socket that stays open whether or not a broker runs.
pub(crate) struct Socket(TcpListener);

impl Socket {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listen(&listener, BACKLOG).unwrap();
        Self(listener)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn duplicate(&self) -> OwnedFd {
        self.0.try_clone().unwrap().into()
    }
}

/// A running broker. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    log: NamedTempFile,
}

impl Program {
    /// Starts a broker with one socket of this name, and settings by `section.key`.
    pub(crate) fn start(socket: &Socket, name: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_with(&[socket], name, settings, |_| {})
    }

    /// Starts a broker with one or two sockets and other changes of the command.
    pub(crate) fn start_with(
        sockets: &[&Socket],
        names: &str,
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        // Descriptors from 3 on, and the ID of their process, as in sd_listen_fds(3).
        let mut command = Command::new("sh");
        let script = "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 4<&1 </dev/null >/dev/null";
        let second = sockets.get(1).map(|socket| Stdio::from(socket.duplicate()));
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_snowflake-broker")])
            .arg("--addr=127.0.0.1:1")
            .env("LISTEN_FDS", sockets.len().to_string())
            .env("LISTEN_FDNAMES", names)
            .stdin(Stdio::from(sockets[0].duplicate()))
            .stdout(second.unwrap_or_else(Stdio::null));
        for (key, value) in settings {
            let name = format!("SNOWFLAKE_BROKER_{}", key.replace('.', "__"));
            command.env(name.to_ascii_uppercase(), value);
        }
        change(&mut command);
        Self::spawn(command)
    }

    /// Starts a broker that opens its own socket.
    pub(crate) fn without_sockets(addr: SocketAddr, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command.arg(format!("--addr={addr}")).stdin(Stdio::null());
        change(&mut command);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let log = NamedTempFile::new().unwrap();
        command
            .args(["--disable-tls", "--disable-geoip"])
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", "off")
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        Self { child, log }
    }

    pub(crate) fn send(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        log(self.log.path())
    }

    /// Waits until it has logged this.
    pub(crate) async fn until_logged(&self, text: &str) {
        let logged = timeout(FOREVER, async {
            while !self.log().contains(text) {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(logged.is_ok(), "no {text:?} in:\n{}", self.log());
    }

    /// The exit status and the log, after it has ended.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        let status = timeout(FOREVER, self.child.wait()).await;
        (status.expect("it does not end").unwrap(), self.log())
    }
}

fn log(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
