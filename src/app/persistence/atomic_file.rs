//! Files that survive a crash, a full disk or a power failure intact.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::file_access::{directory, missing_target, regular};

/// The number of bytes read from the end of a file: months of the metrics log.
const TAIL: u64 = 2 * 1024 * 1024;

/// The permissions of a file that only its owner can read.
pub(in crate::app) const PRIVATE: u32 = 0o600;

/// A file that grows by complete entries.
#[derive(Clone, Debug)]
pub(in crate::app) struct AppendedFile {
    path: PathBuf,
    /// The permissions of a newly created file.
    mode: u32,
    /// Returns the content without an incomplete entry at its end.
    whole: fn(&[u8]) -> &[u8],
}

struct Tail {
    bytes: Vec<u8>,
    /// The position of the bytes in the file.
    start: u64,
}

impl AppendedFile {
    pub(in crate::app) fn new(path: PathBuf, mode: u32, whole: fn(&[u8]) -> &[u8]) -> Self {
        Self { path, mode, whole }
    }

    pub(in crate::app) fn path(&self) -> &Path {
        &self.path
    }

    /// The last 2 MiB; empty if there is no file, or only a device.
    pub(in crate::app) fn tail(&self) -> io::Result<Vec<u8>> {
        Ok(read_tail(&self.path)?.bytes)
    }

    /// Appends entries in one write and waits until they are on disk. First removes an
    /// incomplete entry left from before. On failure, nothing of the new entries remains.
    pub(in crate::app) fn append(&self, entries: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(self.mode);
        let file = regular::open(&mut options, &self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            // A pipe or a terminal cannot be repaired.
            return (&file).write_all(entries.as_bytes());
        }
        if self.mode == PRIVATE && metadata.permissions().mode() & 0o077 != 0 {
            // As after it was restored from a backup. It may be somebody else's file.
            let _ = file.set_permissions(Permissions::from_mode(PRIVATE));
        }
        let tail = read_tail(&self.path)?;
        let whole = (self.whole)(&tail.bytes);
        let length = tail.start + whole.len() as u64;
        if whole.len() < tail.bytes.len() {
            let path = self.path.display();
            tracing::warn!("removed an incomplete entry from the end of {path}");
            file.set_len(length)?;
        }
        if let Err(error) = write_durably(&file, entries) {
            // If this fails, too, the next call repairs the file.
            let _ = file.set_len(length);
            return Err(error);
        }
        if length == 0 {
            // The file may be new, and then its name is not yet safe. The entries are
            // written anyway.
            let _ = sync_directory(&self.path);
        }
        Ok(())
    }
}

fn write_durably(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn read_tail(path: &Path) -> io::Result<Tail> {
    let nothing = Tail {
        bytes: Vec::new(),
        start: 0,
    };
    let length = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Ok(nothing),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(error),
    };
    let mut file = File::open(path)?;
    let start = file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    // The file may grow in the meantime, but not without bound.
    file.take(2 * TAIL).read_to_end(&mut bytes)?;
    Ok(Tail { bytes, start })
}

/// Replaces the content of a file atomically: readers see either the old or the new
/// content. `mode` is its permissions.
pub(in crate::app) fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    // A crash may have left one, with any permissions.
    absent_is_fine(fs::remove_file(&new))?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(&new)?;
    let replaced = write_durably(&file, content)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // Frees the space, which may be scarce.
        let _ = fs::remove_file(&new);
    }
    replaced.and_then(|()| sync_directory(path))
}

/// The same for a file of the operator's, which may be a link: its target is replaced, or made.
pub(in crate::app) fn replace_target(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    match fs::canonicalize(path) {
        Ok(target) => replace(&target, content, mode),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            replace(&missing_target(path), content, mode)
        }
        Err(error) => Err(error),
    }
}

/// The path with a suffix added to its name.
pub(in crate::app) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Creates a directory that only its owner can enter, unless it exists.
pub(in crate::app) fn make_private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

pub(in crate::app) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a file's name durable by syncing its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::metrics::published_log::whole_lines;

    fn lines(path: PathBuf) -> AppendedFile {
        AppendedFile::new(path, 0o600, whole_lines)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn entries_are_appended_and_half_ones_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let file = lines(path.clone());
        assert_eq!(file.tail().unwrap(), b"");
        file.append("one\n").unwrap();
        fs::write(&path, "one\ntwo\nthr").unwrap();
        file.append("").unwrap();
        assert_eq!(file.tail().unwrap(), b"one\ntwo\n");
        file.append("three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        fs::remove_file(&path).unwrap();
        file.append("four\n").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        symlink("target", &link).unwrap();
        replace_target(&link, "one", PRIVATE).unwrap();
        replace_target(&link, "two", PRIVATE).unwrap();
        assert!(link.is_symlink() && !target.is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn a_private_file_that_others_can_read_is_closed_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, "one\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        lines(path.clone()).append("two\n").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn of_a_long_file_the_end_is_read_and_repaired() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut content = vec![b'\n'; usize::try_from(TAIL).unwrap() + 10];
        content.extend(b"half");
        fs::write(&path, &content).unwrap();
        let file = lines(path.clone());
        assert!(file.tail().unwrap().ends_with(b"\nhalf"));
        file.append("whole\n").unwrap();
        let repaired = fs::read(&path).unwrap();
        assert_eq!(repaired.len(), content.len() + "whole\n".len() - 4);
        assert!(repaired.ends_with(b"\nwhole\n"));
        assert_eq!(file.tail().unwrap().len() as u64, TAIL);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        symlink("/dev/full", &path).unwrap();
        let file = lines(path);
        let error = file.append("line\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(file.tail().unwrap(), b"");
    }

    #[test]
    fn a_replaced_file_is_private_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        make_private_directory(&directory).unwrap();
        make_private_directory(&directory).unwrap();
        assert_eq!(mode(&directory), 0o700);
        let path = directory.join("file");
        fs::write(directory.join("file.new"), "left by a crash").unwrap();
        replace(&path, "one", PRIVATE).unwrap();
        replace(&path, "two", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);

        let blocked = directory.join("directory");
        fs::create_dir(&blocked).unwrap();
        assert!(replace(&blocked, "three", PRIVATE).is_err());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }
}
