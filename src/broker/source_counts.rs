//! The recent acts of each source of proxies, so that operators see when few have most of
//! the supply.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

/// The time for which a table is filled. The one before is kept beside it.
const PERIOD: Duration = Duration::from_mins(30);
/// The most sources in a table.
const SOURCES_MAX: usize = 65_536;

/// An act of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceAct {
    /// The source polled.
    Poll,
    /// A poll of the source got a client.
    Match,
    /// The source answered a client in time.
    Answer,
}

impl SourceAct {
    /// All acts.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Match, Self::Answer];
}

/// The numbers of each act.
type Tally = [u32; SourceAct::ALL.len()];

/// The acts of sources in the present period and the one before.
#[derive(Clone, Debug)]
pub struct SourceCounts {
    since: Instant,
    recent: Period,
    previous: Option<Period>,
}

/// The acts of sources in one period.
#[derive(Clone, Debug, Default)]
struct Period {
    by_source: HashMap<u64, Tally, FixedState>,
    totals: [u64; SourceAct::ALL.len()],
}

/// The distribution of one act over the sources.
#[derive(Clone, Debug, PartialEq)]
pub struct ActShares {
    /// The number of acts of all sources.
    pub total: u64,
    /// The number of sources that did it; if a table was full, at least.
    pub sources: usize,
    /// For each number asked for, the share (0 to 1) of that many sources with most.
    pub top: Vec<f64>,
}

impl SourceCounts {
    /// Counts from now on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            recent: Period::default(),
            previous: None,
        }
    }

    /// Counts an act of a source.
    pub(super) fn count(&mut self, now: Instant, source: u64, act: SourceAct) {
        self.advance(now);
        self.recent.count(source, act);
    }

    /// Starts a new period when the present one is over.
    pub(super) fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < PERIOD {
            return;
        }
        let ended = std::mem::take(&mut self.recent);
        self.previous = (passed < 2 * PERIOD).then_some(ended);
        self.since = now;
    }

    /// The start of the older period.
    pub fn start(&self) -> Instant {
        match self.previous {
            Some(_) => self.since.checked_sub(PERIOD).unwrap_or(self.since),
            None => self.since,
        }
    }

    /// The distribution of an act. `tops` are numbers of sources.
    pub fn shares(&self, act: SourceAct, tops: &[usize]) -> ActShares {
        let periods = || self.previous.iter().chain([&self.recent]);
        let mut by_source = HashMap::<u64, u64, FixedState>::default();
        for period in periods() {
            for (&source, tally) in &period.by_source {
                *by_source.entry(source).or_default() += u64::from(tally[act as usize]);
            }
        }
        let mut counts: Vec<u64> = by_source.into_values().filter(|&count| count > 0).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total = periods().map(|period| period.totals[act as usize]).sum();
        let top = tops.iter().map(|&top| {
            let most: u64 = counts.iter().take(top).sum();
            share(most, total)
        });
        ActShares {
            total,
            sources: counts.len(),
            top: top.collect(),
        }
    }
}

impl Period {
    fn count(&mut self, source: u64, act: SourceAct) {
        self.totals[act as usize] += 1;
        let tally = self.by_source.entry(source).or_default();
        tally[act as usize] = tally[act as usize].saturating_add(1);
        if self.by_source.len() > SOURCES_MAX {
            self.forget_the_least();
        }
    }

    /// Forgets the sources that did least, a half of all or more. Their acts are still in
    /// the totals, so no share is told too high.
    fn forget_the_least(&mut self) {
        let acts = |tally: &Tally| tally.iter().map(|&count| u64::from(count)).sum::<u64>();
        let mut all: Vec<u64> = self.by_source.values().map(acts).collect();
        let middle = all.len() / 2;
        let (_, &mut median, _) = all.select_nth_unstable(middle);
        self.by_source.retain(|_, tally| acts(tally) > median);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn share(part: u64, total: u64) -> f64 {
    if total == 0 {
        0.0
    } else {
        part as f64 / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn the_few_with_most_are_told() {
        let now = clock::now();
        let mut counts = SourceCounts::new(now);
        for _ in 0..50 {
            counts.count(now, 0, SourceAct::Poll);
        }
        for source in 1..=50 {
            counts.count(now, source, SourceAct::Poll);
        }
        counts.count(now, 7, SourceAct::Match);
        let polls = counts.shares(SourceAct::Poll, &[1, 11, 1_000]);
        assert_eq!((polls.total, polls.sources), (100, 51));
        assert_eq!(polls.top, [0.5, 0.6, 1.0]);
        let matches = counts.shares(SourceAct::Match, &[1]);
        assert_eq!((matches.total, matches.sources), (1, 1));
        let answers = counts.shares(SourceAct::Answer, &[1]);
        assert_eq!((answers.total, answers.top), (0, vec![0.0]));
    }

    #[test]
    fn an_hour_is_counted_and_no_more() {
        let start = clock::now();
        let mut counts = SourceCounts::new(start);
        let polls = |counts: &SourceCounts| counts.shares(SourceAct::Poll, &[]).total;
        counts.count(start, 1, SourceAct::Poll);
        let next = start + PERIOD;
        counts.count(next, 1, SourceAct::Poll);
        assert_eq!((polls(&counts), counts.start()), (2, start));
        assert_eq!(counts.shares(SourceAct::Poll, &[1]).sources, 1);
        counts.advance(next + PERIOD);
        assert_eq!((polls(&counts), counts.start()), (1, next));
        counts.advance(next + 4 * PERIOD);
        assert_eq!(polls(&counts), 0);
        assert_eq!(counts.start(), next + 4 * PERIOD);
    }

    #[test]
    fn a_full_table_forgets_the_least() {
        let now = clock::now();
        let mut counts = SourceCounts::new(now);
        for source in 0..3 * SOURCES_MAX as u64 {
            counts.count(now, source, SourceAct::Poll);
            counts.count(now, u64::MAX, SourceAct::Poll);
            assert!(counts.recent.by_source.len() <= SOURCES_MAX);
        }
        let polls = counts.shares(SourceAct::Poll, &[1]);
        assert_eq!(polls.total, 6 * SOURCES_MAX as u64);
        assert_eq!(polls.top, [0.5]);
    }
}
