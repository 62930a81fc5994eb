//! The recorder of the history: it turns totals and gauges into samples.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Metrics;
use super::gauges::GaugeSnapshot;
use super::history::{HistorySample, SampleHistory};
use super::labels::ClientOutcome;

/// The history, and what is in it already.
#[derive(Debug, Default)]
pub(super) struct HistoryRecorder(Mutex<RecordedHistory>);

#[derive(Debug, Default)]
struct RecordedHistory {
    history: SampleHistory,
    /// The totals of clients at the last sample, indexed by [`ClientOutcome`].
    clients: ClientTotals,
}

type ClientTotals = [u64; ClientOutcome::ALL.len()];

impl HistoryRecorder {
    /// Each operation leaves the history whole, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, RecordedHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordedHistory {
    /// The sample of the time since the last one.
    fn sample(&self, clients: &ClientTotals, gauges: &GaugeSnapshot) -> HistorySample {
        let parked: usize = gauges.parked.iter().map(|(.., count)| count).sum();
        let queued: usize = gauges.queued.iter().map(|(_, count)| count).sum();
        let new = |outcome: ClientOutcome| {
            let [now, before] = [clients, &self.clients].map(|totals| totals[outcome as usize]);
            now.saturating_sub(before)
        };
        HistorySample {
            parked: parked as u64,
            waiting: (queued + gauges.matched) as u64,
            answered: new(ClientOutcome::Matched),
            denied: new(ClientOutcome::Denied),
            timed_out: new(ClientOutcome::TimedOut),
        }
    }
}

impl Metrics {
    /// Adds what has happened since the last sample to the history. To be called every
    /// [`super::history::SLOT`].
    pub fn record_history(&self, at: SystemTime, gauges: &GaugeSnapshot) {
        let clients = self.totals().client_outcomes;
        let mut recorded = self.history.lock();
        let sample = recorded.sample(&clients, gauges);
        recorded.history.record(at, sample);
        recorded.clients = clients;
    }

    /// The last `count` spans of the history; see [`SampleHistory::spans`]. The last one
    /// includes what has happened since the last sample.
    pub fn history_spans(
        &self,
        now: SystemTime,
        gauges: &GaugeSnapshot,
        slots: u64,
        count: u64,
    ) -> Vec<Option<HistorySample>> {
        let clients = self.totals().client_outcomes;
        let recorded = self.history.lock();
        let mut spans = recorded.history.spans(now, slots, count);
        if let Some(last) = spans.last_mut() {
            let new = recorded.sample(&clients, gauges);
            *last = Some(last.map_or(new, |last| last.plus(new)));
        }
        spans
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
