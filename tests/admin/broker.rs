//! A running broker and its administration.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use snowflake_broker::proto::admin::v1::admin_client::AdminClient;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::grpcurl::Grpcurl;
use crate::support::port;
use crate::{FOREVER, until};

/// The files of a broker before it starts, including its configuration.
pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    pub(crate) addr: SocketAddr,
}

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) setup: Setup,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap())),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("admin.sock")
    }

    /// Writes a configuration of these complete sections.
    pub(crate) fn configure(&self, sections: &str) {
        self.write("config.toml", sections);
    }

    /// The command for the broker. By default, its administration listens on
    /// [`Self::socket`].
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        self.complete(&mut command);
        command
    }

    /// Appends the broker's arguments to a command that ends in its program.
    pub(crate) fn complete(&self, command: &mut Command) {
        let config = self.path("config.toml");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        if !config.exists() {
            self.configure("");
        }
        let has_address = fs::read_to_string(&config).unwrap().contains("\nlisten = ");
        if !has_address {
            command.env("SNOWFLAKE_BROKER_ADMIN__LISTEN", self.socket());
        }
        let text = fs::read_to_string(&config).unwrap();
        if !text.contains("\npools_file = ") {
            command.env(
                "SNOWFLAKE_BROKER_ADMIN__POOLS_FILE",
                self.path("pools.json"),
            );
        }
        command
            .args(["--disable-tls", "--disable-geoip"])
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", "off")
            .env("SNOWFLAKE_BROKER_OPERATOR__NETWORKS", "127.0.0.0/8")
            .arg(format!("--addr={}", self.addr))
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
    }

    pub(crate) async fn start(self) -> Broker {
        let command = self.command();
        self.start_as(command).await
    }

    pub(crate) async fn start_as(self, mut command: Command) -> Broker {
        let child = command.spawn().unwrap();
        let broker = Broker { child, setup: self };
        until("the broker listens", async || {
            TcpStream::connect(broker.setup.addr).await.is_ok()
        })
        .await;
        broker
    }

    /// The exit code and the last line of a broker that does not start.
    pub(crate) async fn failure(&self) -> (i32, String) {
        let status = timeout(FOREVER, self.command().status())
            .await
            .expect("it does not end")
            .unwrap();
        let log = fs::read_to_string(self.path("log")).unwrap();
        let last = log.lines().last().unwrap_or_default().to_owned();
        (status.code().unwrap(), last)
    }
}

impl Broker {
    /// A broker with these sections in its configuration.
    pub(crate) async fn start(sections: &str) -> Self {
        let setup = Setup::new();
        setup.configure(sections);
        setup.start().await
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.setup.addr
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.setup.socket()
    }

    /// Calls the broker through its socket.
    pub(crate) fn grpcurl(&self) -> Grpcurl {
        Grpcurl::unix(&self.socket())
    }

    /// Our own client, with a new connection.
    pub(crate) async fn client(&self) -> AdminClient<Channel> {
        AdminClient::new(channel(&self.socket()).await)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.setup.path("log")).unwrap()
    }

    /// The log without the line at the start that says where the broker listens.
    pub(crate) fn log_of_calls(&self) -> String {
        let log = self.log();
        let lines = log.lines();
        let calls = lines.filter(|line| !line.contains(" serving clients and proxies "));
        calls.collect::<Vec<_>>().join("\n")
    }

    /// Waits until the broker has logged this, which it does a moment after it replies.
    pub(crate) async fn logs(&self, text: &str) {
        until(text, async || self.log().contains(text)).await;
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Sends the signal and waits until the broker has logged this once more.
    pub(crate) async fn signal(&self, signal: Signal, logged: &str) {
        let count = || self.log().matches(logged).count();
        let before = count();
        self.send(signal);
        until(logged, async || count() > before).await;
    }

    /// The exit status, after the broker has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let status = timeout(FOREVER, self.child.wait()).await;
        status.expect("it does not end").unwrap()
    }

    /// The broker's resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse().unwrap()
    }
}

pub(crate) fn send(process: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// A new connection.
pub(crate) async fn channel(socket: &Path) -> Channel {
    until("the socket is there", async || {
        UnixStream::connect(socket).is_ok()
    })
    .await;
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    endpoint.connect().await.unwrap()
}
