//! Regular files only. Reading a named pipe would wait until someone writes to it, and a
//! device may have no end, so a setting that names one by mistake gets an error at once.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Reads the whole content of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_to_read(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Reads the whole content of a text file.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    open_to_read(path)?.read_to_string(&mut content)?;
    Ok(content)
}

/// Returns an error unless the metadata is that of a regular file.
pub fn check(metadata: &Metadata) -> io::Result<()> {
    let file_type = metadata.file_type();
    let what = if file_type.is_file() {
        return Ok(());
    } else if file_type.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    } else if file_type.is_fifo() {
        "a named pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let problem = format!("must be a regular file, not {what}");
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}

/// Opens a path without waiting for the other end of a pipe.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // The flag has the same bits in either type.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    match options.custom_flags(flags).open(path) {
        // Only a file on which a file server has a lease (fcntl(2)) blocks here. The
        // server gives the lease up once an open waits for it.
        Err(error) if error.kind() == ErrorKind::WouldBlock => options.custom_flags(0).open(path),
        opened => opened,
    }
}

fn open_to_read(path: &Path) -> io::Result<File> {
    let file = open(OpenOptions::new().read(true), path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "content").unwrap();
        assert_eq!(read(&path).unwrap(), b"content");
        assert_eq!(read_to_string(&path).unwrap(), "content");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link).unwrap(), b"content");

        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let problem = |path: &Path| read(path).unwrap_err().to_string();
        assert_eq!(problem(&pipe), "must be a regular file, not a named pipe");
        assert_eq!(
            problem(Path::new("/dev/zero")),
            "must be a regular file, not a device"
        );
        assert_eq!(problem(folder.path()), "is a directory");
    }

    #[test]
    fn a_pipe_without_a_reader_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let opened = open(OpenOptions::new().append(true), &pipe);
        assert!(opened.is_err());
    }
}
