//! The program under test, and the invariants after an attack.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use snowflake_broker::broker::clock;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, sleep_until, timeout};

use crate::healthy::{Others, PAIRS_MIN, Pairs};
use crate::memory::{Bounds, CEILING};
use crate::network::PORT;
use crate::report::{Row, median};
use crate::support::exposition::Exposition;
use crate::support::namespace::seen_from_outside;
use crate::support::peer::Peer;
use crate::support::privacy::PrivacyWatch;
use crate::{FOREVER, until};

/// Maximum number of lines that an attack may leave in the log, however large it is.
const MOST_LINES: usize = 40;

/// The time that an operator can expect for a rendezvous. On a machine as busy as this
/// one a single pair may be unlucky, but not every second one.
const PROMPT: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3);

/// The time for which pairs are brokered after the attack.
const AFTER: Duration = Duration::from_secs(2);

/// The default address of a broker's operator page.
const OPERATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_580);

/// Maximum age of the metrics shown.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

/// Maximum number of files still open that were not before: connections about to close.
const FILES_KEPT: usize = 8;

/// The name of the configuration file.
const CONFIG: &str = "config.toml";

/// The way to start a broker.
pub(crate) struct Setup {
    folder: TempDir,
    wrapper: Vec<String>,
    settings: Vec<(String, String)>,
    has_file: bool,
    tls: Option<ClientConfig>,
}

impl Setup {
    /// Without TLS and with all defaults, except that the broker does not wait for anyone
    /// when it is told to end, because all tests would wait with it.
    pub(crate) fn new() -> Self {
        let setup = Self {
            folder: tempfile::tempdir().unwrap(),
            wrapper: Vec::new(),
            settings: Vec::new(),
            has_file: false,
            tls: None,
        };
        setup.with("matching.drain_grace", "0s")
    }

    /// A file or directory for this broker.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a configuration key, or an environment variable if the name has no dot.
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        let name = if key.contains('.') {
            format!("SNOWFLAKE_BROKER_{}", key.replace('.', "__")).to_ascii_uppercase()
        } else {
            key.to_owned()
        };
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.settings.push((name, value));
        self
    }

    /// Adds a configuration file, for settings that have no variable.
    pub(crate) fn configured(mut self, text: &str) -> Self {
        fs::write(self.path(CONFIG), text).unwrap();
        self.has_file = true;
        self
    }

    /// Uses TLS.
    pub(crate) fn over_tls(mut self) -> Self {
        let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        fs::write(&cert, pair.cert.pem()).unwrap();
        fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        self.tls = Some(trusting(pair.cert.der()));
        self.with("tls.cert", cert).with("tls.key", key)
    }

    /// Starts the broker through another program, which turns into it.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts the broker, and has a first pair brokered.
    pub(crate) async fn start(self) -> Broker {
        let bounds = Bounds::new();
        let log = self.path("log");
        let mut words = [bounds.wrapper(), self.wrapper.clone()].concat();
        words.push(env!("CARGO_BIN_EXE_snowflake-broker").to_owned());
        words.extend(self.tls.is_none().then(|| "--disable-tls".to_owned()));
        let config = self.has_file.then(|| self.path(CONFIG));
        let config = config.map(|file| format!("--config={}", file.display()));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(format!("--addr=:{PORT}"))
            .arg("--disable-geoip")
            .args(config)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?}, see tests/run: {error}"));
        let process = seen_from_outside(child.id().unwrap());
        let mut broker = Broker {
            process,
            others: Others::new(self.tls.clone()),
            child,
            log,
            metrics_old_at: Mutex::new(clock::now()),
            _folder: self.folder,
            bounds,
        };
        until("the broker listens", async || {
            broker.assert_alive();
            broker.log().contains("serving clients and proxies")
        })
        .await;
        broker.others.pair().await.unwrap();
        broker
    }
}

/// Trusts the broker's self-signed certificate.
fn trusting(certificate: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A running broker, which is killed on drop.
pub(crate) struct Broker {
    child: Child,
    process: Process,
    log: PathBuf,
    /// The time when the metrics last requested expire.
    metrics_old_at: Mutex<Instant>,
    _folder: TempDir,
    /// The well-behaved clients and proxies.
    pub(crate) others: Others,
    // Dropped last, when no process is in it any more.
    bounds: Bounds,
}

impl Broker {
    /// Runs the attack while pairs are brokered each second, and then checks that the
    /// broker is as it was before. The attack returns what it gained; everything it holds
    /// is dropped with it.
    pub(crate) async fn withstands(mut self, attack: impl AsyncFnOnce(&Self) -> String) -> Row {
        let (files, lines) = (self.open_files(), self.log().lines().count());
        let pairs = Pairs::start(&self.others);
        let gained = timeout(FOREVER, attack(&self))
            .await
            .expect("the attack does not end");
        self.assert_alive();
        sleep(AFTER).await;
        let pairs = tokio::task::block_in_place(|| pairs.stop())
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.end_of_log()));

        self.assert_alive();
        until("its connections are closed", async || {
            self.open_files() <= files + FILES_KEPT
        })
        .await;
        self.assert_books_balance().await;
        let status = self.process.status().unwrap();
        let row = Row {
            gained,
            pairs,
            resident: status.vmhwm.unwrap() * 1024,
            charged: self.bounds.most_charged(),
            bounds: self.bounds.kind(),
            lines: self.log().lines().count() - lines,
        };
        self.end().await;
        row.judged()
    }

    /// All current metrics. Waits until metrics requested earlier have expired.
    pub(crate) async fn metrics(&self) -> Exposition {
        let old_at = *self.metrics_old_at.lock().unwrap();
        sleep_until(old_at.into()).await;
        let page = Box::pin(async {
            let mut operator = Peer::http1(OPERATOR).await;
            operator.post("/prometheus", "").await.1
        });
        let page = timeout(FOREVER, page).await;
        *self.metrics_old_at.lock().unwrap() = clock::now() + METRICS_LIFETIME;
        Exposition::text(&page.expect("no metrics")).unwrap()
    }

    /// The sum of a family's series that have all these labels.
    pub(crate) async fn count(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let family = format!("snowflake_broker_{family}");
        self.metrics().await.sum(&family, labels)
    }

    /// A path as the broker sees it, with its own mounts.
    pub(crate) fn its_own(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.pid()));
        root.join(path.strip_prefix("/").unwrap())
    }

    pub(crate) fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(MOST_LINES)..].join("\n")
    }

    fn open_files(&self) -> usize {
        self.process.fd_count().unwrap()
    }

    fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the broker ended with {status}:\n{}", self.end_of_log());
        }
    }

    /// Asserts that everything that arrived has an outcome, once no request is waiting.
    async fn assert_books_balance(&self) {
        let mut told = Exposition::default();
        until("no poll is parked", async || {
            told = self.metrics().await;
            told.sum("snowflake_broker_parked_polls", &[]) == 0
        })
        .await;
        for polls in ["proxy_polls", "client_polls"] {
            let [received, outcomes] = ["_received_total", "_total"]
                .map(|end| told.sum(&format!("snowflake_broker_{polls}{end}"), &[]));
            assert_eq!(received, outcomes, "{polls}");
        }
    }

    /// Ends the broker as an operator does, and checks that its log contains neither
    /// private data nor bugs.
    async fn end(&mut self) {
        self.send(Signal::TERM);
        let status = timeout(FOREVER, self.child.wait())
            .await
            .expect("the broker does not end")
            .unwrap();
        assert!(status.success(), "{status}\n{}", self.end_of_log());
        let watch = PrivacyWatch::default();
        for secret in ["a=candidate", "\"sdp\"", "healthy-", "panicked"] {
            watch.forbid(secret);
        }
        watch.check("the log", &self.log());
        watch.assert_clean("");
    }
}

impl Drop for Broker {
    /// The control group can be removed only after the process has ended.
    fn drop(&mut self) {
        self.child.start_kill().ok();
        while let Ok(None) = self.child.try_wait() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Row {
    fn judged(self) -> Self {
        let median = median(&self.pairs);
        assert!(self.pairs.len() >= PAIRS_MIN, "{self}");
        assert!(median <= PROMPT, "{median:?}: {self}");
        assert!(self.pairs.iter().all(|took| *took <= LATE), "{self}");
        assert!(self.resident <= CEILING, "{self}");
        assert!(self.lines <= MOST_LINES, "{self}");
        self
    }
}
