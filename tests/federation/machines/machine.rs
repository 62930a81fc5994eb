//! Machines with two network interfaces, and the two networks that connect them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::namespace::ip;
use crate::support::wait::LONG_ENOUGH;

/// One of the two networks. The test itself is in both.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Network {
    /// The network of clients and proxies.
    Front,
    /// The network between brokers.
    Back,
}

/// The number of the test in both networks.
const TEST: u8 = 254;

impl Network {
    fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Back => "back",
        }
    }

    pub(crate) fn address(self, number: u8, port: u16) -> SocketAddr {
        let third = match self {
            Self::Front => 97,
            Self::Back => 98,
        };
        (Ipv4Addr::new(10, third, 0, number), port).into()
    }

    /// An address on which the test can listen.
    pub(crate) fn address_of_test(self, port: u16) -> SocketAddr {
        self.address(TEST, port)
    }

    async fn make(self) -> Result<()> {
        let (name, address) = (self.name(), self.address_of_test(0).ip());
        ip(&format!("link add {name} type bridge")).await?;
        ip(&format!("address add {address}/24 dev {name}")).await?;
        ip(&format!("link set {name} up")).await
    }
}

/// Creates both networks, in a namespace without any.
pub(crate) async fn make_networks() -> Result<()> {
    ip("link set lo up").await?;
    Network::Front.make().await?;
    Network::Back.make().await
}

/// A network namespace, and a shell in it that starts programs. After the drop, its links
/// disappear with the last of its programs.
pub(crate) struct Machine {
    name: &'static str,
    _shell: Child,
    commands: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Machine {
    /// A machine with this number in both networks.
    pub(crate) async fn new(name: &'static str, number: u8) -> Result<Self> {
        let mut shell = Command::new("unshare")
            .args(["--net", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run unshare")?;
        let id = shell.id().context("the shell has ended")?;
        let commands = shell.stdin.take().context("no input")?;
        let replies = shell.stdout.take().context("no output")?;
        let mut machine = Self {
            name,
            _shell: shell,
            commands,
            replies: BufReader::new(replies).lines(),
        };
        // Once it replies, it is in its namespace.
        machine.configure("ip link set lo up").await?;
        for network in [Network::Front, Network::Back] {
            let (net, address) = (network.name(), network.address(number, 0).ip());
            let port = machine.port(network);
            ip(&format!(
                "link add {port} type veth peer name {net} netns {id}"
            ))
            .await?;
            ip(&format!("link set {port} master {net} up")).await?;
            machine
                .configure(&format!(
                    "ip address add {address}/24 dev {net} && ip link set {net} up"
                ))
                .await?;
        }
        Ok(machine)
    }

    /// Silently cuts the link to a network.
    pub(crate) async fn cut(&self, network: Network) -> Result<()> {
        ip(&format!("link set {} down", self.port(network))).await
    }

    pub(crate) async fn repair(&self, network: Network) -> Result<()> {
        ip(&format!("link set {} up", self.port(network))).await
    }

    /// Runs a command in the shell, and returns the line that it prints.
    pub(crate) async fn ask(&mut self, command: &str) -> Result<String> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let reply = timeout(LONG_ENOUGH, self.replies.next_line())
            .await
            .with_context(|| format!("{}: no reply to {command}", self.name))??;
        reply.with_context(|| format!("{}: the shell has ended", self.name))
    }

    async fn configure(&mut self, command: &str) -> Result<()> {
        let status = self.ask(&format!("{command}; echo $?")).await?;
        ensure!(status == "0", "{}: {command}: {status}", self.name);
        Ok(())
    }

    /// The bridge's side of the link to a network.
    fn port(&self, network: Network) -> String {
        format!("{}-{}", self.name, network.name())
    }
}
