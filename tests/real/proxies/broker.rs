//! Our broker behind reverse proxies. Every client has one poll per minute.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::proxies::{BROKER, capture};
use crate::support::process::Process;
use crate::support::wait;

const SETTINGS: &str = "
[geoip]
disable = true
[admin]
listen = \"off\"
[matching]
client_queue_wait = \"0s\"
[limits]
client_polls_per_minute = 1
client_poll_burst = 1
";

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tls {
    Off,
    On,
}

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    _process: Process,
    log: PathBuf,
    /// Its certificate, if it has one.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

impl Broker {
    /// Starts a broker that trusts the reverse proxy.
    pub(crate) async fn start(scratch: &Path, tls: Tls, listener: &str) -> Result<Self> {
        Self::start_knowing("127.0.0.1/32", scratch, tls, listener).await
    }

    /// Starts a broker on every address that trusts no reverse proxy.
    pub(crate) async fn start_knowing_nobody(scratch: &Path) -> Result<Self> {
        Self::start_knowing("", scratch, Tls::Off, "[listener]\naddr = \":8081\"\n").await
    }

    async fn start_knowing(
        proxies: &str,
        scratch: &Path,
        tls: Tls,
        listener: &str,
    ) -> Result<Self> {
        drop(capture::listen().await?);
        let (tls, certificate) = match tls {
            Tls::Off => ("[tls]\ndisable = true\n".to_owned(), None),
            Tls::On => certificate(scratch)?,
        };
        let config = scratch.join("config.toml");
        fs::write(&config, format!("{tls}{listener}{SETTINGS}"))?;
        let log = scratch.join("broker.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command
            .env("SNOWFLAKE_BROKER_HTTP__TRUSTED_PROXIES", proxies)
            .arg("--config")
            .arg(config);
        if listener.is_empty() {
            command.args(["--addr", BROKER]);
        }
        let mut process = Process::start(&mut command, log.clone())?;
        let address: SocketAddr = BROKER.parse()?;
        wait::until("the broker to listen", async || {
            process.log()?;
            Ok(TcpStream::connect(address).await.ok())
        })
        .await?;
        // That connection did not come from a load balancer.
        fs::write(&log, "")?;
        Ok(Self {
            _process: process,
            log,
            certificate,
        })
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

fn certificate(scratch: &Path) -> Result<(String, Option<CertificateDer<'static>>)> {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()])?;
    let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
    fs::write(&cert, pair.cert.pem())?;
    fs::write(&key, pair.signing_key.serialize_pem())?;
    let (cert, key) = (cert.display(), key.display());
    let settings = format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    Ok((settings, Some(pair.cert.der().clone())))
}
