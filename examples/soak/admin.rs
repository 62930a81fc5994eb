//! Changes by A's administration, which reach the other node through the bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
/// The names of the pools that come and go.
const NAMES: [&str; 3] = ["soak-1", "soak-2", "soak-3"];

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
        for name in NAMES.iter().cycle() {
            if !wait(ending).await {
                break;
            }
            self.call(&["pools", "create", name]).await?;
            wait(ending).await;
            self.call(&["interval", "--open", "25s"]).await?;
            self.call(&["pools", "revoke", name]).await?;
            calls += 3;
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

/// Waits for a while. Returns false as soon as the load ends.
async fn wait(ending: &CancellationToken) -> bool {
    ending.run_until_cancelled(sleep(EVERY)).await.is_some()
}
