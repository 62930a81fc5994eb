//! A program run by the test. It writes to a log file and is killed on drop.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::wait::LONG_ENOUGH;

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

    /// The process id.
    pub(crate) fn id(&self) -> Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Waits until the program ends.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = timeout(LONG_ENOUGH, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} does not end", self.log.display()))??)
    }

    /// Sends a signal, unless the program has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(self.id()?.try_into()?);
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
