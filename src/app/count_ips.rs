//! `count-ips`: how many different addresses there are in recordings.

use std::fs;
use std::time::SystemTime;

use anyhow::Context as _;

use crate::metrics::distinct_ips::Sketch;
use crate::metrics::ip_recordings;

use super::cli::CountIps;

/// The estimate for the recordings whose periods lie in the range. The error
/// names the file, and the line if it is one.
pub(super) fn estimate(asked: &CountIps) -> anyhow::Result<u64> {
    let (from, to) = (
        asked.from.map(SystemTime::from),
        asked.to.map(SystemTime::from),
    );
    let mut merged = Sketch::new();
    for path in &asked.files {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(name)?;
        for recording in ip_recordings::decode(&text) {
            let recording = recording.with_context(name)?;
            if recording.is_within(from, to) {
                merged.merge(&recording.recorded);
            }
        }
    }
    Ok(merged.estimate())
}
