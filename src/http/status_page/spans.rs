//! Spans of the history on the status page, and their plots.

use std::time::SystemTime;

use serde::Serialize;

use crate::metrics::history::HistorySample;
use crate::metrics::{GaugeSnapshot, Metrics};

use super::plot::{Plot, plot};

/// The samples in an hour.
const HOUR: u64 = 12;

/// The last hour, day and 30 days.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HistorySpans {
    /// Five minutes a bin.
    pub(super) hour: SpanView,
    /// An hour a bin.
    pub(super) day: SpanView,
    /// A day a bin.
    pub(super) month: SpanView,
}

/// The activity of some time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SpanView {
    /// Clients that got an answer.
    pub(super) answered: u64,
    /// Clients that found no proxy.
    pub(super) denied: u64,
    /// Clients whose proxy did not answer in time.
    pub(super) timed_out: u64,
    /// The parts of that time, the oldest first; `None` if the broker took no sample then.
    bins: Vec<Option<HistorySample>>,
}

/// A plot of one span.
pub(super) struct PlotOnPage {
    /// The span.
    pub(super) title: &'static str,
    /// The time of the first bar.
    pub(super) start: &'static str,
    /// The shown values in words.
    pub(super) summary: String,
    pub(super) plot: Plot,
}

impl HistorySpans {
    pub(super) fn of(metrics: &Metrics, now: SystemTime, gauges: &GaugeSnapshot) -> Self {
        let span = |slots, count| SpanView::of(metrics.history_spans(now, gauges, slots, count));
        Self {
            hour: span(1, HOUR),
            day: span(HOUR, 24),
            month: span(24 * HOUR, 30),
        }
    }

    /// The outcomes of clients.
    pub(super) fn clients(&self) -> [PlotOnPage; 3] {
        self.plots(["answered", "denied", "timed-out"], |bin| {
            [bin.answered, bin.denied, bin.timed_out]
        })
    }

    /// The parked polls.
    pub(super) fn parked(&self) -> [PlotOnPage; 3] {
        self.plots(["parked"], |bin| [bin.parked])
    }

    /// The clients that wait.
    pub(super) fn waiting(&self) -> [PlotOnPage; 3] {
        self.plots(["waiting"], |bin| [bin.waiting])
    }

    fn plots<const N: usize>(
        &self,
        names: [&'static str; N],
        counts: impl Fn(&HistorySample) -> [u64; N],
    ) -> [PlotOnPage; 3] {
        [
            ("Last hour", "an hour ago", &self.hour),
            ("Last day", "a day ago", &self.day),
            ("Last 30 days", "30 days ago", &self.month),
        ]
        .map(|(title, start, span)| {
            let bins = span.bins.iter();
            let bars: Vec<_> = bins.map(|bin| bin.as_ref().map(&counts)).collect();
            let plot = plot(names, &bars);
            PlotOnPage {
                title,
                start,
                summary: summary(&plot, &bars),
                plot,
            }
        })
    }
}

/// The values of a plot for those who do not see it.
fn summary<const N: usize>(plot: &Plot, bars: &[Option<[u64; N]>]) -> String {
    let of_bar = |bar: &Option<[u64; N]>| match bar {
        Some(counts) => counts.map(|count| count.to_string()).join("/"),
        None => "no data".to_owned(),
    };
    let bars: Vec<String> = bars.iter().map(of_bar).collect();
    let names: Vec<&str> = plot.series.iter().map(|series| series.name).collect();
    format!("{}: {}", names.join("/"), bars.join(", "))
}

impl SpanView {
    fn of(bins: Vec<Option<HistorySample>>) -> Self {
        let sum = |count: fn(&HistorySample) -> u64| bins.iter().flatten().map(count).sum();
        Self {
            answered: sum(|bin| bin.answered),
            denied: sum(|bin| bin.denied),
            timed_out: sum(|bin| bin.timed_out),
            bins,
        }
    }
}
