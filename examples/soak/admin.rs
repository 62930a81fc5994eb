//! Changes by A's administration, which reach the other node through the bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
/// The names of the pools that come and go.
const NAMES: usize = 3;

/// A caller of the administration.
pub(crate) struct Admin {
    program: PathBuf,
    socket: String,
}

impl Admin {
    pub(crate) fn new(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            socket: format!("unix:{}", folder.join("a.sock").display()),
        }
    }

    /// Creates and removes private pools, and changes the poll interval, which the next reload
    /// ends, until the load ends. Returns the number of calls.
    pub(crate) async fn changes(&self, ending: &CancellationToken) -> Result<u64> {
        let mut calls = 0;
        for number in 0.. {
            if ending.run_until_cancelled(sleep(EVERY)).await.is_none() {
                break;
            }
            let name = format!("soak-{}", number / 2 % NAMES);
            let create = ["pools", "create", &name, "--url", "https://broker.example"];
            if number % 2 == 0 {
                self.call(&create).await?;
            } else {
                self.call(&["interval", "--open", "25s"]).await?;
                self.call(&["pools", "revoke", &name]).await?;
            }
            calls += 1 + number as u64 % 2;
        }
        Ok(calls)
    }

    async fn call(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("admin").args(words);
        command.args(["--address", &self.socket]).kill_on_drop(true);
        let output = command.output().await.context("cannot start it")?;
        ensure!(output.status.success(), "admin {words:?}: {output:?}");
        Ok(())
    }
}
