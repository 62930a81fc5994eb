//! A program beside the test: it writes to a log file, and dies with its handle.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// A running program. Dropping it kills it, also while a test panics.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with both of its outputs appended to the file `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&log)?)
            .stderr(append(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log })
    }

    /// What it has written so far; an error once it has ended.
    pub(crate) fn log(&mut self) -> Result<String> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} is over: {status}", self.log.display());
        }
        Ok(fs::read_to_string(&self.log)?)
    }
}

fn append(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot write {}", log.display()))
}
