//! The program from its operator's view: starting, reloading and stopping, restarts under
//! load ([`restart`]), and [`faults`] around it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bridges;
mod build_script;
mod certificates;
mod check;
mod conformance;
mod countries;
mod faults;
mod limits;
mod listening;
mod load;
mod logs;
mod observers;
mod operator;
mod otel;
mod performance;
mod policy;
mod privacy_watch;
mod reload;
mod restart;
mod secrets;
mod soak;
mod start_up;
mod supply;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod utls;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::port;

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// The maximum age of a broker's metrics.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

const OPERATOR_LISTEN: &str = "SNOWFLAKE_BROKER_OPERATOR__LISTEN";
/// The default limit of connections exceeds the number of files that a program may open
/// on some machines, about which the broker warns.
const FEW_CONNECTIONS: [(&str, &str); 1] = [("SNOWFLAKE_BROKER_LISTENER__MAX_CONNECTIONS", "1000")];

/// A running broker. Dropping it kills it.
struct Program {
    child: Child,
    addr: SocketAddr,
    operator: SocketAddr,
    log: NamedTempFile,
}

impl Program {
    /// Starts it with further arguments, and waits until it listens.
    async fn start(arguments: &[&str]) -> Self {
        Self::start_with(|addr| {
            let mut command = command(addr, arguments);
            command.arg("--disable-geoip");
            command
        })
        .await
    }

    /// Starts this command for an address, and waits until it listens there.
    async fn start_with(command: impl FnOnce(SocketAddr) -> Command) -> Self {
        Self::start_logging_to(NamedTempFile::new().unwrap(), command).await
    }

    async fn start_logging_to(
        log: NamedTempFile,
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> Self {
        let (addr, operator) = (free_address(), free_address());
        let mut command = command(addr);
        command
            .arg("--disable-tls")
            .env(OPERATOR_LISTEN, operator.to_string())
            .stderr(log.reopen().unwrap());
        let program = Self {
            child: command.spawn().unwrap(),
            addr,
            operator,
            log,
        };
        let listening = timeout(FOREVER, async {
            while TcpStream::connect(addr).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        listening.await.expect("it does not listen");
        program
    }

    fn send(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Sends the signal, and waits until the broker logs the reaction.
    async fn signal(&self, signal: Signal, logged: &str) {
        self.send(signal);
        self.until_logged(logged).await;
    }

    async fn until_logged(&self, logged: &str) {
        let is_logged = timeout(FOREVER, async {
            while !self.log().contains(logged) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        is_logged.await.expect("it does not log what it should");
    }

    /// Sends bytes over a new connection, and reads until it is closed.
    async fn exchange(&self, request: &[u8]) -> String {
        exchange(self.addr, request).await
    }

    /// A page from the operator endpoints.
    async fn operator(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        exchange(self.operator, request.as_bytes()).await
    }

    /// The current metrics, after earlier ones have expired.
    async fn metrics(&self) -> String {
        sleep(METRICS_LIFETIME).await;
        self.operator("/prometheus").await
    }

    /// A request over HTTP/1.1 with these headers, each with its line end.
    async fn request(&self, target: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.exchange(request.as_bytes()).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Starts a request in the background, and returns once it is waiting in the broker.
    async fn start_post(&self, path: &'static str, body: String) -> JoinHandle<String> {
        let mut peer = match path {
            "/client" => Peer::http2(self.addr).await,
            _ => Peer::http1(self.addr).await,
        };
        let request = tokio::spawn(async move { peer.post(path, body).await.1 });
        sleep(Duration::from_millis(100)).await;
        request
    }

    /// The exit status and the log, after it has ended.
    async fn end(mut self) -> (ExitStatus, String) {
        let status = timeout(FOREVER, self.child.wait()).await;
        (status.expect("it does not end").unwrap(), self.log())
    }
}

async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut reply)).await;
    read.expect("it does not close").ok();
    String::from_utf8_lossy(&reply).into_owned()
}

/// Waits until `is_so` is true.
async fn until(is_so: impl Fn() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it never is");
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()))
}

fn command(addr: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    command
        .arg(format!("--addr={addr}"))
        .args(arguments)
        .env("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "0")
        .env(OPERATOR_LISTEN, "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // A test's own file may set the number.
    if !arguments.contains(&"-config") {
        command.envs(FEW_CONNECTIONS);
    }
    command
}

/// A client whose offer was handed to a proxy, and that waits for its answer.
async fn matched_client(program: &Program) -> JoinHandle<String> {
    let matched = program.start_post("/proxy", proxy_poll("a", "open")).await;
    let client = program
        .start_post("/client", client_poll("x", "open"))
        .await;
    assert_eq!(result(matched).await["Status"], "client match");
    client
}

async fn result(request: JoinHandle<String>) -> Value {
    let body = timeout(FOREVER, request).await.expect("no reply").unwrap();
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_matched_client_gets_its_answer_after_sigterm() {
    let program = Program::start(&[]).await;
    let client = matched_client(&program).await;
    let parked = program
        .start_post("/proxy", proxy_poll("b", "strict"))
        .await;

    program.signal(Signal::TERM, "stopping").await;
    assert_eq!(result(parked).await["Status"], "no match");
    let new = program
        .start_post("/client", client_poll("y", "open"))
        .await;
    assert_eq!(
        result(new).await,
        json!({"error": "no snowflake proxies currently available"})
    );
    let delivered = program.start_post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(result(delivered).await, json!({"Status": "success"}));
    assert_eq!(result(client).await, json!({"answer": answer("hi")}));
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
}

#[tokio::test]
async fn a_silent_proxy_does_not_keep_the_broker_from_stopping() {
    let program = Program::start(&[]).await;
    let client = matched_client(&program).await;
    program.signal(Signal::INT, "stopping").await;
    assert_eq!(
        result(client).await,
        json!({"error": "timed out waiting for answer!"})
    );
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
}

#[tokio::test]
async fn a_connection_that_does_not_end_does_not_keep_the_broker() {
    let program = Program::start(&[]).await;
    let mut idle = TcpStream::connect(program.addr).await.unwrap();
    let waiting = program.start_post("/proxy", proxy_poll("a", "open")).await;
    program.signal(Signal::TERM, "stopping").await;
    result(waiting).await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.ok();
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let program = Program::start(&[]).await;
    let matched = program.start_post("/proxy", proxy_poll("a", "open")).await;
    let client = program
        .start_post("/client", client_poll("x", "open"))
        .await;
    result(matched).await;
    program.signal(Signal::TERM, "stopping").await;
    program.signal(Signal::TERM, "second signal").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(client.await.is_err(), "the client was answered");
}

#[tokio::test]
async fn it_serves_over_tls_with_a_certificate_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let addr = free_address();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let _child = command(addr, &["-disable-geoip", "-cert", cert, "-key", key])
        .spawn()
        .unwrap();
    let url = format!("https://broker.example:{}/robots.txt", addr.port());
    let curl = timeout(FOREVER, async {
        loop {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--cacert", cert, &url])
                .args(["--connect-to", &format!("::{addr}")]);
            let output = curl
                .output()
                .await
                .expect("curl is missing: run tests/run once");
            if output.status.success() {
                return output.stdout;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let robots = curl.await.expect("curl never succeeded");
    assert_eq!(robots, b"User-agent: *\nDisallow: /\n");
}
