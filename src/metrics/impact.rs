//! The broker's impact on clients: the results of their matches, by what these have in
//! common, and their episodes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::crowd::{Crowd, HourlyHash};
use super::episodes::{EpisodeCounts, share};
use super::labels::{MatchOutcome, Rendezvous};
use crate::geoip::CountryCode;
use crate::wire::nat::NatClass;
use crate::wire::proxy::{ProxyType, ProxyTypes};

/// A match whose outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchEnd {
    /// The outcome.
    pub outcome: MatchOutcome,
    /// The client's NAT class.
    pub client: NatClass,
    /// The client's country.
    pub country: CountryCode,
    /// The client's address; `None` if that is not known.
    pub address: Option<HourlyHash>,
    /// The proxy's type and NAT class; `None` if it is a peer's.
    pub proxy: Option<(ProxyType, NatClass)>,
    /// The client's rendezvous method.
    pub rendezvous: Rendezvous,
}

/// A property that matches have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchGroup {
    /// All matches, also those with a proxy of a peer.
    All,
    /// The NAT classes of client and proxy.
    NatPair(NatClass, NatClass),
    /// The client's rendezvous method.
    Rendezvous(Rendezvous),
    /// The type of the proxy.
    ProxyType(ProxyType),
    /// The client's country.
    Country(CountryCode),
}

/// Numbers of matches, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts([u64; MatchOutcome::ALL.len()]);

/// The results of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupResults {
    /// The group.
    pub group: MatchGroup,
    /// Its matches.
    pub counts: OutcomeCounts,
    /// True if they are of 8 addresses of clients or more. Otherwise they are not for
    /// others' eyes.
    pub is_crowd: bool,
}

/// The impact in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The beginning of the span.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
    /// The largest number of different clients within two minutes.
    pub most_clients: u64,
    /// The episodes that began or were decided.
    pub episodes: EpisodeCounts,
    /// The matches whose result became known. Groups without any may be missing.
    pub groups: Vec<GroupResults>,
}

impl OutcomeCounts {
    /// The number with this outcome.
    pub fn of(&self, outcome: MatchOutcome) -> u64 {
        self.0[outcome as usize]
    }

    /// The share (0 to 1) that worked, of those whose result is known; `None` if it is
    /// known of none.
    pub fn share_that_worked(&self) -> Option<f64> {
        let known = MatchOutcome::ALL.into_iter();
        let known = known.filter(|outcome| *outcome != MatchOutcome::Unknown);
        let worked = self.of(MatchOutcome::Worked);
        share(worked, known.map(|outcome| self.of(outcome)).sum())
    }

    fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|place| {
            self.0[place].saturating_add(other.0[place])
        }))
    }

    fn add(&mut self, outcome: MatchOutcome) {
        self.0[outcome as usize] += 1;
    }

    fn since(&self, then: &Self) -> Self {
        Self(std::array::from_fn(|place| {
            self.0[place].saturating_sub(then.0[place])
        }))
    }
}

impl From<[u64; MatchOutcome::ALL.len()]> for OutcomeCounts {
    fn from(by_outcome: [u64; MatchOutcome::ALL.len()]) -> Self {
        Self(by_outcome)
    }
}

/// The impact since the start of the process, and what makes it that of the window.
#[derive(Clone, Debug)]
pub(super) struct ImpactCounts {
    groups: BTreeMap<MatchGroup, Tallied>,
    episodes: EpisodeCounts,
    /// The episodes at the start of the window, or of this process if that is later.
    episodes_before: EpisodeCounts,
    /// The window's episodes from before this process started, and since when.
    episodes_restored: EpisodeCounts,
    restored_since: Option<SystemTime>,
    most_clients: u64,
}

/// The matches of a group.
#[derive(Clone, Debug, Default)]
struct Tallied {
    counts: OutcomeCounts,
    /// As with the episodes.
    before: OutcomeCounts,
    restored: OutcomeCounts,
    /// The addresses of clients in the window.
    crowd: Crowd,
}

impl ImpactCounts {
    pub(super) fn new(types: &ProxyTypes) -> Self {
        let classes = NatClass::ALL.into_iter();
        let pairs = classes
            .flat_map(|client| NatClass::ALL.map(|proxy| MatchGroup::NatPair(client, proxy)));
        let groups = [MatchGroup::All, MatchGroup::Country(CountryCode::UNKNOWN)]
            .into_iter()
            .chain(pairs)
            .chain(Rendezvous::ALL.map(MatchGroup::Rendezvous))
            .chain(types.iter().map(MatchGroup::ProxyType));
        Self {
            groups: groups.map(|group| (group, Tallied::default())).collect(),
            episodes: EpisodeCounts::default(),
            episodes_before: EpisodeCounts::default(),
            episodes_restored: EpisodeCounts::default(),
            restored_since: None,
            most_clients: 0,
        }
    }

    /// Counts a match whose outcome is known.
    pub(super) fn match_ended(&mut self, end: MatchEnd) {
        let proxy = end.proxy.map(|(proxy_type, class)| {
            [
                MatchGroup::NatPair(end.client, class),
                MatchGroup::ProxyType(proxy_type),
            ]
        });
        let groups = [
            MatchGroup::All,
            MatchGroup::Rendezvous(end.rendezvous),
            MatchGroup::Country(end.country),
        ];
        for group in groups.into_iter().chain(proxy.into_iter().flatten()) {
            let tallied = self.groups.entry(group).or_default();
            tallied.counts.add(end.outcome);
            if let Some(address) = end.address {
                tallied.crowd.add(address);
            }
        }
    }

    /// Adds to the episodes. `clients` is the number of different clients of late.
    pub(super) fn episodes(&mut self, episodes: &EpisodeCounts, clients: u64) {
        self.episodes = self.episodes.plus(episodes);
        self.most_clients = self.most_clients.max(clients);
    }

    /// The episodes since the start of the process.
    pub(super) fn all_episodes(&self) -> &EpisodeCounts {
        &self.episodes
    }

    /// The results since the start of the process, except for countries of few.
    pub(super) fn results(&self) -> impl Iterator<Item = (MatchGroup, OutcomeCounts)> {
        let groups = self.groups.iter();
        let shown = groups.filter(|(group, tallied)| {
            tallied.crowd.is_one() || !matches!(group, MatchGroup::Country(_))
        });
        shown.map(|(group, tallied)| (*group, tallied.counts))
    }

    /// The impact in the window so far, which began at `window_start`. It is that since
    /// `process_start` if that is later, unless an earlier process' counts were restored.
    pub(super) fn window(
        &self,
        window_start: SystemTime,
        process_start: SystemTime,
        end: SystemTime,
    ) -> Impact {
        let since = self.restored_since.unwrap_or(process_start);
        let groups = self.groups.iter().map(|(&group, tallied)| GroupResults {
            group,
            counts: tallied
                .counts
                .since(&tallied.before)
                .plus(&tallied.restored),
            is_crowd: tallied.crowd.is_one(),
        });
        let episodes = self.episodes.since(&self.episodes_before);
        Impact {
            start: window_start.max(since),
            end,
            most_clients: self.most_clients,
            episodes: episodes.plus(&self.episodes_restored),
            groups: groups.collect(),
        }
    }

    /// Ends the window and begins the next one.
    pub(super) fn end_window(&mut self) {
        self.episodes_before = self.episodes;
        self.episodes_restored = EpisodeCounts::default();
        self.restored_since = None;
        self.most_clients = 0;
        for tallied in self.groups.values_mut() {
            tallied.before = tallied.counts;
            tallied.restored = OutcomeCounts::default();
            tallied.crowd = Crowd::default();
        }
    }

    /// Continues an earlier process' impact in the window.
    pub(super) fn restore(&mut self, impact: &Impact) {
        self.end_window();
        self.episodes_restored = impact.episodes;
        self.restored_since = Some(impact.start);
        self.most_clients = impact.most_clients;
        for results in &impact.groups {
            let tallied = self.groups.entry(results.group).or_default();
            tallied.restored = results.counts;
            if results.is_crowd {
                tallied.crowd = Crowd::known();
            }
        }
    }
}
