//! A broker that orders certificates.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use snowflake_broker::broker::clock;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use crate::acme::http::Connection;
use crate::acme::pebble::{Pebble, listens, until_gone};
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::{port, privacy, tls_client};

/// The maximum age of a broker's metrics.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

const OPERATOR_LISTEN: &str = "SNOWFLAKE_BROKER_OPERATOR__LISTEN";

/// The names that it orders for.
pub(crate) const NAMES: [&str; 2] = ["broker.example", "other.example"];

/// The challenges that it supports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proofs {
    TlsAlpn01,
    Http01,
    Both,
}

/// The files that outlive a broker: those of its orders, and its log.
pub(crate) struct Site {
    folder: TempDir,
}

/// A broker.
pub(crate) struct Broker {
    process: Process,
    pub(crate) addr: SocketAddr,
    operator: SocketAddr,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("state/acme")
    }

    /// Stores a certificate as if it had been ordered earlier, and returns it: valid
    /// `since` this long, and for `left` more.
    pub(crate) fn keep_certificate(
        &self,
        pebble: &Pebble,
        since: Duration,
        left: Duration,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(NAMES.map(ToOwned::to_owned)).unwrap();
        let now = clock::wall_clock();
        params.not_before = (now - since).into();
        params.not_after = (now + left).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let saved = json!({
            "directory": pebble.url(),
            "hostnames": NAMES,
            "chain": certificate.pem(),
            "key": key.serialize_pem(),
        });
        fs::create_dir_all(self.cache()).unwrap();
        fs::write(self.cache().join("certificate.json"), saved.to_string()).unwrap();
        certificate.der().clone()
    }

    /// Starts the broker on the addresses where the authority validates, and waits until
    /// it listens.
    pub(crate) async fn start(&self, pebble: &Pebble, proofs: Proofs) -> Broker {
        self.start_at(pebble, proofs, pebble.tls_alpn).await
    }

    /// Starts the broker on another address than where the authority validates.
    pub(crate) async fn start_at(
        &self,
        pebble: &Pebble,
        proofs: Proofs,
        addr: SocketAddr,
    ) -> Broker {
        let operator = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
        let mut command = self.command(pebble, proofs, addr);
        command.env(OPERATOR_LISTEN, operator.to_string());
        let log = self.folder.path().join("broker.log");
        let mut process = Process::start(&mut command, log).unwrap();
        let listening = until("the broker listens", async || {
            process.log()?;
            Ok(listens(addr).await.then_some(()))
        });
        listening.await.unwrap();
        Broker {
            process,
            addr,
            operator,
        }
    }

    /// The command that starts it.
    pub(crate) fn command(&self, pebble: &Pebble, proofs: Proofs, addr: SocketAddr) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        let http_addr = match proofs {
            Proofs::TlsAlpn01 => String::new(),
            Proofs::Http01 | Proofs::Both => pebble.http.to_string(),
        };
        let tls_alpn = proofs != Proofs::Http01;
        command
            // Case and duplicates of names do not matter.
            .args([
                "--acme-hostnames",
                "broker.example,OTHER.example,other.example",
            ])
            .args(["--acme-email", "operator@broker.example"])
            .arg("--acme-cert-cache")
            .arg(self.cache())
            .args(["--disable-geoip", "--addr", &addr.to_string()])
            .env(OPERATOR_LISTEN, "off")
            .env("SNOWFLAKE_BROKER_ACME__DIRECTORY", pebble.url())
            .env("SNOWFLAKE_BROKER_ACME__CA_FILE", pebble.ca_file())
            .env("SNOWFLAKE_BROKER_ACME__TLS_ALPN", tls_alpn.to_string())
            .env("SNOWFLAKE_BROKER_ACME__HTTP_ADDR", http_addr);
        command
    }
}

impl Broker {
    /// Kills the broker.
    pub(crate) async fn end(self) {
        drop(self.process);
        until_gone(self.addr).await;
    }

    /// Its log, which must not contain addresses or keys.
    pub(crate) fn log(&mut self) -> String {
        let log = self.process.log().unwrap();
        let watch = privacy::PrivacyWatch::default();
        watch.forbid("PRIVATE KEY");
        watch.check("log", &log);
        // The log may still be empty.
        watch.check("log", "something to look at");
        watch.assert_clean("log");
        log
    }

    pub(crate) async fn until_logged(&mut self, text: &str) {
        let logged = until(text, async || Ok(self.log().contains(text).then_some(())));
        logged.await.unwrap();
    }

    /// Waits until it serves a certificate from this root.
    pub(crate) async fn until_vouched_for_by(
        &self,
        root: &CertificateDer<'static>,
    ) -> TlsStream<TcpStream> {
        let served = until("its certificate is served", async || {
            let config = tls_client::trusting([root]);
            Ok(tls_client::connect(config, self.addr, NAMES[0]).await.ok())
        });
        served.await.unwrap()
    }

    /// The current value of a series in its metrics, after earlier ones have expired.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        sleep(METRICS_LIFETIME).await;
        let stream = TcpStream::connect(self.operator).await;
        let mut connection = Connection::over(stream.unwrap()).await;
        let (_, metrics) = connection.get("/prometheus").await;
        let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let value = lines.find(|(name, _)| *name == series);
        value.expect(&metrics).1.parse().unwrap()
    }

    /// The number of orders with this outcome.
    pub(crate) async fn orders(&self, outcome: &str) -> u64 {
        let name = "snowflake_broker_certificate_orders_total";
        self.metric(&format!("{name}{{outcome=\"{outcome}\"}}"))
            .await
    }
}
