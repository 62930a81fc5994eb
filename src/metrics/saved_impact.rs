//! The saved form of the impact in a window, from which the next process continues it. It
//! has counts only: the addresses of a group that is not a crowd yet are not saved.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::episodes::EpisodeCounts;
use super::impact::{GroupResults, Impact, MatchGroup, OutcomeCounts};
use super::labels::{Label as _, MatchOutcome, Rendezvous};
use super::timestamp;
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyTypes;

/// The impact in a window so far. Private to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedImpact {
    #[serde(with = "timestamp")]
    start: SystemTime,
    most_clients: u64,
    episodes: [Vec<u64>; 3],
    groups: Vec<SavedGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedGroup {
    group: String,
    counts: [u64; MatchOutcome::ALL.len()],
    is_crowd: bool,
}

impl SavedImpact {
    /// The counts of this impact; `None` if there are none.
    pub(super) fn of(impact: &Impact) -> Option<Self> {
        let groups = impact.groups.iter();
        let groups = groups.filter(|results| results.counts != OutcomeCounts::default());
        let groups: Vec<_> = groups.map(SavedGroup::of).collect();
        let has_counts = !groups.is_empty() || impact.episodes != EpisodeCounts::default();
        has_counts.then(|| Self {
            start: impact.start,
            most_clients: impact.most_clients,
            episodes: impact.episodes.numbers(),
            groups,
        })
    }

    /// The impact of both. The largest numbers of clients are added, since hardly a client
    /// is at several nodes.
    #[must_use]
    pub(super) fn merge(self, other: Self) -> Self {
        let mut groups: BTreeMap<_, _> = self.groups.into_iter().map(SavedGroup::entry).collect();
        for saved in other.groups {
            let (group, saved) = saved.entry();
            let both = match groups.remove(&group) {
                Some(ours) => saved.plus(&ours),
                None => saved,
            };
            groups.insert(group, both);
        }
        let [ours, theirs] = [&self.episodes, &other.episodes]
            .map(|saved| EpisodeCounts::from_numbers(saved).unwrap_or_default());
        Self {
            start: self.start.min(other.start),
            most_clients: self.most_clients.saturating_add(other.most_clients),
            episodes: ours.plus(&theirs).numbers(),
            groups: groups.into_values().collect(),
        }
    }

    /// The impact with these counts. Types that are not told apart any more are left out,
    /// as are episodes of a release that counted them by other buckets.
    pub(super) fn impact(&self, types: &ProxyTypes) -> Impact {
        let groups = self.groups.iter();
        Impact {
            start: self.start,
            end: self.start,
            most_clients: self.most_clients,
            episodes: EpisodeCounts::from_numbers(&self.episodes).unwrap_or_default(),
            groups: groups.filter_map(|saved| saved.results(types)).collect(),
        }
    }
}

impl SavedGroup {
    fn of(results: &GroupResults) -> Self {
        Self {
            group: name(results.group),
            counts: MatchOutcome::ALL.map(|outcome| results.counts.of(outcome)),
            is_crowd: results.is_crowd,
        }
    }

    fn entry(self) -> (String, Self) {
        (self.group.clone(), self)
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|place| {
                self.counts[place].saturating_add(other.counts[place])
            }),
            is_crowd: self.is_crowd || other.is_crowd,
            ..self
        }
    }

    fn results(&self, types: &ProxyTypes) -> Option<GroupResults> {
        Some(GroupResults {
            group: named(&self.group, types)?,
            counts: OutcomeCounts::from(self.counts),
            is_crowd: self.is_crowd,
        })
    }
}

fn name(group: MatchGroup) -> String {
    match group {
        MatchGroup::All => "all".to_owned(),
        MatchGroup::NatPair(client, proxy) => {
            format!("nat {} {}", client.as_str(), proxy.as_str())
        }
        MatchGroup::Rendezvous(way) => format!("rendezvous {way}"),
        MatchGroup::ProxyType(proxy_type) => format!("type {proxy_type}"),
        MatchGroup::Country(country) => format!("country {country}"),
    }
}

fn named(name: &str, types: &ProxyTypes) -> Option<MatchGroup> {
    let words: Vec<_> = name.split(' ').collect();
    match *words {
        ["all"] => Some(MatchGroup::All),
        ["nat", client, proxy] => Some(MatchGroup::NatPair(
            NatClass::from_word(client)?,
            NatClass::from_word(proxy)?,
        )),
        ["rendezvous", way] => Some(MatchGroup::Rendezvous(Rendezvous::from_word(way)?)),
        ["type", proxy_type] => Some(MatchGroup::ProxyType(types.named(proxy_type)?)),
        ["country", country] => Some(MatchGroup::Country(country.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::distinct_ips::WindowKey;
    use crate::metrics::labels::EpisodeResult;
    use crate::metrics::saved_state::SavedState;
    use crate::metrics::{HourlyHash, MatchEnd, Metrics};
    use crate::wire::proxy::ProxyType;

    fn metrics(start: SystemTime) -> Metrics {
        Metrics::new(start, WindowKey::from([1; 16]))
    }

    fn count(metrics: &Metrics, hash: u64) {
        metrics.match_ended(MatchEnd {
            outcome: MatchOutcome::Failed,
            client: NatClass::Strict,
            country: "RU".parse().unwrap(),
            address: Some(HourlyHash { hour: 1, hash }),
            proxy: Some((ProxyType::WEBEXT, NatClass::Open)),
            rendezvous: Rendezvous::Sqs,
        });
        let mut episodes = EpisodeCounts::default();
        episodes.begin();
        episodes.decide(EpisodeResult::Unserved);
        episodes.serve(3, Duration::from_millis(40_500));
        metrics.count_episodes(&episodes, 5);
    }

    #[test]
    fn a_window_goes_on_after_a_restart() {
        let start = SystemTime::UNIX_EPOCH;
        let later = start + Duration::from_hours(2);
        let (in_one, first) = (metrics(start), metrics(start));
        for hash in 0..9 {
            count(&in_one, hash);
            count(&first, hash);
        }
        let saved = first.save().encode();
        let second = metrics(start + Duration::from_hours(1));
        let saved = SavedState::decode(saved.as_bytes()).unwrap();
        second.restore(saved, WindowKey::from([2; 16]));
        count(&in_one, 20);
        count(&second, 20);
        assert_eq!(second.impact(later), in_one.impact(later));
        assert_eq!(second.save().impact, in_one.save().impact);
        let ended = second.end_window(later, WindowKey::from([3; 16]));
        assert!(
            ended
                .impact
                .encode()
                .contains("\"sqs\":{\"worked\":0,\"failed\":16")
        );
        let next = second.impact(later);
        assert_eq!((next.start, next.most_clients), (later, 0));
        assert_eq!(second.save().impact, None);
    }

    /// The state of an earlier release has no impact.
    #[test]
    fn without_a_saved_impact_it_begins_with_the_process() {
        let start = SystemTime::UNIX_EPOCH;
        let saved = metrics(start).save();
        assert_eq!(saved.impact, None);
        let began = start + Duration::from_hours(1);
        let second = metrics(began);
        second.restore(saved, WindowKey::from([2; 16]));
        assert_eq!(second.impact(began).start, began);
    }

    #[test]
    fn what_is_not_known_any_more_is_left_out() {
        let types = ProxyTypes::new(["my-app"]);
        for unknown in ["type webext", "nat open", "country ???", "rendezvous x", ""] {
            assert_eq!(named(unknown, &types), None, "{unknown}");
        }
        assert_eq!(EpisodeCounts::from_numbers(&[vec![], vec![], vec![]]), None);
    }
}
