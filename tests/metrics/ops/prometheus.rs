//! Debian's Prometheus: the server, and the tool that checks its input.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::spawn;
use tokio::time::timeout;

use crate::support::process::Process;
use crate::support::wait::{LONG_ENOUGH, until};
use crate::support::{port, unpacked};

/// A server on the loopback.
pub(crate) struct Prometheus {
    addr: SocketAddr,
    _process: Process,
}

impl Prometheus {
    /// Starts a server with these targets and rules.
    pub(crate) async fn start(scratch: &Path, scrape: &Value, rules: &Path) -> Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
        let config = json!({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [rules],
            "scrape_configs": scrape,
        });
        let file = scratch.join("prometheus.yml");
        // Every JSON text is also YAML.
        fs::write(&file, config.to_string())?;
        let mut command = Command::new(unpacked::file("usr/bin/prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--log.level=warn");
        let mut process = Process::start(&mut command, scratch.join("prometheus.log"))?;
        // At first it listens but responds only with 503.
        until("Prometheus is ready", async || {
            process.log()?;
            let ready = request(addr, "/-/ready").await;
            Ok(ready.ok().filter(|reply| reply.0.is_success()).map(drop))
        })
        .await?;
        Ok(Self {
            addr,
            _process: process,
        })
    }

    /// The values of an instant vector.
    pub(crate) async fn query(&self, query: &str) -> Result<Vec<f64>> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let data = self.get(&format!("/api/v1/query?query={query}")).await?;
        let samples = data["result"].as_array().context("no vector")?;
        samples.iter().map(value).collect()
    }

    /// The alerts as Prometheus has loaded them.
    pub(crate) async fn alerting_rules(&self) -> Result<Vec<Value>> {
        let data = self.get("/api/v1/rules?type=alert").await?;
        let groups = data["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let (_, body) = request(self.addr, path).await?;
        let mut reply: Value = serde_json::from_slice(&body)?;
        ensure!(reply["status"] == "success", "{path}: {reply}");
        Ok(reply["data"].take())
    }
}

async fn request(addr: SocketAddr, path: &str) -> Result<(StatusCode, Bytes)> {
    let stream = TokioIo::new(TcpStream::connect(addr).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    spawn(connection);
    let request = Request::get(path)
        .header("Host", addr.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// A sample is `{"metric": {..}, "value": [time, "number"]}`.
fn value(sample: &Value) -> Result<f64> {
    let number = sample["value"][1].as_str().context("no value")?;
    Ok(number.parse()?)
}

/// Runs promtool to its end, and returns its output on both streams.
pub(crate) async fn promtool(arguments: &[&str], input: &str) -> (ExitStatus, String) {
    let mut child = Command::new(unpacked::file("usr/bin/promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(LONG_ENOUGH * 3, child.wait_with_output())
        .await
        .expect("promtool does not end")
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8(said).unwrap())
}
