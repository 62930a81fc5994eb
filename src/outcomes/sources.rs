//! The records of sources of proxies, from the matches that they had.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::tally::FadingTally;
use crate::matching::{Band, SourceRecord};
use crate::wire::nat::NatClass;

/// The half-life of a source's matches.
const HALF_LIFE: Duration = Duration::from_hours(24);
/// The most matches of a source that count. So two of eight that work are enough for a
/// proxy that has been mended not to be bad any more.
const MATCHES_MAX: f64 = 8.0;
/// The number of matches that the prior is worth.
const PRIOR_WEIGHT: f64 = 3.0;
/// The matches that a source needs to be judged at all: two, of which some is forgotten.
const JUDGED_FROM: f64 = 1.5;
/// The shares of the share of all matches, from which on a source is good, and below which
/// it is bad.
const GOOD: f64 = 0.85;
const BAD: f64 = 0.45;

/// The failures in a row after which a source rests: three unanswered offers, or six
/// matches whose clients came back.
const PATIENCE: f64 = 3.0;
/// The weight of a match whose client came back, which may have been the client's fault.
const CAME_BACK: f64 = 0.5;
/// The failures in a row that are left after a rest, so that one more is enough.
const AFTER_REST: f64 = 2.5;
/// The first rest; each further one is twice as long, up to the longest.
const REST: Duration = Duration::from_mins(2);
const LONGEST_REST: Duration = Duration::from_mins(8);

/// The strict clients in a row that an open proxy fails, and the open ones that it serves,
/// before it counts as strict, and for how long.
const FAILED_STRICT: u8 = 3;
const SERVED_OPEN: u8 = 2;
const COUNTS_AS_STRICT: Duration = Duration::from_hours(6);

/// The quarters of an hour in which matches that worked are counted.
const QUARTERS: usize = 4;
const QUARTER: Duration = Duration::from_mins(15);

/// The result of a match, as far as it says something about the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evidence {
    Worked,
    /// The client came back. Counts less where others fail, too.
    CameBack {
        weight: f64,
    },
    /// The offer was not answered. Counts less where others did not answer either, and
    /// negatively where that was not known before.
    Unanswered {
        weight: f64,
    },
}

impl Evidence {
    /// Returns true if the match has worked, and the weight with which it counts for its kind.
    pub(super) fn for_kinds(self) -> (bool, f64) {
        match self {
            Self::Worked => (true, 1.0),
            // In a country that is cut off failures have to count, or else nobody would know.
            Self::CameBack { .. } => (false, 1.0),
            Self::Unanswered { weight } => (false, weight),
        }
    }
}

/// The matches of one source.
#[derive(Clone, Debug)]
struct SourceHistory {
    matches: FadingTally,
    /// The share to expect of its kind.
    prior: f64,
    /// Matches that worked, by quarters of an hour, and the number of the last one.
    worked: [u16; QUARTERS],
    quarter: u64,
    failures_in_a_row: f64,
    rests_in_a_row: u32,
    rests_until: Option<Instant>,
    served_open: u8,
    failed_strict: u8,
    strict_until: Option<Instant>,
}

/// The sources, in two tables of which the older one is dropped when the newer one is full
/// or half a day old.
#[derive(Debug)]
pub(super) struct SourceHistories {
    start: Instant,
    since: Instant,
    max: usize,
    newer: HashMap<u64, SourceHistory, FixedState>,
    older: HashMap<u64, SourceHistory, FixedState>,
}

/// The time for which a table is the newer one.
const GENERATION: Duration = Duration::from_hours(12);

impl SourceHistories {
    /// Remembers at least half of `max` sources, and at most `max`.
    pub(super) fn new(now: Instant, max: usize) -> Self {
        Self {
            start: now,
            since: now,
            max,
            newer: HashMap::default(),
            older: HashMap::default(),
        }
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.make_room();
    }

    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Forgets the sources of half a day ago and more, and of a day ago at last.
    pub(super) fn advance(&mut self, now: Instant) {
        while now.saturating_duration_since(self.since) >= GENERATION {
            self.since += GENERATION;
            self.older = std::mem::take(&mut self.newer);
        }
    }

    /// Notes the result of a match with a client of this class. `prior` is the share of
    /// matches that work, to expect of a source of its kind.
    pub(super) fn add(
        &mut self,
        now: Instant,
        source: u64,
        (proxy, client): (NatClass, NatClass),
        evidence: Evidence,
        prior: f64,
    ) {
        self.advance(now);
        let quarter = self.quarter(now);
        let known = self.older.remove(&source);
        let history = self
            .newer
            .entry(source)
            .or_insert_with(|| known.unwrap_or_else(|| SourceHistory::new(now, quarter, prior)));
        history.prior = prior;
        history.add(now, quarter, evidence);
        history.compare_classes(now, (proxy, client), evidence);
        self.make_room();
    }

    /// The record with which a source's poll goes to the engine. `share_of_all` is the share
    /// of all matches that worked.
    pub(super) fn record(&self, now: Instant, source: u64, share_of_all: f64) -> SourceRecord {
        let Some(history) = self.of(source) else {
            return SourceRecord::default();
        };
        SourceRecord {
            band: history.band(now, share_of_all),
            worked: history.worked_in_an_hour(self.quarter(now)),
            rests: history.rests_until.is_some_and(|until| now < until),
        }
    }

    /// Returns true if a proxy of the source that says it is open does not seem to be.
    pub(super) fn counts_as_strict(&self, now: Instant, source: u64) -> bool {
        let until = self.of(source).and_then(|history| history.strict_until);
        until.is_some_and(|until| now < until)
    }

    fn of(&self, source: u64) -> Option<&SourceHistory> {
        let newer = self.newer.get(&source);
        newer.or_else(|| self.older.get(&source))
    }

    fn quarter(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / QUARTER.as_secs()
    }

    fn make_room(&mut self) {
        if self.newer.len() >= self.max.div_ceil(2) {
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

impl SourceHistory {
    fn new(now: Instant, quarter: u64, prior: f64) -> Self {
        Self {
            matches: FadingTally::new(now, 0.0, 0.0),
            prior,
            worked: [0; QUARTERS],
            quarter,
            failures_in_a_row: 0.0,
            rests_in_a_row: 0,
            rests_until: None,
            served_open: 0,
            failed_strict: 0,
            strict_until: None,
        }
    }

    fn add(&mut self, now: Instant, quarter: u64, evidence: Evidence) {
        let (has_worked, weight, failure) = match evidence {
            Evidence::Worked => (true, 1.0, 0.0),
            Evidence::CameBack { weight } => (false, weight, CAME_BACK * weight),
            Evidence::Unanswered { weight } => (false, weight, weight),
        };
        self.matches.add(now, HALF_LIFE, has_worked, weight);
        self.matches.limit(MATCHES_MAX);
        if has_worked {
            self.failures_in_a_row = 0.0;
            self.rests_in_a_row = 0;
            self.rests_until = None;
            self.advance(quarter);
            let place = place(quarter);
            self.worked[place] = self.worked[place].saturating_add(1);
            return;
        }
        self.failures_in_a_row = (self.failures_in_a_row + failure).max(0.0);
        let is_resting = self.rests_until.is_some_and(|until| now < until);
        if self.failures_in_a_row >= PATIENCE && !is_resting {
            let rest = REST * 2_u32.pow(self.rests_in_a_row);
            self.rests_until = Some(now + rest.min(LONGEST_REST));
            self.rests_in_a_row = (self.rests_in_a_row + 1).min(2);
            self.failures_in_a_row = AFTER_REST;
        }
    }

    /// Notes whether an open proxy serves only clients that a strict one could serve.
    fn compare_classes(
        &mut self,
        now: Instant,
        (proxy, client): (NatClass, NatClass),
        evidence: Evidence,
    ) {
        if proxy != NatClass::Open {
            return;
        }
        let count = match (client, evidence) {
            (NatClass::Open, Evidence::Worked) => &mut self.served_open,
            (NatClass::Strict, Evidence::CameBack { weight }) if weight > 0.5 => {
                &mut self.failed_strict
            }
            (NatClass::Strict, Evidence::Worked) => {
                self.failed_strict = 0;
                return;
            }
            _ => return,
        };
        *count = count.saturating_add(1);
        if self.failed_strict >= FAILED_STRICT && self.served_open >= SERVED_OPEN {
            *self = Self {
                strict_until: Some(now + COUNTS_AS_STRICT),
                ..Self::new(now, self.quarter, self.prior)
            };
        }
    }

    fn band(&self, now: Instant, share_of_all: f64) -> Band {
        let matches = self.matches.at(now, HALF_LIFE);
        // In a shutdown even the best fail: then nobody is taken to work better than all do.
        let prior = self.prior.min(share_of_all);
        let share = matches.share(prior, PRIOR_WEIGHT);
        if matches.count() < JUDGED_FROM {
            Band::Unknown
        } else if share >= GOOD * share_of_all {
            Band::Good
        } else if share < BAD * share_of_all {
            Band::Bad
        } else {
            Band::Unknown
        }
    }

    fn worked_in_an_hour(&self, quarter: u64) -> u32 {
        let passed = quarter.saturating_sub(self.quarter);
        let left = QUARTERS.saturating_sub(usize::try_from(passed).unwrap_or(QUARTERS));
        // The oldest ones are forgotten first.
        let kept = (0..left as u64).map(|back| self.worked[place(self.quarter.wrapping_sub(back))]);
        kept.map(u32::from).sum()
    }

    /// Forgets the quarters of an hour ago.
    fn advance(&mut self, quarter: u64) {
        let passed = quarter.saturating_sub(self.quarter).min(QUARTERS as u64);
        for back in 0..passed {
            self.worked[place(quarter.wrapping_sub(back))] = 0;
        }
        self.quarter = self.quarter.max(quarter);
    }
}

/// The place of a quarter of an hour.
fn place(quarter: u64) -> usize {
    usize::try_from(quarter % QUARTERS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;
    use Evidence::Worked;

    const ALL: f64 = 0.7;
    const CLASSES: (NatClass, NatClass) = (NatClass::Open, NatClass::Strict);
    const CAME_BACK: Evidence = Evidence::CameBack { weight: 1.0 };
    const UNANSWERED: Evidence = Evidence::Unanswered { weight: 1.0 };

    fn with(evidence: &[Evidence]) -> (Instant, SourceHistories) {
        let now = clock::now();
        let mut sources = SourceHistories::new(now, 100);
        for &one in evidence {
            sources.add(now, 1, CLASSES, one, ALL);
        }
        (now, sources)
    }

    fn band(evidence: &[Evidence]) -> Band {
        let (now, sources) = with(evidence);
        sources.record(now, 1, ALL).band
    }

    #[test]
    fn a_source_is_judged_by_its_matches() {
        assert_eq!(band(&[]), Band::Unknown);
        assert_eq!(band(&[Worked]), Band::Unknown);
        assert_eq!(band(&[Worked, Worked]), Band::Good);
        assert_eq!(band(&[CAME_BACK, CAME_BACK]), Band::Unknown);
        assert_eq!(band(&[CAME_BACK; 4]), Band::Bad);
        assert_eq!(band(&[UNANSWERED; 4]), Band::Bad);
        let one_in_four = [Worked, CAME_BACK, Worked, Worked];
        assert_eq!(band(&one_in_four.repeat(5)), Band::Good);
        let one_in_two = [Worked, CAME_BACK];
        assert_eq!(band(&one_in_two.repeat(5)), Band::Unknown);
    }

    #[test]
    fn two_matches_are_enough_for_hours() {
        let (start, mut sources) = with(&[Worked]);
        let later = start + Duration::from_mins(30);
        sources.add(later, 1, CLASSES, Worked, ALL);
        let evening = later + Duration::from_hours(6);
        assert_eq!(sources.record(evening, 1, ALL).band, Band::Good);
    }

    #[test]
    fn nobody_is_good_who_only_fails_while_all_do() {
        for all in [0.1, 0.2, 0.3] {
            let (now, mut sources) = with(&[]);
            for _ in 0..8 {
                sources.add(now, 1, CLASSES, CAME_BACK, ALL);
                assert_ne!(sources.record(now, 1, all).band, Band::Good, "{all}");
            }
        }
    }

    #[test]
    fn open_proxies_do_not_become_strict_by_a_shutdown() {
        let (now, mut sources) = with(&[Evidence::CameBack { weight: 0.1 }; 9]);
        let open = (NatClass::Open, NatClass::Open);
        for _ in 0..2 {
            sources.add(now, 1, open, Worked, ALL);
        }
        assert!(!sources.counts_as_strict(now, 1));
    }

    /// Whoever was bad for long is not so for ever.
    #[test]
    fn a_mended_proxy_is_known_by_its_next_matches() {
        let mut evidence = vec![CAME_BACK; 100];
        evidence.extend([Worked; 2]);
        assert_eq!(band(&evidence), Band::Unknown);
        evidence.extend([Worked; 5]);
        assert_eq!(band(&evidence), Band::Good);
    }

    #[test]
    fn failures_where_everybody_fails_weigh_little() {
        assert_eq!(
            band(&[Evidence::CameBack { weight: 0.05 }; 30]),
            Band::Unknown
        );
    }

    #[test]
    fn three_unanswered_offers_are_followed_by_rests() {
        let (mut now, mut sources) = with(&[UNANSWERED; 2]);
        let rests = |sources: &SourceHistories, now| sources.record(now, 1, ALL).rests;
        assert!(!rests(&sources, now));
        for minutes in [2, 4, 8, 8] {
            sources.add(now, 1, CLASSES, UNANSWERED, ALL);
            let rest = Duration::from_mins(minutes);
            let before = now + rest.mul_f64(0.99);
            let end = now + rest;
            assert!(rests(&sources, before), "{minutes}");
            assert!(!rests(&sources, end), "{minutes}");
            now = end;
        }
        sources.add(now, 1, CLASSES, Worked, ALL);
        sources.add(now, 1, CLASSES, UNANSWERED, ALL);
        assert!(!rests(&sources, now));
    }

    #[test]
    fn clients_that_come_back_take_six_for_a_rest() {
        let (now, sources) = with(&[CAME_BACK; 5]);
        assert!(!sources.record(now, 1, ALL).rests);
        let (now, sources) = with(&[CAME_BACK; 6]);
        assert!(sources.record(now, 1, ALL).rests);
    }

    #[test]
    fn matches_that_worked_count_for_an_hour() {
        let (start, mut sources) = with(&[Worked; 3]);
        let worked = |sources: &SourceHistories, minutes| {
            let now = start + Duration::from_mins(minutes);
            sources.record(now, 1, ALL).worked
        };
        assert_eq!((worked(&sources, 0), worked(&sources, 59)), (3, 3));
        assert_eq!(worked(&sources, 60), 0);
        sources.add(start + Duration::from_mins(46), 1, CLASSES, Worked, ALL);
        assert_eq!((worked(&sources, 59), worked(&sources, 60)), (4, 1));
        sources.add(start + Duration::from_mins(200), 1, CLASSES, Worked, ALL);
        assert_eq!(worked(&sources, 200), 1);
    }

    #[test]
    fn an_open_proxy_that_serves_only_open_clients_counts_as_strict() {
        let (now, mut sources) = with(&[CAME_BACK; 3]);
        assert!(!sources.counts_as_strict(now, 1), "nobody was served");
        let open = (NatClass::Open, NatClass::Open);
        sources.add(now, 1, open, Worked, ALL);
        sources.add(now, 1, open, Worked, ALL);
        assert!(sources.counts_as_strict(now, 1));
        assert_eq!(sources.record(now, 1, ALL).band, Band::Unknown);
        assert!(!sources.counts_as_strict(now + COUNTS_AS_STRICT, 1));
    }

    #[test]
    fn an_open_proxy_that_serves_strict_clients_is_open() {
        let (now, mut sources) = with(&[CAME_BACK, CAME_BACK, Worked, CAME_BACK]);
        let open = (NatClass::Open, NatClass::Open);
        for _ in 0..9 {
            sources.add(now, 1, open, Worked, ALL);
        }
        assert!(!sources.counts_as_strict(now, 1));
    }

    #[test]
    fn sources_are_bounded_and_forgotten_after_a_day() {
        let (start, mut sources) = with(&[]);
        for source in 0..1_000 {
            sources.add(start, source, CLASSES, Worked, ALL);
            assert!(sources.len() <= 100);
        }
        sources.add(start, 999, CLASSES, Worked, ALL);
        assert_eq!(sources.record(start, 999, ALL).worked, 2);
        for hours in [12, 24] {
            let later = start + Duration::from_hours(hours);
            sources.add(later, 7, CLASSES, Worked, ALL);
        }
        assert_eq!(sources.len(), 1);
    }

    #[test]
    fn a_source_is_forgotten_12_to_24_hours_after_its_last_outcome_though_no_other_has_one() {
        for begun in [0, 6, 11] {
            let (start, mut sources) = with(&[]);
            let last = start + Duration::from_hours(begun);
            sources.add(last, 1, CLASSES, Worked, ALL);
            sources.advance(last + Duration::from_hours(12));
            assert_eq!(sources.len(), 1, "{begun}");
            sources.advance(last + Duration::from_hours(24));
            assert_eq!(sources.len(), 0, "{begun}");
        }
    }
}
