//! The part of the settings that can be used. Counts only observe: what is wrong here
//! keeps no broker from serving.

use std::io;
use std::path::Path;

use crate::file_access;
use crate::metrics::{Settings, published_log};

use super::{ip_counts, log};

/// The settings that can be used, and what is to be said of the others. A directory
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

/// The warnings of a start, which tries the metrics log, too. Writes nothing.
pub(in crate::app) fn check(settings: &Settings) -> Vec<String> {
    let (usable, mut warnings) = usable(settings);
    if let Some(path) = &usable.metrics_log
        && let Err(error) = file_access::can_append(path)
    {
        warnings.push(unwritable(path, &error));
    }
    warnings
}

/// The warning of a metrics log to which nothing can be appended.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!("metrics.metrics_log: {path} cannot be written, will be tried again: {error}")
}

/// Returns true if there is a file that appending would spoil. One that cannot be read is
/// said when it cannot be written either.
fn is_something_else(settings: &Settings) -> bool {
    let tail = log(settings).and_then(|log| log.tail().ok());
    tail.is_some_and(|tail| !published_log::is_log(&tail))
}
