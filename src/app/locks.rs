//! Locks on everything that two brokers must not write at the same time: the state
//! directory, the logs of statistics, the ACME cache. The directory or file itself is locked
//! (flock(2)) for as long as the program runs, so a crash leaves nothing behind. A
//! renamed log keeps its lock; its successor has none.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::{sleep, timeout};

use crate::config::Config;

use crate::file_access::regular;

use super::persistence::{self, atomic_file};

/// The longest wait for a broker that is about to end.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// The locks, released on drop.
#[derive(Debug)]
pub(super) struct Locks {
    _files: Vec<File>,
}

/// A path to lock, and the setting that names it.
struct LockTarget {
    setting: &'static str,
    path: PathBuf,
}

impl Locks {
    /// Takes the locks, waiting a moment for another holder. The error names the setting,
    /// the path and the other process. If a path cannot be locked, logs a warning:
    /// network file systems may not support locks.
    pub(super) async fn take(config: &Config) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut taken = Vec::new();
        for target in targets(config) {
            let Some(file) = target.open() else {
                continue;
            };
            // The same directory may serve for state and certificates.
            let identity = file.metadata().map(|file| (file.dev(), file.ino())).ok();
            if taken.contains(&identity) {
                continue;
            }
            taken.push(identity);
            target.lock(&file).await?;
            files.push(file);
        }
        Ok(Self { _files: files })
    }
}

fn targets(config: &Config) -> Vec<LockTarget> {
    let metrics = &config.metrics;
    let has_acme = !config.acme.hostnames.is_empty();
    let named = [
        ("metrics.state_directory", metrics.state_directory.as_ref()),
        ("metrics.metrics_log", metrics.metrics_log.as_ref()),
        ("metrics.impact_log", metrics.impact_log.as_ref()),
        (
            "acme.cert_cache",
            has_acme.then_some(&config.acme.cert_cache),
        ),
    ]
    .into_iter();
    let targets = named.filter_map(|(setting, path)| {
        let path = path?.clone();
        Some(LockTarget { setting, path })
    });
    targets.collect()
}

impl LockTarget {
    /// Opens the file to lock; `None` if it is a pipe or a device, or cannot be created,
    /// in which case writing it will result in a warning.
    fn open(&self) -> Option<File> {
        let mut options = OpenOptions::new();
        match self.setting {
            "metrics.metrics_log" | "metrics.impact_log" => options
                .append(true)
                .create(true)
                .mode(persistence::LOG_MODE),
            "metrics.state_directory" => {
                atomic_file::make_private_directory(&self.path).ok()?;
                options.read(true)
            }
            _ => options.read(true),
        };
        let file = regular::open(&mut options, &self.path).ok()?;
        let file_type = file.metadata().ok()?.file_type();
        (file_type.is_file() || file_type.is_dir()).then_some(file)
    }

    async fn lock(&self, file: &File) -> anyhow::Result<()> {
        let locking = async {
            loop {
                match flock(file, FlockOperation::NonBlockingLockExclusive) {
                    Err(Errno::WOULDBLOCK) => sleep(PAUSE).await,
                    locked => return locked,
                }
            }
        };
        let (setting, path) = (self.setting, self.path.display());
        match timeout(PATIENCE, locking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    "{setting}: cannot lock {path}, so make sure that no other broker uses it: {error}"
                );
            }
            Err(_) => {
                let holder = holder(&self.path);
                bail!("{setting}: {path} is in use by {holder}: give each broker its own");
            }
        }
        Ok(())
    }
}

/// The holder of the lock, as far as the system reveals it.
fn holder(path: &Path) -> String {
    holding_process(path).unwrap_or_else(|| {
        "a process that cannot be seen from here (in another container?)".to_owned()
    })
}

fn holding_process(path: &Path) -> Option<String> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|lock| pid_of_lock(lock, inode))?;
    Some(match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(command) => format!("process {pid} ({})", command.trim_end()),
        Err(_) => format!("process {pid}"),
    })
}

/// The ID of the process that holds a lock on the file by flock(2), from a line such as
/// `1: FLOCK  ADVISORY  WRITE 708 08:01:3276816 0 EOF`. The ID is -1 if the process is not
/// visible from here.
fn pid_of_lock(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = words[..] else {
        return None;
    };
    // The device of the lock is not always that of the file (btrfs, overlays).
    let (_, locked) = file.rsplit_once(':')?;
    let is_same_file = locked.parse() == Ok(inode);
    pid.parse().ok().filter(|_| is_same_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_other_locks() {
        for (line, pid) in [
            ("1: FLOCK  ADVISORY  WRITE 708 08:01:77 0 EOF", Some(708)),
            ("1: FLOCK  ADVISORY  WRITE 708 08:01:7 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE -1 08:01:77 0 EOF", None),
            // It waits.
            ("1: -> FLOCK  ADVISORY  WRITE 709 08:01:77 0 EOF", None),
            ("2: POSIX  ADVISORY  WRITE 708 08:01:77 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(pid_of_lock(line, 77), pid, "{line}");
        }
    }
}
