//! The part of the settings that can be used. Counts only observe: what is wrong here
//! keeps no broker from serving.

use crate::file_access;
use crate::metrics::{Settings, published_log};

use super::atomic_file::AppendedFile;
use super::ip_counts;

/// The metrics log is public, `/metrics` serves it.
pub(in crate::app) const LOG_MODE: u32 = 0o644;

/// The settings that can be used, and the warnings about the others. Writes nothing. A directory
/// may come to be there, so it is tried again; a file that is something else must not
/// be spoilt.
pub(in crate::app) fn usable(settings: &Settings) -> (Settings, Vec<String>) {
    let mut usable = settings.clone();
    let mut warnings = Vec::new();
    if let Some(path) = &settings.metrics_log
        && is_something_else(settings)
    {
        warnings.push(format!(
            "metrics.metrics_log: {}: it is something else than a metrics log: nothing is \
             written there, and /metrics shows none, until it is another file at a restart",
            path.display()
        ));
        usable.metrics_log = None;
    }
    if let Some(path) = &usable.metrics_log
        && let Err(error) = file_access::can_append(path)
    {
        warnings.push(format!(
            "metrics.metrics_log: {} cannot be written, will be tried again: {error}",
            path.display()
        ));
    }
    if let Some(path) = &settings.state_directory
        && let Err(error) = file_access::can_have_directory(path, false)
    {
        warnings.push(format!(
            "metrics.state_directory: {} cannot be used, a restart would lose what is \
             counted: {error}",
            path.display()
        ));
    }
    if let Some(prefix) = &settings.ip_count_prefix
        && let Err(error) = ip_counts::check_prefix(prefix)
    {
        warnings.push(format!("{error:#}"));
    }
    (usable, warnings)
}

/// The metrics log, if there is to be one.
pub(super) fn log(settings: &Settings) -> Option<AppendedFile> {
    let path = settings.metrics_log.clone()?;
    Some(AppendedFile::new(path, LOG_MODE, published_log::whole))
}

/// Returns true if there is a file that appending would spoil. One that cannot be read is
/// said when it cannot be written either.
fn is_something_else(settings: &Settings) -> bool {
    let tail = log(settings).and_then(|log| log.tail().ok());
    tail.is_some_and(|tail| !published_log::is_log(&tail))
}
