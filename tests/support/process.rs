//! A program run by the test. It writes to a log file and is killed on drop.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A running program. It is killed on drop, even if the test panics.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to the file `log`.
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

    /// Sends a signal, unless the program has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(kill_process(id.context("it has ended")?, signal)?)
    }

    /// The log so far; an error once the program has ended.
    pub(crate) fn log(&mut self) -> Result<String> {
        let log = fs::read_to_string(&self.log)?;
        if let Some(status) = self.child.try_wait()? {
            bail!("{} is over: {status}\n{log}", self.log.display());
        }
        Ok(log)
    }
}

fn append(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot write {}", log.display()))
}
