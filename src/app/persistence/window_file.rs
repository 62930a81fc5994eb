//! The file in `metrics.state_directory` that preserves the metrics log's window across a
//! restart. It contains sketches of addresses, so only the broker may read it, and it
//! does not outlive its window (see `metrics::distinct_ips`).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::causes::{in_words, with_causes};
use crate::file_access::{self, regular};
use crate::metrics::saved_state::SavedState;

use super::atomic_file;

const NAME: &str = "metrics-window.json";

/// The suffix of an unreadable file. The last one is kept for a window, for investigation
/// or for a return to another release.
const SET_ASIDE: &str = ".damaged";

#[derive(Debug)]
pub(super) struct WindowFile {
    directory: PathBuf,
    path: PathBuf,
}

impl WindowFile {
    pub(super) fn in_directory(directory: PathBuf) -> Self {
        let path = directory.join(NAME);
        Self { directory, path }
    }

    /// The saved state; `None` if there is no file, or an unreadable one, which is
    /// renamed.
    pub(super) fn load(&self) -> Option<SavedState> {
        let problem = match regular::read(&self.path) {
            Ok(content) => match SavedState::decode(&content) {
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

    pub(super) fn save(&self, state: &SavedState) -> io::Result<()> {
        atomic_file::make_private_directory(&self.directory)?;
        atomic_file::replace(&self.path, &state.encode(), atomic_file::PRIVATE)
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
