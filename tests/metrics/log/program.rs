//! A broker whose polls end at once, in a folder with all its files.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::port;
use crate::support::stats_log::{self, Block};

/// Longer than anything here takes; reached only by what hangs.
const FOREVER: Duration = Duration::from_mins(1);

/// The folder that several brokers use, one after the other.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("metrics.log")
    }

    pub(crate) fn window(&self) -> PathBuf {
        self.path("state/metrics-window.json")
    }

    /// The blocks in the log, all of which must be valid. To be called while no broker
    /// writes to it.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        blocks(&self.log_text())
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Waits until the log has this many blocks.
    pub(crate) async fn until_blocks(&self, count: usize) {
        let blocks = || self.log_text().matches("snowflake-ips-nat-open ").count();
        until("the block is written", || blocks() >= count).await;
    }

    /// Waits until the blocks have this many addresses in all.
    pub(crate) async fn until_seen(&self, count: u64) {
        let seen = || -> u64 {
            let log = self.log_text();
            // The last line may be incomplete.
            let lines = log.split_inclusive('\n').filter_map(|line| {
                line.strip_prefix("snowflake-ips-total ")?
                    .strip_suffix('\n')
            });
            lines.map(|count| count.parse::<u64>().unwrap()).sum()
        };
        until("the addresses are in the log", || seen() >= count).await;
    }

    /// The number of addresses in all blocks.
    pub(crate) fn seen(&self) -> u64 {
        let blocks = self.blocks();
        let counts = blocks.iter().map(|b| b.count("snowflake-ips-total"));
        counts.sum()
    }

    /// Starts a broker with the log, the state and these settings, and waits until it
    /// listens. Settings without a section belong to `metrics`.
    pub(crate) async fn start(&self, settings: &[(&str, &str)]) -> Program {
        let program = self.spawn(settings);
        let addr = program.addr;
        until("the broker listens", || {
            std::net::TcpStream::connect(addr).is_ok()
        })
        .await;
        program
    }

    /// Runs a broker that must fail. Returns its exit code and the last line of its log.
    pub(crate) async fn fail(&self, settings: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut program = self.spawn(settings);
        let status = timeout(FOREVER, program.child.wait())
            .await
            .expect("the broker does not end")
            .unwrap();
        let said = program.said();
        (status.code(), said.lines().last().unwrap().to_owned())
    }

    /// Returns true if `check-config` accepts the same configuration.
    pub(crate) async fn check_config(&self, settings: &[(&str, &str)]) -> bool {
        let (mut command, ..) = self.command(settings);
        let output = command.arg("check-config").output().await.unwrap();
        output.status.success() && output.stdout == b"ok\n"
    }

    fn command(&self, settings: &[(&str, &str)]) -> (Command, SocketAddr, SocketAddr) {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let (addr, operator) = (free(), free());
        let mut command = program();
        command
            .arg(format!("--addr={addr}"))
            .args(["--disable-tls", "--disable-geoip"])
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", operator.to_string())
            .env("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "1ms")
            .env("SNOWFLAKE_BROKER_MATCHING__CLIENT_QUEUE_WAIT", "0")
            .env("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "0")
            .env("SNOWFLAKE_BROKER_METRICS__METRICS_LOG", self.log())
            .env(
                "SNOWFLAKE_BROKER_METRICS__STATE_DIRECTORY",
                self.path("state"),
            );
        for (key, value) in settings {
            let (section, key) = key.split_once('.').unwrap_or(("metrics", key));
            let name = format!("SNOWFLAKE_BROKER_{section}__{key}");
            command.env(name.to_ascii_uppercase(), value);
        }
        (command, addr, operator)
    }

    fn spawn(&self, settings: &[(&str, &str)]) -> Program {
        let (mut command, addr, operator) = self.command(settings);
        let said = self.path(&format!("stderr-{}", addr.port()));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        Program {
            child,
            addr,
            operator,
            said,
        }
    }
}

pub(crate) fn blocks(log: &str) -> Vec<Block> {
    stats_log::parse(log).unwrap_or_else(|error| panic!("{error} in:\n{log}"))
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
}

/// Runs a command of the program.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    let output = timeout(FOREVER, program().args(arguments).output()).await;
    output.expect("the broker does not end").unwrap()
}

/// A running broker, which is killed on drop.
pub(crate) struct Program {
    child: Child,
    addr: SocketAddr,
    operator: SocketAddr,
    said: PathBuf,
}

/// A response to a request.
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl Program {
    /// Sends a poll of a `webext` proxy from each of these addresses; none gets a client.
    pub(crate) async fn proxies(&self, addresses: impl Iterator<Item = u8>) {
        for address in addresses {
            poll(self.addr, address).await;
        }
    }

    /// Sends such a poll in the background, and waits until it is parked.
    pub(crate) async fn park_proxy(&self, address: u8) -> JoinHandle<()> {
        let parked = tokio::spawn(poll(self.addr, address));
        let waited = timeout(FOREVER, async {
            while !self.is_anybody_parked().await {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("no poll is parked");
        parked
    }

    async fn is_anybody_parked(&self) -> bool {
        let debug = request(self.operator, "/debug", "", "").await;
        debug.body.contains("available: 1")
    }

    pub(crate) async fn metrics(&self, headers: &str) -> Reply {
        self.get("/metrics", headers).await
    }

    async fn get(&self, path: &str, headers: &str) -> Reply {
        request(self.addr, path, headers, "").await
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The whole log so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Ends the broker as an operator does. Returns its log.
    pub(crate) async fn stop(self) -> String {
        self.end(Signal::TERM, Some(0)).await
    }

    /// Ends the broker like a crash.
    pub(crate) async fn kill(self) {
        self.end(Signal::KILL, None).await;
    }

    async fn end(mut self, signal: Signal, code: Option<i32>) -> String {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let status = timeout(FOREVER, self.child.wait())
            .await
            .expect("the broker does not end")
            .unwrap();
        assert_eq!(
            status.code(),
            code,
            "{:?}\n{}",
            status.signal(),
            self.said()
        );
        self.said()
    }
}

async fn poll(addr: SocketAddr, address: u8) {
    let body = json!({"Sid": "a", "Version": "1.3", "Type": "webext", "NAT": "open"});
    let from = format!("X-Forwarded-For: 1.2.3.{address}\r\n");
    let reply = request(addr, "/proxy", &from, &body.to_string()).await;
    assert!(reply.body.contains("no match"), "{}", reply.body);
}

async fn request(addr: SocketAddr, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let read = timeout(FOREVER, stream.read_to_string(&mut text)).await;
    read.expect("no reply").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The saved window's count of idle polls.
pub(crate) fn saved_idle(window: &Path) -> Option<u64> {
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(window).ok()?).unwrap();
    saved["window"]["counts"]["idle"].as_u64()
}
