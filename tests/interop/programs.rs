//! The command lines of the programs that meet in the test.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::namespace::ADDRESSES;
use crate::process::Process;

/// The port of a STUN server by RFC 8489.
const STUN_PORT: u16 = 3478;

/// Where the programs are, and where they may write.
pub(crate) struct Programs<'a> {
    /// Debian's packages, unpacked.
    debian: PathBuf,
    /// Takes logs and state.
    scratch: &'a Path,
}

impl<'a> Programs<'a> {
    pub(crate) fn find(scratch: &'a Path) -> Result<Self> {
        let debian = env::var_os("SNOWFLAKE_INTEROP_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop"),
            PathBuf::from,
        );
        let programs = Self { debian, scratch };
        for name in ["snowflake-client", "snowflake-proxy", "turnserver"] {
            let path = programs.path(name);
            ensure!(
                path.exists(),
                "{} is missing: run tests/run once, it fetches it",
                path.display()
            );
        }
        Ok(programs)
    }

    /// Our broker. It knows one bridge, the one that clients ask for, at `relay`.
    pub(crate) fn broker(&self, address: SocketAddr, relay: &str) -> Result<Process> {
        let bridge = json!({
            "displayName": "default",
            "webSocketAddress": relay,
            "fingerprint": "2B280B23E1107BB62ABFC40DDCC8824814F80A72",
        });
        let bridges = self.scratch.join("bridges.json");
        fs::write(&bridges, format!("{bridge}\n"))?;

        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command
            .args(["--disable-tls", "--addr", &address.to_string()])
            .args(["--allowed-relay-pattern", "127.0.0.1$"])
            .arg("--bridge-list-path")
            .arg(bridges);
        self.start("broker", &mut command)
    }

    /// coturn, which tells the others their addresses and the kind of their NAT.
    pub(crate) fn stun_server(&self) -> Result<Process> {
        let mut command = Command::new(self.path("turnserver"));
        command
            .env("LD_LIBRARY_PATH", self.libraries()?)
            .args(["-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls"])
            .args(["--log-file", "stdout", "--pidfile"])
            .arg(self.scratch.join("stun-server.pid"))
            .args(["--listening-port", &STUN_PORT.to_string()]);
        for address in ADDRESSES {
            command.args(["--listening-ip", address]);
        }
        self.start("stun-server", &mut command)
    }

    /// The standalone proxy. Its own idea of a relay does not exist here:
    /// the only one it can reach is the one that the broker tells it.
    pub(crate) fn proxy(&self, broker: SocketAddr) -> Result<Process> {
        let mut command = Command::new(self.path("snowflake-proxy"));
        command
            .args(["-broker", &format!("http://{broker}/")])
            .args(["-allowed-relay-hostname-pattern", "127.0.0.1$"])
            .args(["-stun", &stun_url(), "-allow-non-tls-relay"])
            .args(["-keep-local-addresses", "-unsafe-logging", "-verbose"]);
        self.start("proxy", &mut command)
    }

    /// The client, started the way that tor starts a pluggable transport.
    /// `broker` are the flags that say how it reaches the broker.
    pub(crate) fn client(&self, broker: &[String]) -> Result<Process> {
        let mut command = Command::new(self.path("snowflake-client"));
        command
            .args(broker)
            .args(["-ice", &stun_url(), "-log", "/dev/stderr"])
            .args(["-keep-local-addresses", "-unsafe-logging"])
            .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
            .env("TOR_PT_CLIENT_TRANSPORTS", "snowflake")
            .env("TOR_PT_STATE_LOCATION", self.scratch.join("client-state"));
        self.start("client", &mut command)
    }

    fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(command, self.scratch.join(name).with_extension("log"))
    }

    fn path(&self, program: &str) -> PathBuf {
        self.debian.join("usr/bin").join(program)
    }

    /// The folders of the libraries that came along, whatever the architecture.
    fn libraries(&self) -> Result<OsString> {
        let mut folders = Vec::new();
        for parent in ["lib", "usr/lib"] {
            // A package without libraries has no such folder.
            for entry in fs::read_dir(self.debian.join(parent)).into_iter().flatten() {
                folders.push(entry?.path());
            }
        }
        Ok(env::join_paths(folders)?)
    }
}

/// All that programs have written to this folder, for whoever has to find a failure.
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

/// Where the STUN server listens.
pub(crate) fn stun_address() -> String {
    format!("{}:{STUN_PORT}", ADDRESSES[0])
}

fn stun_url() -> String {
    format!("stun:{}", stun_address())
}
