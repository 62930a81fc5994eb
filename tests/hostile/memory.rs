//! How much memory the broker can get.

use std::fs;
use std::path::{Path, PathBuf};

/// What a small machine may give it.
const LIMIT: u64 = 512 * 1024 * 1024;

/// The most that it may ever have resident.
pub(crate) const CEILING: u64 = 300 * 1024 * 1024;

/// Where control groups cannot be had: keeps the machine of the test from harm,
/// while the ceiling is on what is resident. It counts what threads and the
/// allocator reserve, too.
const DATA: &str = "--data=4294967296";

/// A control group for one broker, removed when it is dropped.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    is_unified: bool,
}

/// The bounds of a broker's memory.
#[derive(Debug)]
pub(crate) struct Bounds(Option<Group>);

impl Bounds {
    /// By a control group where there is one that may be written to.
    pub(crate) fn new() -> Self {
        Self(Group::legacy().or_else(Group::unified))
    }

    /// A program, and its arguments, that turn into the broker inside.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let words: Vec<&str> = match &self.0 {
            None => vec!["prlimit", DATA, "--"],
            Some(group) => {
                let procs = group.folder.join("cgroup.procs");
                let enter = format!("echo $$ >{} && exec \"$@\"", procs.display());
                return ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec();
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn kind(&self) -> &'static str {
        match &self.0 {
            None => "prlimit",
            Some(group) if group.is_unified => "cgroup v2",
            Some(_) => "cgroup v1",
        }
    }

    /// The most that the system has charged it with, in bytes: what is resident,
    /// files that it has read, and buffers of the kernel.
    pub(crate) fn most_charged(&self) -> Option<u64> {
        let group = self.0.as_ref()?;
        let name = if group.is_unified {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        let text = fs::read_to_string(group.folder.join(name)).ok()?;
        text.trim().parse().ok()
    }
}

impl Group {
    fn legacy() -> Option<Self> {
        Self::under(Path::new("/sys/fs/cgroup/memory"), false)
    }

    /// In the nearest group that hands memory on to its children.
    fn unified() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let name = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let own = Path::new("/sys/fs/cgroup").join(name);
        let mut parents = own.ancestors();
        parents.find_map(|parent| {
            let handed_on = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
            let has_memory = handed_on.split_whitespace().any(|name| name == "memory");
            has_memory.then(|| Self::under(parent, true)).flatten()
        })
    }

    fn under(parent: &Path, is_unified: bool) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("snowflake-hostile-")
            .tempdir_in(parent)
            .ok()?
            .keep();
        let group = Self { folder, is_unified };
        group.limit().ok()?;
        Some(group)
    }

    fn limit(&self) -> std::io::Result<()> {
        let set = |name: &str, value: u64| fs::write(self.folder.join(name), value.to_string());
        // Only who may move a process can move the broker.
        fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("cgroup.procs"))?;
        if !self.is_unified {
            return set("memory.limit_in_bytes", LIMIT);
        }
        set("memory.max", LIMIT)?;
        // It is not there on a machine without swap.
        set("memory.swap.max", 0).or(Ok(()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.folder).ok();
    }
}
