//! A progress bar on the terminal during a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::peers::Load;
use crate::table::to_float;
use crate::tally::Outcome;

const REFRESH: Duration = Duration::from_millis(200);

/// The progress bar of one run.
pub(crate) struct Progress {
    bar: ProgressBar,
    refreshed: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start(name: &str, load: &Arc<Load>) -> Self {
        let style = ProgressStyle::with_template("{prefix:>20} [{bar:30}] {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(1).with_style(style.progress_chars("=> "));
        bar.set_prefix(name.to_owned());
        let refreshed = tokio::spawn(refresh(bar.clone(), Arc::clone(load)));
        Self { bar, refreshed }
    }

    /// Shows the current phase and its expected or maximum length.
    pub(crate) fn phase(&self, name: &'static str, span: Duration) {
        self.bar.set_prefix(name);
        self.bar.reset();
        self.bar
            .set_length(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.refreshed.abort();
    }
}

async fn refresh(bar: ProgressBar, load: Arc<Load>) {
    let mut seen = (Instant::now(), 0);
    loop {
        sleep(REFRESH).await;
        let matches = load.tally.counts().of(Outcome::ClientMatched);
        let rate = to_float(matches - seen.1) / seen.0.elapsed().as_secs_f64();
        seen = (Instant::now(), matches);
        let p99 = load.tally.latency_at(0.99).as_secs_f64() * 1e3;
        let polling = load.tally.polling();
        bar.set_message(format!(
            "{rate:.0} matches/s, p99 {p99:.1} ms, {polling} polls waiting"
        ));
        let elapsed = u64::try_from(bar.elapsed().as_millis()).unwrap_or(u64::MAX);
        bar.set_position(elapsed.min(bar.length().unwrap_or(0)));
    }
}
