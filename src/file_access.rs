//! Access checks: whether this program can read and write files and directories, without
//! touching them, and whether others can read its secrets. [`regular`] reads files.

pub mod regular;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The mode bits that let other users of this machine read a file, or enter a directory.
const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o001;

/// The length of the shortest secret.
const SECRET_MIN: usize = 16;
/// The length of the longest part of a path that is shown though there may be a secret in it.
const PART_MAX: usize = 40;

/// Succeeds if an existing file can be read.
pub fn can_read(path: &Path) -> io::Result<()> {
    can(path, Access::READ_OK)
}

/// Succeeds if the file can be appended to or created.
pub fn can_append(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(file) if file.is_dir() => Err(ErrorKind::IsADirectory.into()),
        // Opening a pipe is the only way to learn whether it has a reader.
        Ok(file) if file.file_type().is_fifo() => {
            regular::open(OpenOptions::new().append(true), path).map(drop)
        }
        Ok(_) => can(path, Access::WRITE_OK),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            can_make_files_in(directory(&missing_target(path)))
        }
        Err(error) => Err(error),
    }
}

/// The path under which a file is to be made that is not there: of a link, that of its target.
pub fn missing_target(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => directory(path).join(target),
        Err(_) => path.to_owned(),
    }
}

/// Succeeds if files can be created in the directory, which must exist.
pub fn can_make_files_in(directory: &Path) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    can(directory, Access::WRITE_OK | Access::EXEC_OK)
}

/// Succeeds if files can be created in the directory, or if the directory can be created,
/// with its parents if `makes_parents`.
pub fn can_have_directory(path: &Path, makes_parents: bool) -> io::Result<()> {
    match can_make_files_in(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        known => return known,
    }
    let parent = directory(path);
    if makes_parents && parent != path {
        can_have_directory(parent, true)
    } else {
        can_make_files_in(parent)
    }
}

/// Returns an error if no file can be created in the path's directory. The error names
/// the setting.
pub fn check_directory_of(setting: &str, path: &Path) -> anyhow::Result<()> {
    let directory = directory(path);
    can_make_files_in(directory).with_context(|| {
        let (path, directory) = (path.display(), directory.display());
        format!("{setting}: {path}: cannot create files in {directory}")
    })
}

/// The directory that contains a path.
pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Returns true if other users of this machine can read a file. A file that we cannot see is
/// not exposed.
fn is_exposed(path: &Path) -> bool {
    let mode = |path: &Path| {
        let metadata = fs::metadata(path);
        metadata.map_or(0, |metadata| metadata.permissions().mode())
    };
    let Ok(path) = fs::canonicalize(path) else {
        return false;
    };
    let mut directories = path.ancestors().skip(1);
    mode(&path) & OTHERS_READ != 0 && directories.all(|around| mode(around) & OTHERS_ENTER != 0)
}

/// The warning for a file with a secret, named by `setting`; `None` if others cannot read
/// it.
pub fn exposure_warning(setting: &str, path: &Path) -> Option<String> {
    let path_text = path.display();
    is_exposed(path).then(|| {
        format!("{setting}: {path_text}: other users of this machine can read it (fix: chmod o-r)")
    })
}

/// A path as it may be shown. In place of the path of a secret, somebody may have written the
/// secret: so one that leads nowhere and does not look like a path is not shown.
pub fn shown(setting: &str, path: &Path) -> String {
    const SECRETS: [&str; 3] = ["credentials", "key", "token"];
    let text = path.display().to_string();
    let is_of_secret = SECRETS.iter().any(|secret| setting.contains(secret));
    // A key in base64 may begin with a slash, and a token may have dots.
    let has_short_parts = text.split('/').all(|part| part.len() <= PART_MAX);
    let is_key = text.ends_with('=') && STANDARD.decode(&text).is_ok();
    let looks_like_path =
        (text.starts_with('/') || text.contains('.')) && has_short_parts && !is_key;
    if is_of_secret && !looks_like_path && text.len() >= SECRET_MIN && !path.exists() {
        "(not shown, as it may be the secret itself)".to_owned()
    } else {
        text
    }
}

fn can(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn kind(result: io::Result<()>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn a_secret_in_place_of_its_path_is_not_shown() {
        let secret = "abcdefghijklmnop";
        for (setting, path, is_shown) in [
            ("admin.tokens: file of \"a\"", secret, false),
            ("pools: token_file of \"a\"", secret, false),
            (
                "cluster.key_file",
                "+b/defghijklmnop0123456789abcdefghijklmnopq=",
                false,
            ),
            (
                "cluster.key_file",
                "/b/defghijklmnop0123456789abcdefghijklmnopq=",
                false,
            ),
            (
                "--token-file",
                "abcdefghijklmnop.abcdefghijklmnopqrstuvwxyz0123456789abcdefg.hijk",
                false,
            ),
            ("--token-file", secret, false),
            (
                "--token-file",
                "/etc/snowflake-broker/tokens/operators.txt",
                true,
            ),
            ("broker.bridge_list_path", secret, true),
            ("cluster.key_file", "/abcdefghijklmnop", true),
            ("cluster.key_file", "keys/abcdefghijkl.txt", true),
            ("cluster.key_file", "key", true),
        ] {
            let shown = shown(setting, Path::new(path));
            assert_eq!(shown == path, is_shown, "{setting} {path}: {shown}");
            assert_eq!(shown.contains(path), is_shown, "{setting} {path}: {shown}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(secret);
        assert_eq!(shown("cluster.key_file", &path), path.display().to_string());
    }

    #[test]
    fn files_are_appended_to_or_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("there"), "").unwrap();
        assert_eq!(kind(can_append(&path("there"))), None);
        assert_eq!(kind(can_append(&path("new"))), None);
        let directory = can_append(folder.path());
        assert_eq!(kind(directory), Some(ErrorKind::IsADirectory));
        let nowhere = can_append(&path("nowhere/new"));
        assert_eq!(kind(nowhere), Some(ErrorKind::NotFound));
        let below_a_file = can_append(&path("there/new"));
        assert_eq!(kind(below_a_file), Some(ErrorKind::NotADirectory));
    }

    #[test]
    fn directories_are_there_or_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        for (name, makes_parents, expected) in [
            ("new", false, None),
            ("new/er", true, None),
            ("new/er", false, Some(ErrorKind::NotFound)),
            ("file", true, Some(ErrorKind::NotADirectory)),
            ("file/new", true, Some(ErrorKind::NotADirectory)),
        ] {
            let have = can_have_directory(&path(name), makes_parents);
            assert_eq!(kind(have), expected, "{name}");
        }
        assert_eq!(kind(can_have_directory(Path::new("new"), false)), None);
        assert!(!path("new").exists());
    }

    #[test]
    fn a_directory_that_is_missing_is_named_with_the_setting() {
        check_directory_of("a.b", Path::new("relative")).unwrap();
        check_directory_of("a.b", &std::env::temp_dir().join("file")).unwrap();
        let error = check_directory_of("a.b", Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.b: /nowhere/at/all: cannot create files in /nowhere/at"
        );
        assert!(check_directory_of("a.b", Path::new("/dev/null/x")).is_err());
    }

    #[test]
    fn a_file_is_exposed_if_its_directories_are_open_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        // The test's own folder may be inside a closed directory.
        let around = fs::canonicalize(folder.path().parent().unwrap()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let is_open = around
            .ancestors()
            .all(|path| mode(path) & OTHERS_ENTER != 0);
        for (file, directory, expected) in [
            (0o644, 0o755, is_open),
            (0o640, 0o755, false),
            (0o644, 0o700, false),
            (0o604, 0o711, is_open),
        ] {
            set(&path, file);
            set(folder.path(), directory);
            assert_eq!(is_exposed(&path), expected, "{file:o} in {directory:o}");
        }
        assert!(!is_exposed(&folder.path().join("missing")));
    }
}
