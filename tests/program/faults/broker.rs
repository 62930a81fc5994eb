//! The program under test, and the conditions that must hold after a fault.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use snowflake_broker::broker::clock;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::faults::{FOREVER, until};
use crate::support::exposition::Exposition;
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::port;
use crate::support::privacy::PrivacyWatch;

/// The additional memory that a broker may hold after a fault: what the allocator keeps
/// for the next one.
const MEMORY_KEPT: u64 = 64 * 1024 * 1024;

/// The number of additional open files: a connection that is about to close.
const FILES_KEPT: usize = 3;

/// The maximum number of log lines from a fault, however often it happens.
const MOST_LINES: usize = 40;

/// The maximum age of a broker's metrics.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

/// Longer than a rendezvous takes on the slowest machine.
const HANGS: Duration = Duration::from_secs(10);

/// The setup of a broker before it starts.
pub(crate) struct Setup {
    folder: TempDir,
    wrapper: Vec<String>,
    settings: Vec<(String, String)>,
    roots: Option<RootCertStore>,
    stderr: Option<Stdio>,
}

impl Setup {
    /// Plain HTTP, with all settings at their defaults.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            wrapper: Vec::new(),
            settings: Vec::new(),
            roots: None,
            stderr: None,
        }
    }

    /// The path of a file or directory for this broker.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a key of the configuration, or a variable if the name has no dot.
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        let name = match key.split_once('.') {
            Some((section, key)) => {
                format!("SNOWFLAKE_BROKER_{section}__{key}").to_ascii_uppercase()
            }
            None => key.to_owned(),
        };
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.settings.push((name, value));
        self
    }

    /// Loads a library into the broker's process, made of this C code.
    pub(crate) fn preloading(self, name: &str, code: &str) -> Self {
        let source = self.path(&format!("{name}.c"));
        let library = self.path(&format!("{name}.so"));
        fs::write(&source, code).unwrap();
        let compiled = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .unwrap();
        assert!(compiled.success(), "{compiled}");
        self.with("LD_PRELOAD", library)
    }

    /// Serves over TLS.
    pub(crate) fn over_tls(mut self) -> Self {
        let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        fs::write(&cert, pair.cert.pem()).unwrap();
        fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        let der: CertificateDer<'static> = pair.cert.der().clone();
        roots.add(der).unwrap();
        self.roots = Some(roots);
        self.with("tls.cert", cert).with("tls.key", key)
    }

    /// Runs the broker under another program, which then becomes the broker.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Logs to this output instead of a file.
    pub(crate) fn logging_to(mut self, stderr: Stdio) -> Self {
        self.stderr = Some(stderr);
        self
    }

    /// Starts the broker, and waits until it listens.
    pub(crate) async fn start(self) -> Broker {
        let wrapper = self.wrapper.clone();
        let mut broker = self.spawn();
        until("it listens", || {
            if let Some(status) = broker.child.try_wait().unwrap() {
                panic!("{wrapper:?} ended with {status}:\n{}", broker.log());
            }
            std::net::TcpStream::connect(broker.addr).is_ok()
        })
        .await;
        broker
    }

    /// Starts the broker.
    pub(crate) fn spawn(mut self) -> Broker {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let (addr, operator) = (free(), free());
        let log = self.path(&format!("log-{}", addr.port()));
        let logged = Stdio::from(File::create(&log).unwrap());
        let stderr = self.stderr.take().unwrap_or(logged);
        let mut words = self
            .wrapper
            .iter()
            .map(String::as_str)
            .chain([env!("CARGO_BIN_EXE_snowflake-broker")]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .arg(format!("--addr={addr}"))
            .arg("--disable-geoip")
            .args(self.roots.is_none().then_some("--disable-tls"))
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", operator.to_string())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}, see tests/run: {error}", self.wrapper));
        Broker {
            child,
            addr,
            operator,
            log,
            setup: self,
        }
    }
}

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    child: Child,
    pub(crate) addr: SocketAddr,
    operator: SocketAddr,
    log: PathBuf,
    setup: Setup,
}

/// The resources that a broker holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    files: usize,
    memory: u64,
    lines: usize,
}

impl Broker {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.path(name)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Returns true if the broker handles SIGTERM.
    pub(crate) fn can_be_stopped(&self) -> bool {
        let caught = Process::new(self.pid()).unwrap().status().unwrap().sigcgt;
        // The last one that the broker asks for. A signal is lost between the moment at
        // which tokio installs its handler and that at which somebody listens.
        caught & 1 << (Signal::HUP.as_raw() - 1) != 0
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn open_files(&self) -> usize {
        Process::new(self.pid()).unwrap().fd_count().unwrap()
    }

    /// The broker's resources when nothing is wrong, after brokering a pair.
    pub(crate) async fn at_rest(&self) -> Held {
        self.rendezvous().await;
        until("its connections close", || self.open_connections() == 0).await;
        Held {
            files: self.open_files(),
            memory: self.memory(),
            lines: self.log().lines().count(),
        }
    }

    /// Brokers a pair after a fault. The fault must leave no trace in the broker's files,
    /// memory and counters, and little in its log.
    #[expect(clippy::print_stdout, reason = "figures, shown with --nocapture")]
    pub(crate) async fn recovers(&self, fault: &str, before: Held) {
        let took = self.rendezvous().await;
        until("its files are closed", || {
            self.open_files() <= before.files + FILES_KEPT
        })
        .await;
        let log = self.log();
        let lines = log.lines().count() - before.lines;
        let memory = self.memory();
        println!(
            "{fault}: a pair {took:?} later, {lines} lines, {} kB of memory (before: {} kB)",
            memory / 1024,
            before.memory / 1024
        );
        let last: Vec<&str> = log.lines().rev().take(MOST_LINES).collect();
        assert!(lines <= MOST_LINES, "{lines} lines, the last: {last:#?}");
        assert!(memory <= before.memory + MEMORY_KEPT, "{memory} bytes");
        check_log(&log);
        self.books_balance().await;
    }

    /// Brokers a pair, and returns the time that it took. An operator may expect it
    /// within a second; a machine that is busy with tests gets more.
    pub(crate) async fn rendezvous(&self) -> Duration {
        let started = clock::now();
        let peers = async { tokio::join!(self.peer(), self.peer()) };
        let peers = timeout(HANGS, peers).await;
        let (mut proxy, mut client) = peers.expect("it takes no connections");
        self.rendezvous_of(&mut proxy, &mut client).await;
        clock::now() - started
    }

    /// Brokers a pair that is already connected.
    pub(crate) async fn rendezvous_of(&self, proxy: &mut Peer, client: &mut Peer) {
        let pair = async {
            let proxy = async {
                let (_, poll) = proxy.post("/proxy", proxy_poll("a", "open")).await;
                assert!(poll.contains("client match"), "{poll}");
                proxy.post("/answer", proxy_answer("a", "hi")).await
            };
            let client = client.post("/client", client_poll("x", "restricted"));
            tokio::join!(proxy, client)
        };
        let pair = timeout(HANGS, pair).await;
        let (_, (_, reply)) = pair.unwrap_or_else(|_| panic!("no pair:\n{}", self.log()));
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["answer"], answer("hi"), "{reply}");
    }

    /// A connection to the broker.
    pub(crate) async fn peer(&self) -> Peer {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let Some(roots) = &self.setup.roots else {
            return Peer::http1_over(stream).await;
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = ServerName::try_from("broker.example").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Peer::http1_over(connector.connect(name, stream).await.unwrap()).await
    }

    /// The current metrics, after earlier ones have expired.
    pub(crate) async fn metrics(&self) -> Exposition {
        sleep(METRICS_LIFETIME).await;
        let mut operator = Peer::http1(self.operator).await;
        let (_, text) = operator.post("/prometheus", String::new()).await;
        Exposition::text(&text).unwrap()
    }

    /// Stops the broker as an operator does, and checks its log. Another broker may be
    /// started in its place.
    pub(crate) async fn stop(self) -> Setup {
        let log = self.log.clone();
        let setup = self.end().await;
        check_log(&fs::read_to_string(log).unwrap());
        setup
    }

    /// Waits until the broker ends by itself. Returns its log.
    pub(crate) async fn ends(mut self) -> (ExitStatus, String) {
        let status = timeout(FOREVER, self.child.wait()).await;
        (status.expect("it does not end").unwrap(), self.log())
    }

    /// Stops the broker without checking its log.
    pub(crate) async fn end(mut self) -> Setup {
        self.send(Signal::TERM);
        let status = timeout(FOREVER, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
        self.setup
    }

    /// The CPU time that it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = Process::new(self.pid()).unwrap().stat().unwrap();
        let ticks = stat.utime + stat.stime;
        Duration::from_millis(ticks * 1_000 / procfs::ticks_per_second())
    }

    /// Its resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let stat = Process::new(self.pid()).unwrap().stat().unwrap();
        stat.rss * procfs::page_size()
    }

    /// The number of connections other than our own, according to the system: asking the
    /// broker would need one.
    fn open_connections(&self) -> usize {
        let sockets = procfs::net::tcp().unwrap();
        let established = |entry: &&procfs::net::TcpNetEntry| {
            entry.local_address == self.addr && entry.state == procfs::net::TcpState::Established
        };
        sockets.iter().filter(established).count()
    }

    /// Checks that every request has an outcome.
    async fn books_balance(&self) {
        let told = self.metrics().await;
        let count = |name: &str| told.sum(&format!("snowflake_broker_{name}"), &[]);
        for polls in ["proxy_polls", "client_polls"] {
            let received = count(&format!("{polls}_received_total"));
            assert_eq!(received, count(&format!("{polls}_total")), "{polls}");
        }
        assert_eq!(count("parked_polls"), 0);
    }
}

/// Checks that the log identifies nobody and reports no bugs.
fn check_log(log: &str) {
    let watch = PrivacyWatch::default();
    watch.forbid("a=candidate");
    watch.forbid("panicked");
    watch.check("the log", log);
    watch.assert_clean("");
}
