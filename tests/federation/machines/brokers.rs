//! Running brokers, each on its own machine.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::machines::machine::{Machine, Network, make_networks};
use crate::support::certificates::Authority;
use crate::support::wait::until;

const HTTP_PORT: u16 = 8080;
const PEER_PORT: u16 = 7443;
/// The shell's exit status for a signal: 128 plus its number.
const KILLED: &str = "137";

/// The name and number of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    number: u8,
}

pub(crate) const A: Name = Name::new("a", 1);
pub(crate) const B: Name = Name::new("b", 2);
pub(crate) const C: Name = Name::new("c", 3);

impl Name {
    const fn new(name: &'static str, number: u8) -> Self {
        Self { name, number }
    }

    /// The address for clients and proxies.
    pub(crate) fn http(self) -> SocketAddr {
        Network::Front.address(self.number, HTTP_PORT)
    }

    /// The address for peers.
    pub(crate) fn grpc(self) -> SocketAddr {
        Network::Back.address(self.number, PEER_PORT)
    }
}

/// The resources that all brokers of a test share: the networks, an authority and a
/// folder.
pub(crate) struct Site {
    folder: TempDir,
    authority: Authority,
}

/// A broker on its machine; its process can end and start again.
pub(crate) struct Broker {
    pub(crate) name: Name,
    pub(crate) machine: Machine,
    folder: PathBuf,
    process: Option<Pid>,
}

impl Site {
    pub(crate) async fn new() -> Result<Self> {
        make_networks().await?;
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path(), "ca");
        Ok(Self { folder, authority })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a broker with these peers, each at an address.
    pub(crate) async fn broker(
        &self,
        name: Name,
        peers: &[(Name, SocketAddr)],
        more_settings: &str,
    ) -> Result<Broker> {
        let folder = self.folder.path();
        let file = name.name;
        let certified = format!("{file}.example");
        self.authority.certify(folder, file, &certified, 2100);
        let config = self.config(name, peers, more_settings)?;
        fs::write(folder.join(file).with_extension("toml"), config)?;
        let mut broker = Broker {
            name,
            machine: Machine::new(file, name.number).await?,
            folder: folder.to_owned(),
            process: None,
        };
        broker.start().await?;
        Ok(broker)
    }

    /// Starts three brokers, each a peer of both others.
    pub(crate) async fn three_brokers(&self) -> Result<[Broker; 3]> {
        let [a, b, c] = [A, B, C].map(|name| (name, name.grpc()));
        Ok([
            self.broker(A, &[b, c], "").await?,
            self.broker(B, &[a, c], "").await?,
            self.broker(C, &[a, b], "").await?,
        ])
    }

    fn config(
        &self,
        name: Name,
        peers: &[(Name, SocketAddr)],
        more_settings: &str,
    ) -> Result<String> {
        let of = |ending| self.folder.path().join(name.name).with_extension(ending);
        let mut config = format!(
            "{more_settings}\n[tls]\ndisable = true\n[operator]\nlisten = \"off\"\n[admin]\nlisten = \"{}\"\n\
             [listener]\naddr = \"{}\"\n\
             # All clients and proxies here have one address.\n\
             [limits]\nexempt = [\"{}/24\"]\n\
             [federation]\nlisten = \"{}\"\nreserve = 0\n\
             [federation.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
            of("sock").display(),
            name.http(),
            Network::Front.address_of_test(0).ip(),
            name.grpc(),
            of("pem").display(),
            of("key").display(),
            self.authority.file.display(),
        );
        for (peer, at) in peers {
            let peer = peer.name;
            writeln!(
                config,
                "[[federation.peers]]\nname = \"{peer}.example\"\nurl = \"https://{at}\""
            )?;
        }
        Ok(config)
    }
}

impl Broker {
    /// Starts the process, and waits until it listens.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let file = self.folder.join(self.name.name);
        let command = format!(
            "'{}' --disable-geoip --config '{}' >>'{}' 2>&1 & echo $!",
            env!("CARGO_BIN_EXE_snowflake-broker"),
            file.with_extension("toml").display(),
            file.with_extension("log").display(),
        );
        let id = self.machine.ask(&command).await?.parse()?;
        self.process = Pid::from_raw(id);
        let http = self.name.http();
        until("the broker listens", async || {
            Ok(TcpStream::connect(http).await.ok().map(drop))
        })
        .await
        .with_context(|| self.log())
    }

    /// Ends the process as `kill -9` does.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let status = self.end(Signal::KILL).await?;
        ensure!(status == KILLED, "{}", self.log());
        Ok(())
    }

    /// Tells the process to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let status = self.end(Signal::TERM).await?;
        ensure!(status == "0", "{status}: {}", self.log());
        Ok(())
    }

    async fn end(&mut self, signal: Signal) -> Result<String> {
        let process = self.process.take().context("it does not run")?;
        kill_process(process, signal)?;
        let id = process.as_raw_nonzero();
        self.machine.ask(&format!("wait {id}; echo $?")).await
    }

    pub(crate) fn log(&self) -> String {
        let log = self.folder.join(self.name.name).with_extension("log");
        fs::read_to_string(log).unwrap_or_else(|error| error.to_string())
    }
}
