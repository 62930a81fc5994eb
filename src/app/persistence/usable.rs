//! The usable part of the settings. Metrics only observe, so mistakes here do not stop
//! the broker.

use crate::causes::{in_words, with_causes};
use crate::file_access;
use crate::metrics::published_log::{self, whole_lines};
use crate::metrics::{Settings, impact_log};

use super::atomic_file::AppendedFile;
use super::ip_counts;

/// World-readable: the metrics log is public and served by `/metrics`, and the impact log
/// tells no more of anybody.
pub(in crate::app) const LOG_MODE: u32 = 0o644;

/// The usable settings, and warnings about the others. Writes nothing. A missing
/// directory is kept, since it may appear later; a file with other content is dropped, so
/// that it is not damaged.
pub(in crate::app) fn usable(settings: &Settings) -> (Settings, Vec<String>) {
    let mut usable = settings.clone();
    let mut warnings = Vec::new();
    if let Some(path) = &settings.metrics_log
        && is_something_else(settings)
    {
        warnings.push(format!(
            "metrics.metrics_log: {}: is not a metrics log, so nothing is written there and \
             /metrics is empty: name another file, and restart",
            path.display()
        ));
        usable.metrics_log = None;
    }
    if let Some(path) = &settings.impact_log
        && is_no_impact_log(settings)
    {
        warnings.push(format!(
            "metrics.impact_log: {}: is not an impact log, so nothing is written there: name \
             another file, and restart",
            path.display()
        ));
        usable.impact_log = None;
    }
    for (setting, path) in [
        ("metrics_log", &usable.metrics_log),
        ("impact_log", &usable.impact_log),
    ] {
        if let Some(path) = path
            && let Err(error) = file_access::can_append(path)
        {
            warnings.push(format!(
                "metrics.{setting}: cannot write {}, and will try again: {}",
                path.display(),
                in_words(&error)
            ));
        }
    }
    if let Some(path) = &settings.state_directory
        && let Err(error) = file_access::can_have_directory(path, false)
    {
        warnings.push(format!(
            "metrics.state_directory: cannot use {}, so a restart loses the current counts: {}",
            path.display(),
            in_words(&error)
        ));
    }
    if let Some(prefix) = &settings.ip_count_prefix
        && let Err(error) = ip_counts::check_prefix(prefix)
    {
        warnings.push(with_causes(error.as_ref()));
    }
    (usable, warnings)
}

/// The metrics log, if configured.
pub(super) fn log(settings: &Settings) -> Option<AppendedFile> {
    let path = settings.metrics_log.clone()?;
    Some(AppendedFile::new(path, LOG_MODE, published_log::whole))
}

/// The impact log, if configured.
pub(super) fn impact_file(settings: &Settings) -> Option<AppendedFile> {
    let path = settings.impact_log.clone()?;
    Some(AppendedFile::new(path, LOG_MODE, whole_lines))
}

/// Returns true if the file exists and has other content, which appending would damage.
/// An unreadable file is reported when writing it fails.
fn is_something_else(settings: &Settings) -> bool {
    let tail = log(settings).and_then(|log| log.tail().ok());
    tail.is_some_and(|tail| !published_log::is_log(&tail))
}

fn is_no_impact_log(settings: &Settings) -> bool {
    let tail = impact_file(settings).and_then(|log| log.tail().ok());
    tail.is_some_and(|tail| !impact_log::is_impact_log(&tail))
}
