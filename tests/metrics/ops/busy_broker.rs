//! Brokers to which everything happens that can happen to a broker.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::spawn;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::support::port;
use crate::support::process::Process;
use crate::support::wait::until;

/// The maximum age of a broker's metrics.
const METRICS_LIFETIME: Duration = Duration::from_secs(1);

/// The header of Prometheus 2.42.
const PROMETHEUS_ACCEPT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

const TLS_NAME: &str = "broker.example";

/// Two brokers: one serves plain HTTP; the other has a certificate and a peer to borrow
/// from, which does not exist.
pub(crate) struct BusyBroker {
    clear: SocketAddr,
    tls: SocketAddr,
    operators: [SocketAddr; 2],
    _processes: [Process; 2],
}

impl BusyBroker {
    pub(crate) async fn start(scratch: &Path) -> Result<Self> {
        let pair = rcgen::generate_simple_self_signed([TLS_NAME.to_owned()])?;
        let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
        fs::write(&cert, pair.cert.pem())?;
        fs::write(&key, pair.signing_key.serialize_pem())?;
        let (clear, tls) = (free_address()?, free_address()?);
        let operators = [free_address()?, free_address()?];
        let mut in_clear = broker(clear, operators[0]);
        in_clear.arg("--disable-tls");
        let mut with_tls = broker(tls, operators[1]);
        with_tls.arg("--cert").arg(&cert).arg("--key").arg(&key);
        let config = scratch.join("federation.toml");
        fs::write(&config, federation(&cert, &key))?;
        with_tls.arg("--config").arg(&config);
        let mut processes = [
            Process::start(&mut in_clear, scratch.join("clear.log"))?,
            Process::start(&mut with_tls, scratch.join("tls.log"))?,
        ];
        for (process, addr) in processes.iter_mut().zip([clear, tls]) {
            until("the broker listens", async || {
                process.log()?;
                Ok(TcpStream::connect(addr).await.ok().map(drop))
            })
            .await?;
        }
        Ok(Self {
            clear,
            tls,
            operators,
            _processes: processes,
        })
    }

    /// Prometheus's configuration for scraping both.
    pub(crate) fn scrape_config(&self) -> Value {
        json!([{
            "job_name": "snowflake-broker",
            "metrics_path": "/prometheus",
            "static_configs": [{"targets": self.operators}],
        }])
    }

    /// The metrics of the plain HTTP broker for readers that do not ask for OpenMetrics.
    pub(crate) async fn metrics(&self) -> String {
        self.shown("/prometheus").await
    }

    /// The metrics for Prometheus, with its own preferences except gzip.
    pub(crate) async fn open_metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(self.operators[0]).await?;
        let request = format!(
            "GET /prometheus HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: {PROMETHEUS_ACCEPT}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no head")?;
        ensure!(head.contains("application/openmetrics-text"), "{head}");
        Ok(body.to_owned())
    }

    async fn shown(&self, path: &str) -> String {
        let mut operator = Peer::http2(self.operators[0]).await;
        operator.post(path, String::new()).await.1
    }

    pub(crate) async fn be_busy(&self) -> Result<()> {
        self.match_and_answer_twice().await?;
        self.match_through_an_amp_cache().await?;
        self.offer_to_a_second_proxy().await?;
        self.deny().await;
        self.time_out_and_answer_late().await?;
        self.refuse().await?;
        self.exceed_limits().await?;
        self.abandon().await?;
        self.fail_a_handshake().await
    }

    async fn match_and_answer_twice(&self) -> Result<()> {
        let poll = self.park("http").await?;
        let client = self.begin("/client", client_poll("a", "restricted"));
        assert_status(&poll.await?, "client match");
        for status in ["success", "client gone"] {
            let told = self.post("/answer", proxy_answer("http", "b")).await;
            assert_status(&told, status);
        }
        assert!(client.await?.contains("answer"));
        Ok(())
    }

    async fn match_through_an_amp_cache(&self) -> Result<()> {
        let poll = self.park("amp").await?;
        let encoded = URL_SAFE_NO_PAD.encode(client_poll("a", "unknown"));
        let client = self.begin(&format!("/amp/client/0x/{encoded}"), String::new());
        assert_status(&poll.await?, "client match");
        let told = self.post("/answer", proxy_answer("amp", "b")).await;
        assert_status(&told, "success");
        client.await?;
        Ok(())
    }

    /// The first proxy is silent until the second has answered.
    async fn offer_to_a_second_proxy(&self) -> Result<()> {
        let silent = self.park("silent").await?;
        let client = self.begin("/client", client_poll("a", "strict"));
        assert_status(&silent.await?, "client match");
        let second = self.begin("/proxy", proxy_poll("second", "open"));
        assert_status(&second.await?, "client match");
        for (sid, status) in [("second", "success"), ("silent", "client gone")] {
            let told = self.post("/answer", proxy_answer(sid, "b")).await;
            assert_status(&told, status);
        }
        assert!(client.await?.contains("answer"));
        Ok(())
    }

    async fn deny(&self) {
        let reply = self.post("/client", client_poll("a", "unknown")).await;
        assert!(reply.contains("no snowflake proxies"), "{reply}");
    }

    async fn time_out_and_answer_late(&self) -> Result<()> {
        let poll = self.park("late").await?;
        let reply = self.post("/client", client_poll("a", "unknown")).await;
        assert!(reply.contains("timed out"), "{reply}");
        assert_status(&poll.await?, "client match");
        for sid in ["late", "nobody"] {
            let told = self.post("/answer", proxy_answer(sid, "b")).await;
            assert_status(&told, "client gone");
        }
        Ok(())
    }

    async fn refuse(&self) -> Result<()> {
        for path in ["/client", "/proxy", "/answer", "/nowhere"] {
            self.post(path, "rubbish".to_owned()).await;
        }
        let no_bridge = client_poll("a", "open").replace(
            "\"nat\"",
            "\"fingerprint\":\"0000000000000000000000000000000000000000\",\"nat\"",
        );
        let reply = self.post("/client", no_bridge).await;
        assert!(reply.contains("unknown to the broker"), "{reply}");
        let pattern =
            proxy_poll("picky", "open").replace(r#"Pattern":""#, r#"Pattern":"^relay.example$"#);
        let reply = self.post("/proxy", pattern).await;
        assert_status(&reply, "incorrect relay pattern");

        let poll = self.park("twin").await?;
        self.post("/proxy", proxy_poll("twin", "open")).await;
        assert_status(&poll.await?, "no match");
        Ok(())
    }

    /// Exceeds the limits as a client behind a reverse proxy on this machine.
    async fn exceed_limits(&self) -> Result<()> {
        for (path, body, told) in [
            ("/proxy", proxy_poll("far", "open"), r#""NextPoll":120000"#),
            ("/client", client_poll("a", "open"), "slow down"),
        ] {
            let length = body.len();
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 X-Forwarded-For: 5.1.0.1\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let mut replies = String::new();
            for _ in 0..2 {
                let mut stream = TcpStream::connect(self.clear).await?;
                stream.write_all(request.as_bytes()).await?;
                stream.read_to_string(&mut replies).await?;
            }
            assert!(replies.contains(told), "{replies}");
        }
        let mut stream = TcpStream::connect(self.clear).await?;
        stream.write_all(b"POST").await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    async fn abandon(&self) -> Result<()> {
        self.park("leaves").await?.abort();
        self.shows("/debug", "available: 0").await?;

        let poll = self.park("left").await?;
        let client = self.begin("/client", client_poll("a", "unknown"));
        assert_status(&poll.await?, "client match");
        client.abort();
        // The metrics from Prometheus's last scrape have expired by then.
        sleep(METRICS_LIFETIME).await;
        let nobody_waits = "snowflake_broker_matched_clients 0";
        self.shows("/prometheus", nobody_waits).await?;
        let told = self.post("/answer", proxy_answer("left", "b")).await;
        assert_status(&told, "client gone");
        Ok(())
    }

    async fn fail_a_handshake(&self) -> Result<()> {
        let mut stream = TcpStream::connect(self.tls).await?;
        stream.write_all(b"this is no TLS\r\n\r\n").await?;
        // The connection may be reset before the alert is read.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(())
    }

    /// Starts a proxy's poll, and returns once it is parked.
    async fn park(&self, sid: &str) -> Result<JoinHandle<String>> {
        let poll = self.begin("/proxy", proxy_poll(sid, "open"));
        self.shows("/debug", "available: 1").await?;
        Ok(poll)
    }

    async fn shows(&self, path: &str, text: &str) -> Result<()> {
        until(text, async || {
            let shown = self.shown(path).await;
            Ok(shown.contains(text).then_some(()))
        })
        .await
    }

    /// A request in the background, on a connection that is closed with it.
    fn begin(&self, path: &str, body: String) -> JoinHandle<String> {
        let (addr, path) = (self.clear, path.to_owned());
        spawn(async move { Peer::http1(addr).await.post(&path, body).await.1 })
    }

    async fn post(&self, path: &str, body: String) -> String {
        Peer::http2(self.clear).await.post(path, body).await.1
    }
}

/// Its time-outs are long enough for a slow machine, but not longer.
fn broker(addr: SocketAddr, operator: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    command
        .arg(format!("--addr={addr}"))
        .arg("--disable-geoip")
        .env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", operator.to_string())
        .env("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "4s")
        .env("SNOWFLAKE_BROKER_MATCHING__REMATCH_AFTER", "100ms")
        .env("SNOWFLAKE_BROKER_LISTENER__HEADER_READ_TIMEOUT", "3s")
        .env("SNOWFLAKE_BROKER_LIMITS__PROXY_POLL_BURST", "1")
        .env("SNOWFLAKE_BROKER_LIMITS__PROXY_POLLS_PER_MINUTE", "1")
        .env("SNOWFLAKE_BROKER_LIMITS__CLIENT_POLL_BURST", "1")
        .env("SNOWFLAKE_BROKER_LIMITS__CLIENT_POLLS_PER_MINUTE", "1");
    command
}

fn federation(cert: &Path, key: &Path) -> String {
    let (cert, key) = (cert.display(), key.display());
    format!(
        "[federation.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nca = \"{cert}\"\n\
         [[federation.peers]]\nname = \"lender.example\"\nurl = \"https://127.0.0.1:1\"\n"
    )
}

fn free_address() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?)))
}

fn assert_status(reply: &str, status: &str) {
    assert!(
        reply.contains(&format!(r#""Status":"{status}""#)),
        "{reply}"
    );
}
