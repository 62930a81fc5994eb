//! A running broker, or the NATS server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::exposition::Exposition;
use crate::support::namespace::seen_from_outside;
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::{http, unpacked};

/// A program that is started again and again. Dropping it kills it.
pub(crate) struct Node {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    /// An address that takes connections when the program is ready.
    ready: SocketAddr,
    process: Option<Process>,
}

impl Node {
    /// A broker, with the configuration `NAME.toml` in the folder.
    pub(crate) fn broker(program: &Path, folder: &Path, name: &str, operator: u16) -> Self {
        let config = folder.join(format!("{name}.toml"));
        Self {
            program: program.to_owned(),
            arguments: vec!["--config".into(), config.display().to_string()],
            log: config.with_extension("log"),
            ready: ([127, 0, 0, 1], operator).into(),
            process: None,
        }
    }

    /// The NATS server, with storage.
    pub(crate) fn nats(folder: &Path, at: SocketAddr) -> Result<Self> {
        let config = folder.join("nats.conf");
        let store = folder.join("nats");
        let text = format!(
            "listen: {at}\nping_interval: \"5s\"\nping_max: 2\n\
             jetstream {{ store_dir: \"{}\" }}\n",
            store.display()
        );
        fs::write(&config, text)?;
        Ok(Self {
            program: unpacked::file("nats/bin/nats-server"),
            arguments: vec!["--config".into(), config.display().to_string()],
            log: config.with_extension("log"),
            ready: at,
            process: None,
        })
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        let mut process = Process::start(&mut command, self.log.clone())?;
        until("a program is ready", async || {
            process.log()?;
            Ok(TcpStream::connect(self.ready).await.ok())
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process()?.signal(signal)
    }

    /// Sends a signal that ends it, and waits until it has.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut process = self.process.take().context("it does not run")?;
        process.signal(signal)?;
        process.ended().await
    }

    /// The process as `/proc` shows it.
    pub(crate) fn seen(&self) -> Result<procfs::process::Process> {
        Ok(seen_from_outside(self.process()?.id()?))
    }

    /// A broker's page for operators.
    pub(crate) async fn page(&self) -> Result<String> {
        let response = http::get(self.ready, "/prometheus").await?;
        let (_, page) = response.split_once("\r\n\r\n").context("no response")?;
        Ok(page.to_owned())
    }

    /// Its metrics.
    pub(crate) async fn metrics(&self) -> Result<Exposition> {
        Exposition::text(&self.page().await?).map_err(anyhow::Error::msg)
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("it does not run")
    }
}
