//! A broker with an operator.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::port;

/// A time-out for hanging tests, longer than anything here takes.
pub(crate) const FOREVER: Duration = Duration::from_mins(1);
/// The variable with the administration's address, for the broker and the operator.
const LISTEN: &str = "SNOWFLAKE_BROKER_ADMIN__LISTEN";
/// The README's bridge.
pub(crate) const BRIDGE: &str = "{\"displayName\":\"mine\",\
    \"fingerprint\":\"0123456789ABCDEF0123456789ABCDEF01234567\",\
    \"webSocketAddress\":\"wss://snowflake.example.org/\"}\n";

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) folder: TempDir,
    /// The administration's address.
    pub(crate) listen: String,
}

impl Broker {
    /// Starts a broker with a Unix socket and a bridge list in its folder.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let listen = socket.to_str().unwrap().to_owned();
        let broker = Self::start_with("", listen, folder);
        until(async || UnixStream::connect(&socket).await.is_ok()).await;
        until(async || TcpStream::connect(broker.addr).await.is_ok()).await;
        broker
    }

    /// Starts a broker with its administration on a port, and these further lines of
    /// configuration.
    pub(crate) async fn start_at_a_port(lines: &str, folder: TempDir) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let broker = Self::start_with(lines, addr.to_string(), folder);
        until(async || TcpStream::connect(addr).await.is_ok()).await;
        broker
    }

    fn start_with(lines: &str, listen: String, folder: TempDir) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let config = folder.path().join("config.toml");
        let bridges = write(folder.path(), "bridges.jsonl", BRIDGE);
        let text = format!(
            "[listener]\naddr = \"{addr}\"\n[tls]\ndisable = true\n[geoip]\ndisable = true\n\
             [broker]\nbridge_list_path = {bridges:?}\nallowed_relay_pattern = \"example.org$\"\n\
             [matching]\nproxy_timeout = \"5m\"\n{lines}\n"
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
            .arg("--config")
            .arg(config)
            .env(LISTEN, &listen)
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            child,
            addr,
            folder,
            listen,
        }
    }

    /// An operator who finds the broker by the environment.
    pub(crate) fn operator<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = operator(arguments);
        command.env(LISTEN, &self.listen);
        command
    }

    /// The output of a call that must succeed.
    pub(crate) async fn ask(&self, line: &str) -> String {
        let said = run(&mut self.operator(words(line))).await;
        assert_eq!((said.code, &*said.stderr), (0, ""), "{line}");
        said.stdout
    }

    /// The output as JSON, one object per line.
    pub(crate) async fn ask_json(&self, line: &str) -> Vec<Value> {
        let text = self.ask(&format!("{line} --json")).await;
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The exit code and the error of a call that must fail.
    pub(crate) async fn refuse(&self, line: &str) -> (i32, String) {
        let said = run(&mut self.operator(words(line))).await;
        assert_eq!(said.stdout, "", "{line}");
        (said.code, said.stderr)
    }

    /// A path in the broker's folder, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Parks a poll for as long as the connection is kept.
    pub(crate) async fn park(&self, sid: &str, nat: &str) -> TcpStream {
        let poll = json!({
            "Sid": sid, "Version": "1.3", "Type": "standalone", "NAT": nat, "Clients": 0,
            "AcceptedRelayPattern": "",
        });
        let body = poll.to_string();
        let length = body.len();
        let request =
            format!("POST /proxy HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Waits until `count` polls are parked.
    pub(crate) async fn until_parked(&self, count: usize) {
        until(async || self.ask_json("polls").await.len() == count).await;
    }
}

/// Waits until `is_so` is true.
async fn until(is_so: impl AsyncFn() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it never is");
}

/// The output of the program.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> Said {
    let output = timeout(FOREVER, command.output())
        .await
        .expect("it does not end")
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An operator without a configured broker.
pub(crate) fn operator<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = program(["admin"]);
    command.args(arguments);
    command
}

/// The program with these arguments.
pub(crate) fn program<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    command
        .args(arguments)
        .env_remove(LISTEN)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Splits a line into words; single quotes group a word.
pub(crate) fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(ToOwned::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Writes a file into a folder, and returns its path.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
