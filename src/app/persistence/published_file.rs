//! The metrics log as served by `/metrics`: read when the file has changed, not for each
//! request.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::http::MetricsLog;
use crate::metrics::published_log::published;

use super::atomic_file::{AppendedFile, absent_is_fine};

/// The identity of a file's version. Two changes within one tick of the file system's
/// clock differ in length, since the file only grows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// The current version; `None` if there is no file.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(Self::new(&file))),
            Err(error) => absent_is_fine(Err(error)).map(|()| None),
        }
    }

    fn new(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The published part of the log, with the version of the file that it is from.
#[derive(Debug)]
pub(super) struct PublishedFile {
    file: AppendedFile,
    read: Mutex<Option<(Option<FileState>, MetricsLog)>>,
}

impl PublishedFile {
    pub(super) fn new(file: AppendedFile) -> Self {
        Self {
            file,
            read: Mutex::default(),
        }
    }

    /// The published part of the file's current version. May block.
    pub(super) fn read(&self) -> io::Result<MetricsLog> {
        // Taken before the content, so that a change in between is read next time.
        let version = FileState::of(self.file.path())?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, log)) = &*read
            && *known == version
        {
            return Ok(log.clone());
        }
        let log = MetricsLog::new(published(&self.file.tail()?).to_vec());
        *read = Some((version, log.clone()));
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::broker::clock;

    const BLOCK: &str = "snowflake-stats-end 1970-01-02 00:00:00 (86400 s)\nother 1\n";

    fn log() -> (TempDir, PublishedFile) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("metrics.log");
        let file = AppendedFile::new(path, 0o644, |log| log);
        (scratch, PublishedFile::new(file))
    }

    fn text(log: &PublishedFile) -> Vec<u8> {
        log.read().unwrap().text().to_vec()
    }

    #[test]
    fn what_has_not_changed_is_read_once() {
        let (_scratch, log) = log();
        log.file.append(BLOCK).unwrap();
        let first = log.read().unwrap();
        assert_eq!(first.text(), BLOCK.as_bytes());
        assert_eq!(log.read().unwrap().text().as_ptr(), first.text().as_ptr());
    }

    #[test]
    fn what_has_changed_is_read_again() {
        let (_scratch, log) = log();
        assert_eq!(text(&log), b"");
        log.file.append(BLOCK).unwrap();
        assert_eq!(text(&log), BLOCK.as_bytes());
        log.file.append(BLOCK).unwrap();
        assert_eq!(text(&log), [BLOCK, BLOCK].concat().as_bytes());
        fs::remove_file(log.file.path()).unwrap();
        assert_eq!(text(&log), b"");
    }

    /// In the way of `logrotate` and editors.
    #[test]
    fn another_file_of_the_same_length_is_another() {
        let (scratch, log) = log();
        log.file.append(BLOCK).unwrap();
        let modified = fs::metadata(log.file.path()).unwrap().modified().unwrap();
        assert_eq!(text(&log), BLOCK.as_bytes());
        let other = BLOCK.replace("other 1", "other 2");
        let new = scratch.path().join("new");
        fs::write(&new, &other).unwrap();
        File::open(&new).unwrap().set_modified(modified).unwrap();
        fs::rename(&new, log.file.path()).unwrap();
        assert_eq!(text(&log), other.as_bytes());
    }

    #[test]
    fn a_change_in_place_of_the_same_length_is_one() {
        let (_scratch, log) = log();
        log.file.append(BLOCK).unwrap();
        assert_eq!(text(&log), BLOCK.as_bytes());
        let other = BLOCK.replace("other 1", "other 2");
        fs::write(log.file.path(), &other).unwrap();
        let later = clock::wall_clock() + Duration::from_secs(1);
        let file = File::options().write(true).open(log.file.path()).unwrap();
        file.set_modified(later).unwrap();
        assert_eq!(text(&log), other.as_bytes());
    }
}
