//! Files that a crash, a full disk or a power cut leaves whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::file_access::{directory, regular};

/// Bytes of the end of a file that are read: months of the metrics log.
const TAIL: u64 = 2 * 1024 * 1024;

/// The permissions of a file that only its owner may read.
pub(in crate::app) const PRIVATE: u32 = 0o600;

/// A file that grows by whole entries.
#[derive(Clone, Debug)]
pub(in crate::app) struct AppendedFile {
    path: PathBuf,
    /// Permissions of the file if it has to be made.
    mode: u32,
    /// The content without half an entry at its end.
    whole: fn(&[u8]) -> &[u8],
}

struct Tail {
    bytes: Vec<u8>,
    /// Its beginning in the file.
    start: u64,
}

impl AppendedFile {
    pub(in crate::app) fn new(path: PathBuf, mode: u32, whole: fn(&[u8]) -> &[u8]) -> Self {
        Self { path, mode, whole }
    }

    pub(in crate::app) fn path(&self) -> &Path {
        &self.path
    }

    /// The last 2 MiB; nothing where there is no file, or only a device.
    pub(in crate::app) fn tail(&self) -> io::Result<Vec<u8>> {
        Ok(read_tail(&self.path)?.bytes)
    }

    /// Appends entries in one write and waits until they are on the disk. Half
    /// an entry that is there from before is removed first, and nothing of
    /// these is left when it fails.
    pub(in crate::app) fn append(&self, entries: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(self.mode);
        let file = regular::open(&mut options, &self.path)?;
        if !file.metadata()?.is_file() {
            // There is nothing to repair in a pipe or a terminal.
            return (&file).write_all(entries.as_bytes());
        }
        let tail = read_tail(&self.path)?;
        let whole = (self.whole)(&tail.bytes);
        let length = tail.start + whole.len() as u64;
        if whole.len() < tail.bytes.len() {
            let path = self.path.display();
            tracing::warn!("{path}: removed half an entry from its end");
            file.set_len(length)?;
        }
        if let Err(error) = write_durably(&file, entries) {
            // If this fails too, the next time repairs it.
            let _ = file.set_len(length);
            return Err(error);
        }
        if length == 0 {
            // It may be new, and then not safe yet. It is written all the same.
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
    // It may grow meanwhile, but not for ever.
    file.take(2 * TAIL).read_to_end(&mut bytes)?;
    Ok(Tail { bytes, start })
}

/// Replaces the content of a file at once: whoever reads it finds all of the
/// old or all of the new one. `mode` is its permissions.
pub(in crate::app) fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    // A crash may have left one, with whatever permissions.
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
        // A disk that is full has better use for the space.
        let _ = fs::remove_file(&new);
    }
    replaced.and_then(|()| sync_directory(path))
}

/// The path with more at the end of its name.
pub(in crate::app) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Makes a directory that only its owner may enter, unless there is one.
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

/// A name is safe on the disk when its directory is.
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
