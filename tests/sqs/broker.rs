//! The program with SQS queues.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::moto::{Moto, QUEUE, REGION};
use crate::support::messages::{proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::port;
use crate::support::privacy::PrivacyWatch;
use crate::support::wait::{LONG_ENOUGH, until};

/// The maximum age of a broker's metrics.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

/// A part of every client's ID, which must stay secret.
pub(crate) const SECRET: &str = "secretid";

/// A broker before it starts. It knows nothing of AWS except these settings.
pub(crate) struct Setup(Command);

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    child: Child,
    pub(crate) addr: SocketAddr,
    operator: SocketAddr,
    log: NamedTempFile,
}

impl Setup {
    /// A broker with a queue of the tests' default name and region.
    pub(crate) fn new(moto: &Moto) -> Self {
        let flags = [
            format!("--broker-sqs-name={QUEUE}"),
            format!("--broker-sqs-region={REGION}"),
        ];
        Self::bare(moto).args(&flags)
    }

    /// A broker without a queue.
    pub(crate) fn bare(moto: &Moto) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command
            .args(["--disable-tls", "--disable-geoip"])
            .env_clear()
            .env("AWS_ENDPOINT_URL_SQS", moto.url())
            // No metadata service is asked for credentials.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // Logs everything, so that everything is checked.
            .env("SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Self(command)
    }

    pub(crate) fn args(mut self, arguments: &[String]) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Logs only at the default level, since the test has many requests.
    pub(crate) fn quiet(self) -> Self {
        self.env("SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL", "info")
    }

    /// Adds credentials that moto accepts.
    pub(crate) fn with_credentials(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "a secret key")
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(mut self) -> Broker {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let (addr, operator) = (free(), free());
        let log = NamedTempFile::new().unwrap();
        self.0
            .arg(format!("--addr={addr}"))
            .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", operator.to_string())
            .stderr(log.reopen().unwrap());
        let child = self.0.spawn().unwrap();
        let broker = Broker {
            child,
            addr,
            operator,
            log,
        };
        let listening = until("the broker listens", async || {
            Ok(TcpStream::connect(addr).await.ok())
        });
        listening
            .await
            .unwrap_or_else(|error| panic!("{error:#}: {}", broker.log()));
        broker
    }
}

impl Broker {
    /// The log, which must not identify anyone.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.log.path()).unwrap();
        let watch = PrivacyWatch::default();
        for secret in [
            SECRET,
            "snowflake-client-",
            "a secret key",
            "\"sdp\"",
            "panicked",
        ] {
            watch.forbid(secret);
        }
        watch.check("the log", &log);
        watch.check("the log", "and something to look at");
        watch.assert_clean("");
        log
    }

    /// Waits until a line contains all of these parts.
    pub(crate) async fn until_logged(&self, parts: &[&str]) {
        let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
        let logged = until("a line of the log", async || {
            Ok(self.log().lines().any(is_it).then_some(()))
        });
        logged
            .await
            .unwrap_or_else(|error| panic!("{parts:?}: {error:#}\n{}", self.log()));
    }

    /// Polls as the proxy with this name, in the background.
    pub(crate) fn proxy(&self, sid: String) -> JoinHandle<Value> {
        let addr = self.addr;
        tokio::spawn(async move {
            let mut peer = Peer::http1(addr).await;
            let (_, poll) = peer.post("/proxy", proxy_poll(&sid, "open")).await;
            serde_json::from_str(&poll).unwrap()
        })
    }

    pub(crate) async fn answer(&self, sid: &str, name: &str) {
        let mut peer = Peer::http1(self.addr).await;
        let (_, reply) = peer.post("/answer", proxy_answer(sid, name)).await;
        assert!(reply.contains("success"), "{reply}");
    }

    /// The current sum of the series that begin like this, after earlier values have
    /// expired.
    pub(crate) async fn metric(&self, beginning: &str) -> f64 {
        sleep(METRICS_LIFETIME).await;
        let mut peer = Peer::http1(self.operator).await;
        let (_, metrics) = peer.post("/prometheus", String::new()).await;
        let series = metrics.lines().filter(|line| line.starts_with(beginning));
        let values = series.map(|line| line.rsplit_once(' ').unwrap().1);
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until that sum is at least `least`.
    pub(crate) async fn until_metric(&self, beginning: &str, least: f64) {
        let reached = until(beginning, async || {
            Ok((self.metric(beginning).await >= least).then_some(()))
        });
        reached.await.unwrap();
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(mut self) -> (ExitStatus, String) {
        let status = timeout(LONG_ENOUGH, self.child.wait()).await;
        (status.unwrap().unwrap(), self.log())
    }

    /// Kills it.
    pub(crate) async fn crash(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Waits without any activity.
pub(crate) async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
