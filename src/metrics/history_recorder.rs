//! The recorder of the history: it turns totals and gauges into samples.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Metrics;
use super::gauges::GaugeSnapshot;
use super::history::{HistorySample, SampleHistory};
use super::labels::ClientOutcome;
use super::recent::Totals;

/// The history, and what is in it already.
#[derive(Debug, Default)]
pub(super) struct HistoryRecorder(Mutex<RecordedHistory>);

#[derive(Debug, Default)]
struct RecordedHistory {
    history: SampleHistory,
    /// The totals at the last sample.
    answered: u64,
    unanswered: u64,
}

impl HistoryRecorder {
    /// Each operation leaves the history whole, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, RecordedHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    /// Adds what has happened since the last sample to the history. To be called every
    /// [`super::history::SLOT`].
    pub fn record_history(&self, at: SystemTime, gauges: &GaugeSnapshot) {
        let totals = self.totals();
        let parked: usize = gauges.parked.iter().map(|(.., count)| count).sum();
        let queued: usize = gauges.queued.iter().map(|(_, count)| count).sum();
        let (answered, unanswered) = clients(&totals);
        let mut recorded = self.history.lock();
        let sample = HistorySample {
            parked: parked as u64,
            waiting: (queued + gauges.matched) as u64,
            answered: answered.saturating_sub(recorded.answered),
            unanswered: unanswered.saturating_sub(recorded.unanswered),
        };
        recorded.history.record(at, sample);
        (recorded.answered, recorded.unanswered) = (answered, unanswered);
    }

    /// The last `count` spans of the history; see [`SampleHistory::spans`].
    pub fn history_spans(
        &self,
        now: SystemTime,
        slots: u64,
        count: u64,
    ) -> Vec<Option<HistorySample>> {
        self.history.lock().history.spans(now, slots, count)
    }

    /// The content of a file with the history.
    pub fn encoded_history(&self) -> String {
        let history = self.history.lock().history.clone();
        // Not under the lock, since it takes a while.
        history.encode()
    }

    /// Continues an earlier process' history. To be called before a sample is taken.
    pub fn restore_history(&self, history: SampleHistory) {
        self.history.lock().history = history;
    }
}

/// The clients that got an answer, and those that got none.
fn clients(totals: &Totals) -> (u64, u64) {
    let outcome = |outcome| totals.client_outcomes[outcome as usize];
    let unanswered = outcome(ClientOutcome::Denied) + outcome(ClientOutcome::TimedOut);
    (outcome(ClientOutcome::Matched), unanswered)
}
