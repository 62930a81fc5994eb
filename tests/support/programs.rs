//! The command lines of the programs in the test.

use std::net::SocketAddr;
use std::path::Path;
use std::{env, fs, io};

use anyhow::Result;
use serde_json::json;
use tokio::process::Command;

use crate::support::namespace::{self, ADDRESSES};
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{libraries, unpacked};

/// The port of a STUN server in RFC 8489.
const STUN_PORT: u16 = 3478;

/// The fingerprint of the one bridge that the broker knows, which is the clients' default.
pub(crate) const OUR_BRIDGE: &str = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";

/// The programs, and a folder for logs and state.
pub(crate) struct Programs<'a> {
    pub(crate) scratch: &'a Path,
}

impl Programs<'_> {
    /// Our broker, with these variables. It knows one bridge, the clients' default, at
    /// `relay`.
    pub(crate) fn broker(
        &self,
        address: SocketAddr,
        relay: &Relay,
        variables: &[(&str, &str)],
    ) -> Result<Process> {
        let mut command = self.broker_command(address, relay)?;
        command.envs(variables.iter().copied());
        self.start("broker", &mut command)
    }

    /// The same, with a configuration file.
    pub(crate) fn configured_broker(
        &self,
        address: SocketAddr,
        relay: &Relay,
        config: &Path,
    ) -> Result<Process> {
        let mut command = self.broker_command(address, relay)?;
        command.arg("--config").arg(config);
        self.start("broker", &mut command)
    }

    fn broker_command(&self, address: SocketAddr, relay: &Relay) -> Result<Command> {
        let bridge = json!({
            "displayName": "default",
            "webSocketAddress": relay.url(),
            "fingerprint": OUR_BRIDGE,
        });
        let bridges = self.scratch.join("bridges.json");
        fs::write(&bridges, format!("{bridge}\n"))?;

        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command
            .args(["--disable-tls", "--addr", &address.to_string()])
            .args(["--allowed-relay-pattern", &relay.pattern()])
            .arg("--bridge-list-path")
            .arg(bridges);
        Ok(command)
    }

    /// coturn, which tells the others their addresses and NAT types.
    pub(crate) fn stun_server(&self) -> Result<Process> {
        let mut command = Command::new(unpacked::file("usr/bin/turnserver"));
        command
            .env("LD_LIBRARY_PATH", env::join_paths(libraries::folders())?)
            .args(["-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls"])
            .args(["--log-file", "stdout", "--pidfile"])
            .arg(self.scratch.join("stun-server.pid"))
            .args(["--listening-port", &STUN_PORT.to_string()]);
        for address in ADDRESSES {
            command.args(["--listening-ip", address]);
        }
        self.start("stun-server", &mut command)
    }

    /// The standalone proxy. Its default relay does not exist here: it can reach only the
    /// one that the broker names.
    pub(crate) fn proxy(&self, broker: SocketAddr) -> Result<Process> {
        self.proxy_at("proxy", &format!("http://{broker}/"))
    }

    /// The same for a broker at this URL, with a log of this name.
    pub(crate) fn proxy_at(&self, name: &str, broker: &str) -> Result<Process> {
        let mut command = Command::new(unpacked::file("usr/bin/snowflake-proxy"));
        proxy_flags(&mut command, broker, "127.0.0.1$");
        self.start(name, &mut command)
    }

    /// The standalone proxy in a network namespace, with a log of this name. It accepts the
    /// relays of the pattern.
    pub(crate) fn proxy_in(
        &self,
        namespace: &str,
        name: &str,
        broker: SocketAddr,
        relay_pattern: &str,
    ) -> Result<Process> {
        let mut command = namespace::inside(namespace);
        command.arg(unpacked::file("usr/bin/snowflake-proxy"));
        proxy_flags(&mut command, &format!("http://{broker}/"), relay_pattern);
        self.start(name, &mut command)
    }

    /// The client, started in the way that tor starts a pluggable transport. `broker`
    /// holds the flags for reaching the broker.
    pub(crate) fn client(&self, broker: &[String]) -> Result<Process> {
        let mut command = Command::new(unpacked::file("usr/bin/snowflake-client"));
        self.client_flags(&mut command, broker);
        self.start("client", &mut command)
    }

    /// The client in a network namespace.
    pub(crate) fn client_in(&self, namespace: &str, broker: &[String]) -> Result<Process> {
        let mut command = namespace::inside(namespace);
        command.arg(unpacked::file("usr/bin/snowflake-client"));
        self.client_flags(&mut command, broker);
        self.start("client", &mut command)
    }

    fn client_flags(&self, command: &mut Command, broker: &[String]) {
        command
            .args(broker)
            .args(["-ice", &stun_url(), "-log", "/dev/stderr"])
            .args(["-keep-local-addresses", "-unsafe-logging"])
            .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
            .env("TOR_PT_CLIENT_TRANSPORTS", "snowflake")
            .env("TOR_PT_STATE_LOCATION", self.scratch.join("client-state"));
    }

    /// Starts a program with a log of this name.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(command, self.scratch.join(name).with_extension("log"))
    }
}

fn proxy_flags(command: &mut Command, broker: &str, relay_pattern: &str) {
    command
        .args(["-broker", broker])
        .args(["-allowed-relay-hostname-pattern", relay_pattern])
        .args(["-stun", &stun_url(), "-allow-non-tls-relay"])
        .args(["-keep-local-addresses", "-unsafe-logging", "-verbose"]);
}

/// Everything that the programs have written to this folder, for investigating a failure.
pub(crate) fn logs(folder: &Path) -> io::Result<String> {
    let mut logs = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = fs::read(&path)?;
            logs.extend(["\n==> ", &path.to_string_lossy(), "\n"]);
            logs.push_str(&String::from_utf8_lossy(&log));
        }
    }
    Ok(logs)
}

/// The address of the STUN server.
pub(crate) fn stun_address() -> String {
    format!("{}:{STUN_PORT}", ADDRESSES[0])
}

pub(crate) fn stun_url() -> String {
    format!("stun:{}", stun_address())
}
