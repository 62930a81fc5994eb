//! A file in `metrics.state_directory` that preserves a state across a restart. Only the
//! broker may read it.

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::causes::{in_words, with_causes};
use crate::file_access::{self, regular};

use super::atomic_file;

/// The suffix of an unreadable file. The last one is kept for investigation or for a return
/// to another release.
const SET_ASIDE: &str = ".damaged";

#[derive(Debug)]
pub(super) struct StateFile {
    directory: PathBuf,
    path: PathBuf,
}

impl StateFile {
    pub(super) fn new(directory: PathBuf, name: &str) -> Self {
        let path = directory.join(name);
        Self { directory, path }
    }

    /// The saved state; `None` if there is no file, or an unreadable one, which is
    /// renamed.
    pub(super) fn load<T, E: Error + 'static>(
        &self,
        decode: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Option<T> {
        let problem = match regular::read(&self.path) {
            Ok(content) => match decode(&content) {
                Ok(saved) => return Some(saved),
                Err(error) => with_causes(&error),
            },
            Err(error) if is_nowhere(error.kind()) => return None,
            Err(error) => in_words(&error),
        };
        let path = self.path.display();
        match fs::rename(&self.path, self.set_aside()) {
            Ok(()) => tracing::warn!("set {path} aside and lost its counts: {problem}"),
            Err(error) => {
                tracing::warn!("cannot set {path} aside ({error}) and lost its counts: {problem}");
            }
        }
        None
    }

    /// Returns true if the directory neither exists nor can be created; the start has
    /// reported that.
    pub(super) fn has_no_place(&self) -> bool {
        let placed = file_access::can_have_directory(&self.directory, false);
        placed.is_err_and(|error| is_nowhere(error.kind()))
    }

    pub(super) fn save(&self, state: &str) -> io::Result<()> {
        atomic_file::make_private_directory(&self.directory)?;
        atomic_file::replace(&self.path, state, atomic_file::PRIVATE)
    }

    /// Removes the renamed file.
    pub(super) fn forget(&self) -> io::Result<()> {
        atomic_file::absent_is_fine(fs::remove_file(self.set_aside()))
    }

    fn set_aside(&self) -> PathBuf {
        atomic_file::with_suffix(&self.path, SET_ASIDE)
    }
}

/// Returns true for the error of a file that neither exists nor can be created.
fn is_nowhere(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}
