//! `count-ips`: estimates the number of distinct addresses in recordings.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use prost_types::Timestamp;

use crate::metrics::distinct_ips::Sketch;
use crate::metrics::ip_recordings::{self, Recording};

use super::arguments::CountIps;

/// The result of a count.
#[derive(Debug)]
pub(super) struct Count {
    /// The estimated number of addresses.
    pub(super) addresses: u64,
    /// The reason why there is nothing to count.
    pub(super) warning: Option<String>,
}

/// Counts the recordings whose periods are within the range. The error names the file,
/// and the line if there is one.
pub(super) fn estimate(asked: &CountIps) -> anyhow::Result<Count> {
    let range = |time: Option<Timestamp>| time.and_then(|time| time.try_into().ok());
    let (from, to): (Option<SystemTime>, _) = (range(asked.from), range(asked.to));
    let is_empty = from.zip(to).is_some_and(|(from, to)| from >= to);
    ensure!(!is_empty, "--from: must be before --to");
    let mut merged = Sketch::new();
    let mut is_empty = true;
    let mut periods = Periods::default();
    for path in &asked.files {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(name)?;
        for recording in ip_recordings::decode(&text) {
            let recording = recording.with_context(name)?;
            if recording.is_within(from, to) {
                merged.merge(&recording.recorded);
                is_empty = false;
            }
            periods.add(&recording);
        }
    }
    Ok(Count {
        addresses: merged.estimate(),
        warning: is_empty.then(|| periods.warning()),
    })
}

/// The periods in the files, whether in the range or not.
#[derive(Debug, Default)]
struct Periods {
    count: usize,
    first_start: Option<SystemTime>,
    last_end: Option<SystemTime>,
}

impl Periods {
    fn add(&mut self, recording: &Recording) {
        let start = recording.recording_start;
        self.count += 1;
        self.first_start = Some(self.first_start.map_or(start, |first| first.min(start)));
        self.last_end = self.last_end.max(Some(recording.recording_end));
    }

    /// The warning if no period is in the range.
    fn warning(&self) -> String {
        let text = |time: Option<SystemTime>| {
            let seconds = Timestamp::from(time?).seconds;
            Some(Timestamp { seconds, nanos: 0 }.to_string())
        };
        match (text(self.first_start), text(self.last_end)) {
            (Some(first), Some(last)) => format!(
                "no period lies wholly in the range: of {}, the first begins at {first} and the \
                 last ends at {last}",
                self.count
            ),
            _ => "these files have no periods in them".to_owned(),
        }
    }
}
