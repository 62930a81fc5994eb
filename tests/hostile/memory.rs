//! Limits of the broker's memory.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory of a small machine.
const LIMIT: u64 = 512 * 1024 * 1024;

/// Maximum resident memory at any time.
pub(crate) const CEILING: u64 = 300 * 1024 * 1024;

/// The limit if control groups are not available. It protects the test's machine, and the
/// ceiling is on resident memory instead. It also counts what threads and the allocator
/// reserve.
const DATA: &str = "--data=4294967296";

/// A control group for one broker, removed on drop.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    is_unified: bool,
}

/// The limits of a broker's memory.
#[derive(Debug)]
pub(crate) struct Bounds(Option<Group>);

impl Bounds {
    /// Uses a control group if there is one that can be written to.
    pub(crate) fn new() -> Self {
        Self(Group::legacy().or_else(Group::unified))
    }

    /// A program and arguments that turn into the broker within the limits.
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

    /// The peak memory that the system has charged to the broker, in bytes: resident
    /// memory, files that it has read, and kernel buffers.
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

    /// Creates a group in the nearest parent that delegates memory to its children.
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
        // The broker can be moved only by a user who may move processes.
        fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("cgroup.procs"))?;
        if !self.is_unified {
            return set("memory.limit_in_bytes", LIMIT);
        }
        set("memory.max", LIMIT)?;
        // The file does not exist on a machine without swap.
        set("memory.swap.max", 0).or(Ok(()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.folder).ok();
    }
}
