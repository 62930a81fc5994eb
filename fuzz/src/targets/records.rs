//! Files that the broker writes and reads again: its state, its logs, its sketches.

use std::time::{Duration, SystemTime};

use snowflake_broker::metrics::history::SampleHistory;
use snowflake_broker::metrics::saved_state::SavedState;
use snowflake_broker::metrics::{impact_log, ip_recordings, published_log};
use snowflake_broker::outcomes::SavedOutcomes;

use super::choice;

pub(super) fn records(input: &[u8]) {
    let Some((which, file)) = choice(input, 6) else {
        return;
    };
    match which {
        0 => state(file),
        1 => outcomes(file),
        2 => history(file),
        3 => sketches(&String::from_utf8_lossy(file)),
        4 => metrics_log(file),
        _ => impact_log(file),
    }
}

/// What was read, written and read again is the same.
fn state(file: &[u8]) {
    if let Ok(state) = SavedState::decode(file) {
        let again = SavedState::decode(state.encode().as_bytes());
        assert_eq!(again.expect("its own file"), state);
    }
}

fn outcomes(file: &[u8]) {
    if let Ok(outcomes) = SavedOutcomes::decode(file) {
        let again = SavedOutcomes::decode(outcomes.encode().as_bytes());
        assert_eq!(again.expect("its own file"), outcomes);
    }
}

fn history(file: &[u8]) {
    if let Ok(history) = SampleHistory::decode(file) {
        let written = history.encode();
        let again = SampleHistory::decode(written.as_bytes()).expect("its own file");
        assert_eq!(again.encode(), written);
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 60);
        assert_eq!(history.spans(now, 12, 30).len(), 30);
    }
}

fn sketches(file: &str) {
    let recordings: Vec<_> = ip_recordings::decode(file).flatten().take(64).collect();
    let count = |recordings: &[_]| ip_recordings::merge(recordings).estimate();
    let once = count(&recordings);
    let twice: Vec<_> = recordings.iter().chain(&recordings).cloned().collect();
    assert_eq!(count(&twice), once, "the same addresses again");
    for recording in &recordings {
        let again = ip_recordings::decode(&recording.encode()).next();
        assert_eq!(again.and_then(Result::ok).as_ref(), Some(recording));
    }
}

/// What is published is the end of what is whole.
fn metrics_log(log: &[u8]) {
    let whole = published_log::whole(log);
    assert!(log.starts_with(whole));
    assert!(whole.ends_with(published_log::published(log)));
    let _ = published_log::is_log(log);
    let _ = published_log::has_window(log, SystemTime::UNIX_EPOCH);
}

fn impact_log(log: &[u8]) {
    let whole = published_log::whole_lines(log);
    assert!(log.starts_with(whole));
    let _ = impact_log::is_impact_log(log);
    let line = String::from_utf8_lossy(whole);
    let line = line.lines().next().unwrap_or_default();
    let _ = impact_log::has_line(log, line);
}
