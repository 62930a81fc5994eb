//! The matches of sources at the other nodes of a cluster, so that whoever polls at all of them
//! has no more than its share. Each node tells of its busiest ones, under a key of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use ipnet::IpNet;

use crate::matching::{MatchTally, MatchesElsewhere};
use crate::metrics::labels::PeerName;

use super::limits::LimitKey;

/// The time for which a node's word counts.
const FRESH_FOR: Duration = Duration::from_secs(3);
/// The number of sources and networks of which a node tells.
pub(super) const TOLD_MAX: usize = 64;

/// The matches of the last minute of a node's busiest sources and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTallies {
    /// The node's key of the day, by which their numbers are hashes.
    pub key: [u8; 16],
    /// The matches; [`TOLD_MAX`] of sources and as many of networks count.
    pub tallies: Vec<MatchTally>,
}

/// The other nodes' sources, as far as they are known. Bounded by the number of nodes.
#[derive(Debug, Default)]
pub(super) struct SourcesElsewhere(BTreeMap<PeerName, NodeSources>);

#[derive(Debug)]
struct NodeSources {
    key: LimitKey,
    until: Instant,
    tallies: HashMap<u64, MatchTally, FixedState>,
}

impl SourcesElsewhere {
    /// Replaces what a node has said.
    pub(super) fn heard(&mut self, now: Instant, node: &PeerName, word: SourceTallies) {
        self.0.retain(|_, sources| now < sources.until);
        if word.tallies.is_empty() {
            self.0.remove(node);
            return;
        }
        let tallies = word.tallies.into_iter().take(2 * TOLD_MAX);
        let sources = NodeSources {
            key: LimitKey::from(word.key),
            until: now + FRESH_FOR,
            tallies: tallies.map(|tally| (tally.id, tally)).collect(),
        };
        self.0.insert(node.clone(), sources);
    }

    /// The matches at all other nodes of a source and of the network around it.
    pub(super) fn of(&self, now: Instant, source: IpNet, network: IpNet) -> MatchesElsewhere {
        let mut sum = MatchesElsewhere::default();
        for node in self.0.values().filter(|node| now < node.until) {
            let tally = |network| node.tallies.get(&node.key.source(network));
            if let Some(tally) = tally(source) {
                sum.source = sum.source.saturating_add(tally.matches);
                sum.growth = sum.growth.saturating_add(tally.growth);
            }
            if let Some(tally) = tally(network) {
                sum.network = sum.network.saturating_add(tally.matches);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    fn networks() -> [IpNet; 2] {
        ["192.0.2.1/32", "192.0.2.0/24"].map(|network| network.parse().expect("a network"))
    }

    fn word(key: u8, matches: [u32; 2]) -> SourceTallies {
        let key = [key; 16];
        let hashed = networks().map(|network| LimitKey::from(key).source(network));
        let tallies = hashed.iter().zip(matches).map(|(&id, matches)| MatchTally {
            id,
            matches,
            growth: 2,
        });
        SourceTallies {
            key,
            tallies: tallies.collect(),
        }
    }

    #[test]
    fn all_nodes_count_each_under_its_own_key_while_they_are_heard_of() {
        let now = clock::now();
        let mut elsewhere = SourcesElsewhere::default();
        let [source, network] = networks();
        let counted = |elsewhere: &SourcesElsewhere, now| {
            let found = elsewhere.of(now, source, network);
            (found.source, found.growth, found.network)
        };
        elsewhere.heard(now, &PeerName::from("a"), word(1, [5, 6]));
        elsewhere.heard(now, &PeerName::from("b"), word(2, [7, 9]));
        assert_eq!(counted(&elsewhere, now), (12, 4, 15));
        // The last word of a node is what counts.
        elsewhere.heard(now + FRESH_FOR / 2, &PeerName::from("b"), word(2, [1, 1]));
        assert_eq!(counted(&elsewhere, now + FRESH_FOR / 2), (6, 4, 7));
        assert_eq!(counted(&elsewhere, now + FRESH_FOR), (1, 2, 1));
        let nothing = SourceTallies::default();
        elsewhere.heard(now + FRESH_FOR, &PeerName::from("b"), nothing);
        assert!(elsewhere.0.is_empty());
    }

    #[test]
    fn a_long_word_is_cut() {
        let now = clock::now();
        let mut elsewhere = SourcesElsewhere::default();
        let all = 0..10_000;
        let tallies = all.map(|id| MatchTally {
            id,
            matches: 1,
            growth: 0,
        });
        let word = SourceTallies {
            key: [1; 16],
            tallies: tallies.collect(),
        };
        elsewhere.heard(now, &PeerName::from("a"), word);
        let kept = elsewhere.0.values().map(|node| node.tallies.len());
        assert_eq!(kept.sum::<usize>(), 2 * TOLD_MAX);
    }
}
