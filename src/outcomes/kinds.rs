//! The shares of matches that worked, by kind. Nothing here is about a single source or
//! client.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::tally::FadingTally;
use crate::geoip::CountryCode;
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyType;

/// The half-lives of what is known of a kind, and of what happens just now.
const HALF_LIFE: Duration = Duration::from_hours(24);
const RECENT: Duration = Duration::from_mins(30);
/// The share of matches that work while nothing is known, and the number of matches that
/// this is worth.
const PRIOR: f64 = 0.7;
const PRIOR_WEIGHT: f64 = 10.0;

/// A kind of match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MatchKind {
    /// The type of the proxy.
    pub proxy_type: ProxyType,
    /// The proxy's NAT class.
    pub proxy: NatClass,
    /// The client's NAT class.
    pub client: NatClass,
    /// The client's country.
    pub country: CountryCode,
}

/// The matches of each kind.
#[derive(Debug)]
pub(super) struct Kinds {
    by_kind: HashMap<MatchKind, FadingTally, FixedState>,
    by_proxy: HashMap<(ProxyType, NatClass), FadingTally, FixedState>,
    /// The recent matches of each country, and of all.
    by_country: HashMap<CountryCode, FadingTally, FixedState>,
    all: FadingTally,
}

impl Kinds {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            by_kind: HashMap::default(),
            by_proxy: HashMap::default(),
            by_country: HashMap::default(),
            all: FadingTally::new(now, 0.0, 0.0),
        }
    }

    pub(super) fn add(&mut self, now: Instant, kind: MatchKind, has_worked: bool, weight: f64) {
        let none = FadingTally::new(now, 0.0, 0.0);
        let of_proxy = (kind.proxy_type, kind.proxy);
        let recent = self.by_country.entry(kind.country).or_insert(none);
        recent.add(now, RECENT, has_worked, weight);
        self.all.add(now, RECENT, has_worked, weight);
        let by_proxy = self.by_proxy.entry(of_proxy).or_insert(none);
        by_proxy.add(now, HALF_LIFE, has_worked, weight);
        let by_kind = self.by_kind.entry(kind).or_insert(none);
        by_kind.add(now, HALF_LIFE, has_worked, weight);
    }

    /// The share of all recent matches that worked.
    pub(super) fn share_of_all(&self, now: Instant) -> f64 {
        self.all.at(now, RECENT).share(PRIOR, PRIOR_WEIGHT)
    }

    /// The share to expect of a proxy of which nothing else is known.
    pub(super) fn share_of(&self, now: Instant, proxy_type: ProxyType, nat: NatClass) -> f64 {
        let prior = self.share_of_all(now);
        let known = self.by_proxy.get(&(proxy_type, nat));
        known.map_or(prior, |tally| {
            tally.at(now, HALF_LIFE).share(prior, PRIOR_WEIGHT)
        })
    }

    /// The weight (0 to 1) of a failure as evidence against a proxy: less where matches
    /// fail whoever the proxy is, since the country is cut off.
    pub(super) fn weight_of_failure(&self, now: Instant, country: CountryCode) -> f64 {
        let all = self.share_of_all(now);
        let known = self.by_country.get(&country);
        let share = known.map_or(all, |tally| tally.at(now, RECENT).share(all, PRIOR_WEIGHT));
        (share / all).min(1.0)
    }

    /// All kinds as they are now, with the matches that worked and that failed.
    pub(super) fn all(&self, now: Instant) -> impl Iterator<Item = (MatchKind, [f64; 2])> {
        self.by_kind.iter().map(move |(&kind, tally)| {
            let tally = tally.at(now, HALF_LIFE);
            (kind, [tally.worked(), tally.failed()])
        })
    }

    /// Adds a kind of an earlier process, as it was `age` ago. What happened just then is
    /// not restored.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        age: Duration,
        kind: MatchKind,
        counts: [f64; 2],
    ) {
        let [worked, failed] = counts;
        let saved = FadingTally::new(now, worked, failed).at(now + age, HALF_LIFE);
        let none = FadingTally::new(now, 0.0, 0.0);
        let of_proxy = (kind.proxy_type, kind.proxy);
        let by_kind = self.by_kind.entry(kind).or_insert(none);
        let by_proxy = self.by_proxy.entry(of_proxy).or_insert(none);
        for tally in [by_kind, by_proxy] {
            tally.add(now, HALF_LIFE, true, saved.worked());
            tally.add(now, HALF_LIFE, false, saved.failed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    fn kind(proxy_type: ProxyType, country: &str) -> MatchKind {
        MatchKind {
            proxy_type,
            proxy: NatClass::Open,
            client: NatClass::Strict,
            country: country.parse().unwrap(),
        }
    }

    #[test]
    fn a_new_proxy_is_as_good_as_its_kind() {
        let now = clock::now();
        let mut kinds = Kinds::new(now);
        for number in 0..400 {
            kinds.add(now, kind(ProxyType::WEBEXT, "RU"), true, 1.0);
            kinds.add(now, kind(ProxyType::IPTPROXY, "RU"), number % 4 == 0, 1.0);
        }
        let share = |proxy_type| kinds.share_of(now, proxy_type, NatClass::Open);
        assert!(share(ProxyType::WEBEXT) > 0.95);
        assert!((share(ProxyType::IPTPROXY) - 0.25).abs() < 0.02);
        let other = share(ProxyType::STANDALONE);
        assert!((other - kinds.share_of_all(now)).abs() < 1e-9);
    }

    #[test]
    fn failures_of_a_country_that_is_cut_off_weigh_little() {
        let now = clock::now();
        let mut kinds = Kinds::new(now);
        for _ in 0..1_000 {
            kinds.add(now, kind(ProxyType::WEBEXT, "CN"), true, 1.0);
        }
        for _ in 0..300 {
            kinds.add(now, kind(ProxyType::WEBEXT, "IR"), false, 1.0);
        }
        let weight = |country: &str| kinds.weight_of_failure(now, country.parse().unwrap());
        assert!(weight("IR") < 0.05, "{}", weight("IR"));
        assert!(weight("CN") > 0.999);
        assert!(weight("RU") > 0.999, "nothing is known of it");
    }
}
