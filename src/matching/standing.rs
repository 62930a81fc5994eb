//! The holdings of one source, and of the network around it.

use slotmap::new_key_type;

use super::outputs::OverShare;
use super::requests::{Band, MatchesElsewhere, PollKey, SourceRecord};
use super::supply::{SupplySettings, growth};
use super::turn_order::{PartyMembers, Turn};
use crate::wire::nat::NatClass;

new_key_type! {
    /// The key of a source that is here.
    pub(super) struct SourceKey;
    /// The key of a network with sources.
    pub(super) struct NetworkKey;
}

/// A source that is here, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownSource {
    pub(super) key: SourceKey,
    pub(super) id: u64,
}

/// The rank of a poll among those of its source: by load (clients), then by arrival.
pub(super) type PoolRank = (u64, u64);

/// The parked polls of a source in one pool.
pub(super) type SourcePolls = PartyMembers<PoolRank, PollKey>;

/// The places of a source in the orders of the pools; `None` if it gets no client now.
pub(super) type Turns = Option<[Turn; NatClass::ALL.len()]>;

/// The present holdings of a source.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) id: u64,
    pub(super) network: NetworkKey,
    /// The multiple of the limits.
    pub(super) share: u32,
    /// Its record as of its last poll.
    pub(super) record: SourceRecord,
    /// Its matches at other nodes, as of its last poll.
    pub(super) elsewhere: MatchesElsewhere,
    /// Parked polls.
    pub(super) parked: u32,
    /// Offers without an answer, whose clients wait.
    pub(super) unanswered: u32,
    /// Matches of the last minute.
    pub(super) matches: u32,
    /// Clients among the recent ones of each pool.
    pub(super) recent: [u32; NatClass::ALL.len()],
    /// The number of its last turn.
    pub(super) turn: u64,
    pub(super) polls: [SourcePolls; NatClass::ALL.len()],
}

impl Standing {
    /// The limit that the source has reached, so that it gets no client.
    pub(super) fn limit(&self, settings: &SupplySettings) -> Option<OverShare> {
        let has = |count: u32, limit: u32| {
            let limit = limit.saturating_mul(self.share);
            limit > 0 && count >= limit
        };
        let matches = self.matches.saturating_add(self.elsewhere.source);
        if has(matches, self.matches_max(settings)) {
            Some(OverShare::Matches)
        } else if has(self.unanswered, settings.unanswered) {
            Some(OverShare::Unanswered)
        } else {
            None
        }
    }

    /// Its limit of matches a minute, before it is multiplied by its share.
    pub(super) fn matches_max(&self, settings: &SupplySettings) -> u32 {
        settings.matches_per_minute_after(self.growth())
    }

    /// The growth of its limits, by what has worked here and at other nodes.
    fn growth(&self) -> u32 {
        growth(self.record).saturating_add(self.elsewhere.growth)
    }

    /// In each pool the source is served as its polls come, until it or its network has had
    /// its share of the recent clients; then by its last turn among these.
    pub(super) fn turns(&self, network: &SourceNetwork, settings: &SupplySettings) -> Turns {
        let share = settings
            .first_come_after(self.growth())
            .saturating_mul(self.share);
        let of_network = match settings.sources_per_network {
            0 => u32::MAX,
            sources => share.saturating_mul(sources),
        };
        let turn = |pool: NatClass| {
            let recent = self.recent[pool as usize];
            let band = self.record.band;
            let is_within_share = recent < share && network.recent[pool as usize] < of_network;
            if is_within_share {
                return Turn::FIRST_COME.of(band);
            }
            let turn = if recent == 0 {
                Turn::BEFORE_ALL_TURNS
            } else {
                Turn::last(self.turn)
            };
            // However well it works, it comes after those of whom too little is known.
            turn.of(band.max(Band::Unknown))
        };
        let may_have = self.limit(settings).is_none();
        may_have.then(|| NatClass::ALL.map(turn))
    }

    /// Returns true if only memories of it are left.
    pub(super) fn has_nothing(&self) -> bool {
        self.parked == 0 && self.unanswered == 0 && self.matches == 0
    }

    /// Returns true if it has parked polls that get no client now.
    pub(super) fn is_waiting(&self, settings: &SupplySettings) -> bool {
        self.parked > 0 && self.limit(settings).is_some()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.has_nothing() && self.recent.iter().all(|&recent| recent == 0)
    }
}

/// A network with sources.
#[derive(Debug)]
pub(super) struct SourceNetwork {
    pub(super) id: u64,
    pub(super) sources: Vec<SourceKey>,
    /// Clients among the recent ones of each pool.
    pub(super) recent: [u32; NatClass::ALL.len()],
    /// The matches of the last minute of all its sources.
    pub(super) matches: u32,
}
