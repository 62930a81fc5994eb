//! The available memory: the limit of this process's control groups (`cgroups(7)`), as
//! set by service managers and containers, and the machine's memory.

use std::fs;
use std::path::{Path, PathBuf};

/// The files with limits in version 2: above the first, the kernel kills a process; above
/// the second, it slows the process down to a crawl.
const UNIFIED: [&str; 2] = ["memory.max", "memory.high"];
/// The file with the limit in version 1.
const LEGACY: [&str; 1] = ["memory.limit_in_bytes"];
/// Version 1's value for "no limit" is the largest signed number of whole pages, which
/// depends on the page size. No machine has that much memory.
const UNLIMITED: u64 = 1 << 62;

/// The lowest limit, in bytes, of this process's control group and its visible parents;
/// `None` if there is none.
pub(super) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let limits = files(&groups, &mounts).into_iter().filter_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        parse(&text)
    });
    limits.min()
}

/// The memory of the machine, in bytes; `None` if `/proc` does not reveal it.
pub(super) fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// A control group of this process: a line of `/proc/self/cgroup`.
struct ControlGroup<'a> {
    /// The names of the controllers; empty for version 2.
    controllers: Vec<&'a str>,
    name: &'a str,
}

impl<'a> ControlGroup<'a> {
    /// Parses `id:controllers:name`.
    fn parse(line: &'a str) -> Option<Self> {
        let (controllers, name) = line.split_once(':')?.1.split_once(':')?;
        let controllers = controllers.split(',').filter(|name| !name.is_empty());
        Some(Self {
            controllers: controllers.collect(),
            name,
        })
    }
}

/// A mounted file system: a line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// The mounted directory of the file system.
    root: &'a str,
    point: &'a Path,
    fs_type: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// Parses `id parent major:minor root point options optional... - type source options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (place, file_system) = line.split_once(" - ")?;
        let (mut place, mut file_system) = (place.split(' ').skip(3), file_system.split(' '));
        Some(Self {
            root: place.next()?,
            point: Path::new(place.next()?),
            fs_type: file_system.next()?,
            options: file_system.nth(1)?,
        })
    }
}

/// The limit in a file, in bytes; `None` for `max` and the like.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < UNLIMITED)
}

/// Every file that may hold a limit for members of these groups.
fn files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
    let mut files = Vec::new();
    for group in groups.lines().filter_map(ControlGroup::parse) {
        let is_unified = group.controllers.is_empty();
        let (names, is_theirs): (&[&str], fn(&Mount<'_>) -> bool) = if is_unified {
            (&UNIFIED, |mount| mount.fs_type == "cgroup2")
        } else if group.controllers.contains(&"memory") {
            (&LEGACY, is_legacy_memory)
        } else {
            continue;
        };
        for mount in mounts.iter().filter(|mount| is_theirs(mount)) {
            let folder = folder(group.name, mount);
            let around = folder.ancestors();
            let visible = around.take_while(|folder| folder.starts_with(mount.point));
            files.extend(visible.flat_map(|folder| names.iter().map(|name| folder.join(name))));
        }
    }
    files
}

fn is_legacy_memory(mount: &Mount<'_>) -> bool {
    mount.fs_type == "cgroup" && mount.options.split(',').any(|name| name == "memory")
}

/// The directory of the group with this name. In a container, the name may be the one
/// outside, and then the mount point is the group itself.
fn folder(group: &str, mount: &Mount<'_>) -> PathBuf {
    let below = Path::new(group)
        .strip_prefix(mount.root)
        .ok()
        .filter(|below| !below.starts_with(".."));
    mount.point.join(below.unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "0::/system.slice/snowflake-broker.service\n";
    const UNIFIED_MOUNT: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn files_of(groups: &str, mounts: &str) -> Vec<String> {
        let files = files(groups, mounts).into_iter();
        files.map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(machine_memory().unwrap() > 1 << 26);
    }

    #[test]
    fn a_limit_is_bytes_or_none() {
        assert_eq!(parse("536870912\n"), Some(512 << 20));
        assert_eq!(parse("max\n"), None);
        // Pages of 4 and 64 KiB.
        assert_eq!(parse("9223372036854771712\n"), None);
        assert_eq!(parse("9223372036854710272\n"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("-1"), None);
    }

    #[test]
    fn the_group_and_all_around_it_count() {
        assert_eq!(
            files_of(SERVICE, UNIFIED_MOUNT),
            [
                "/sys/fs/cgroup/system.slice/snowflake-broker.service/memory.max",
                "/sys/fs/cgroup/system.slice/snowflake-broker.service/memory.high",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/system.slice/memory.high",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory.high",
            ]
        );
    }

    #[test]
    fn of_version_1_the_memory_controller_counts() {
        let groups = "9:name=systemd:/x\n4:hugetlb,memory:/a\n1:cpu:/b\n0::/\n";
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,hugetlb,memory\n";
        assert_eq!(
            files_of(groups, mounts),
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }

    #[test]
    fn in_a_container_the_mount_is_the_group() {
        for (group, root) in [
            ("0::/", "/"),
            ("0::/docker/abc", "/docker/abc"),
            ("0::/docker/abc", "/elsewhere"),
            ("0::/../abc", "/"),
        ] {
            let mounts = format!("30 23 0:26 {root} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
            let expected = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.high"];
            assert_eq!(files_of(group, &mounts), expected, "{group} {root}");
        }
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        assert!(files_of("", UNIFIED_MOUNT).is_empty());
        assert!(files_of(SERVICE, "22 1 8:1 / / rw - ext4 /dev/sda rw\n").is_empty());
    }
}
