//! The sources of polls: what each has had of late, and what it has.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use slotmap::{SlotMap, new_key_type};

use super::outputs::OverShare;
use super::requests::{PollKey, Source};
use super::supply::SupplySettings;
use super::turn_order::{PartyMembers, Turn};
use crate::wire::nat::NatClass;

new_key_type! {
    /// The key of a source that is here.
    pub(super) struct SourceKey;
    /// The key of a network with sources.
    struct NetworkKey;
}

/// The rank of a poll among those of its source: by load (clients), then by arrival.
pub(super) type PoolRank = (u64, u64);

/// The parked polls of a source in one pool.
pub(super) type SourcePolls = PartyMembers<PoolRank, PollKey>;

/// A source that is here, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownSource {
    pub(super) key: SourceKey,
    pub(super) id: u64,
}

/// The time in which a source may have `matches_per_minute`.
const MINUTE: Duration = Duration::from_mins(1);

/// The places of a source in the orders of the pools; `None` if it gets no client now.
pub(super) type Turns = Option<[Turn; NatClass::ALL.len()]>;

/// The present holdings of a source.
#[derive(Debug)]
struct Standing {
    id: u64,
    network: NetworkKey,
    /// The multiple of the limits.
    share: u32,
    /// Parked polls.
    parked: u32,
    /// Offers without an answer, whose clients wait.
    unanswered: u32,
    /// Matches of the last minute.
    matches: u32,
    /// Clients among the recent ones of each pool.
    recent: [u32; NatClass::ALL.len()],
    /// The number of its last turn.
    turn: u64,
    polls: [SourcePolls; NatClass::ALL.len()],
}

impl Standing {
    /// The limit that the source has reached, so that it gets no client.
    fn limit(&self, settings: &SupplySettings) -> Option<OverShare> {
        let has = |count: u32, limit: u32| {
            let limit = limit.saturating_mul(self.share);
            limit > 0 && count >= limit
        };
        if has(self.matches, settings.matches_per_minute) {
            Some(OverShare::Matches)
        } else if has(self.unanswered, settings.unanswered) {
            Some(OverShare::Unanswered)
        } else {
            None
        }
    }

    /// In each pool the source is served as its polls come, until it has had its share of
    /// the recent clients; then by its last turn.
    fn turns(&self, settings: &SupplySettings) -> Turns {
        let share = settings.first_come.saturating_mul(self.share).max(1);
        let turn = |recent: u32| {
            if recent < share {
                Turn::FIRST_COME
            } else {
                Turn::last(self.turn)
            }
        };
        let may_have = self.limit(settings).is_none();
        may_have.then(|| self.recent.map(turn))
    }

    /// Returns true if only memories of it are left.
    fn has_nothing(&self) -> bool {
        self.parked == 0 && self.unanswered == 0 && self.matches == 0
    }

    /// Returns true if it has parked polls that get no client now.
    fn is_waiting(&self, turns: Turns) -> bool {
        self.parked > 0 && turns.is_none()
    }

    fn is_gone(&self) -> bool {
        self.has_nothing() && self.recent.iter().all(|&recent| recent == 0)
    }
}

/// A change of a source's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TurnChange {
    pub(super) from: Turns,
    pub(super) to: Turns,
}

impl TurnChange {
    /// Returns true if the source may have clients again.
    pub(super) fn is_release(self) -> bool {
        self.from.is_none() && self.to.is_some()
    }
}

/// A network with sources.
#[derive(Debug)]
struct SourceNetwork {
    id: u64,
    sources: u32,
    /// The matches of the last minute of all its sources.
    matches: u32,
}

/// The sources of polls. Each is here as long as it has anything or is among the recent
/// ones, which bounds the tables.
#[derive(Debug)]
pub(super) struct SourceTable {
    settings: SupplySettings,
    standings: SlotMap<SourceKey, Standing>,
    by_id: HashMap<u64, SourceKey, FixedState>,
    networks: SlotMap<NetworkKey, SourceNetwork>,
    networks_by_id: HashMap<u64, NetworkKey, FixedState>,
    /// The matches of the last minute.
    last_minute: VecDeque<(Instant, SourceKey)>,
    /// The sources of the recent clients of each pool, as far as they are known.
    recent: [VecDeque<Option<SourceKey>>; NatClass::ALL.len()],
    /// The sources with parked polls that get no client.
    waiting: usize,
}

impl SourceTable {
    pub(super) fn new(settings: SupplySettings) -> Self {
        Self {
            settings,
            standings: SlotMap::with_key(),
            by_id: HashMap::default(),
            networks: SlotMap::with_key(),
            networks_by_id: HashMap::default(),
            last_minute: VecDeque::new(),
            recent: Default::default(),
            waiting: 0,
        }
    }

    pub(super) fn settings(&self) -> &SupplySettings {
        &self.settings
    }

    /// Replaces the settings. Returns the changes of turns.
    pub(super) fn set_settings(
        &mut self,
        settings: SupplySettings,
    ) -> Vec<(SourceKey, TurnChange)> {
        let standings = self.standings.iter();
        let before: Vec<(SourceKey, Turns)> = standings
            .map(|(key, standing)| (key, standing.turns(&self.settings)))
            .collect();
        self.settings = settings;
        let standings = self.standings.values();
        self.waiting = standings
            .filter(|standing| standing.is_waiting(standing.turns(&self.settings)))
            .count();
        for pool in NatClass::ALL {
            while self.has_too_many_recent(pool) {
                self.forget_oldest(pool);
            }
        }
        let changes = before.into_iter().map(|(key, from)| {
            let to = self.turns_of(key);
            (key, TurnChange { from, to })
        });
        changes
            .filter(|(_, change)| change.from != change.to)
            .collect()
    }

    /// Notes that the source is here. Returns the change of its turns, too, if its share is
    /// another than before.
    pub(super) fn enter(&mut self, source: Source) -> (KnownSource, Option<TurnChange>) {
        let id = source.id;
        if let Some(&key) = self.by_id.get(&id) {
            let is_new = |standing: &Standing| standing.share != source.share;
            let has_changed = self.standings.get(key).is_some_and(is_new);
            let change = has_changed
                .then(|| self.change(key, |standing| standing.share = source.share))
                .flatten();
            return (KnownSource { key, id }, change);
        }
        let network = self.enter_network(source.network);
        let key = self.standings.insert(Standing {
            id,
            network,
            share: source.share,
            parked: 0,
            unanswered: 0,
            matches: 0,
            recent: [0; NatClass::ALL.len()],
            turn: 0,
            polls: Default::default(),
        });
        self.by_id.insert(id, key);
        (KnownSource { key, id }, None)
    }

    fn enter_network(&mut self, id: u64) -> NetworkKey {
        let networks = &mut self.networks;
        let key = *self.networks_by_id.entry(id).or_insert_with(|| {
            networks.insert(SourceNetwork {
                id,
                sources: 0,
                matches: 0,
            })
        });
        if let Some(network) = networks.get_mut(key) {
            network.sources += 1;
        }
        key
    }

    /// Forgets a source that has nothing and is not among the recent ones.
    pub(super) fn leave(&mut self, key: SourceKey) {
        if !self.standings.get(key).is_some_and(Standing::is_gone) {
            return;
        }
        let Some(standing) = self.standings.remove(key) else {
            return;
        };
        self.by_id.remove(&standing.id);
        let Some(network) = self.networks.get_mut(standing.network) else {
            return;
        };
        network.sources -= 1;
        if network.sources == 0 {
            self.networks_by_id.remove(&network.id);
            self.networks.remove(standing.network);
        }
    }

    /// The turns of a source.
    pub(super) fn turns_of(&self, key: SourceKey) -> Turns {
        self.standings.get(key)?.turns(&self.settings)
    }

    /// The parked polls of a source in a pool.
    pub(super) fn polls(&self, key: SourceKey, pool: NatClass) -> Option<&SourcePolls> {
        let standing = self.standings.get(key)?;
        Some(&standing.polls[pool as usize])
    }

    pub(super) fn polls_mut(&mut self, key: SourceKey, pool: NatClass) -> Option<&mut SourcePolls> {
        let standing = self.standings.get_mut(key)?;
        Some(&mut standing.polls[pool as usize])
    }

    /// The number of a source.
    pub(super) fn id_of(&self, key: SourceKey) -> Option<u64> {
        Some(self.standings.get(key)?.id)
    }

    /// The limit because of which a new poll of the source gets no client.
    pub(super) fn limit(&self, key: SourceKey) -> Option<OverShare> {
        let standing = self.standings.get(key)?;
        let limit = standing.limit(&self.settings);
        limit.or_else(|| self.is_network_full(standing).then_some(OverShare::Network))
    }

    /// Returns true if no further poll of the source is parked.
    pub(super) fn is_parking_full(&self, key: SourceKey) -> bool {
        self.standings.get(key).is_some_and(|standing| {
            let limit = self.settings.parked_per_source;
            let limit = limit.saturating_mul(standing.share);
            limit > 0 && standing.parked >= limit
        })
    }

    fn is_network_full(&self, standing: &Standing) -> bool {
        let limit = self
            .settings
            .matches_per_minute
            .saturating_mul(self.settings.sources_per_network)
            .saturating_mul(standing.share);
        let network = self.networks.get(standing.network);
        limit > 0 && network.is_some_and(|network| network.matches >= limit)
    }

    /// Counts a poll that is parked from now on.
    pub(super) fn parked(&mut self, key: SourceKey) {
        self.change(key, |standing| standing.parked += 1);
    }

    /// Counts a poll that is no longer parked.
    pub(super) fn unparked(&mut self, key: SourceKey) {
        self.change(key, |standing| standing.parked -= 1);
    }

    /// Gives a poll in this pool a client, as this turn of its source.
    pub(super) fn took_turn(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: Option<SourceKey>,
        turn: u64,
    ) -> Option<TurnChange> {
        self.recent[pool as usize].push_back(source);
        let key = source?;
        let counts = self.settings.matches_per_minute > 0;
        if counts {
            self.last_minute.push_back((now + MINUTE, key));
            self.count_in_network(key, 1);
        }
        self.change(key, |standing| {
            standing.turn = turn;
            standing.unanswered += 1;
            standing.matches += u32::from(counts);
            standing.recent[pool as usize] += 1;
        })
    }

    /// Forgets the oldest recent client of a pool that has too many. Returns its source, if
    /// that is known, and the change.
    pub(super) fn forget_oldest(&mut self, pool: NatClass) -> Option<(SourceKey, TurnChange)> {
        if !self.has_too_many_recent(pool) {
            return None;
        }
        let key = self.recent[pool as usize].pop_front()??;
        let change = self.change(key, |standing| standing.recent[pool as usize] -= 1)?;
        Some((key, change))
    }

    fn has_too_many_recent(&self, pool: NatClass) -> bool {
        self.recent[pool as usize].len() > self.settings.recent_clients
    }

    /// Ends an offer that had no answer.
    pub(super) fn settled(&mut self, key: SourceKey) -> Option<TurnChange> {
        self.change(key, |standing| standing.unanswered -= 1)
    }

    /// The time at which the oldest match is over a minute ago.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.last_minute.front().map(|&(at, _)| at)
    }

    /// The same if a source waits for it.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_expiry().filter(|_| self.waiting > 0)
    }

    /// Forgets the oldest match of the last minute.
    pub(super) fn expire(&mut self) -> Option<(SourceKey, TurnChange)> {
        let (_, key) = self.last_minute.pop_front()?;
        self.count_in_network(key, -1);
        let change = self.change(key, |standing| standing.matches -= 1)?;
        Some((key, change))
    }

    /// Returns true if nothing but memories is left.
    pub(super) fn is_empty(&self) -> bool {
        self.standings.values().all(Standing::has_nothing)
            && self.networks.values().all(|network| network.matches == 0)
            && self.last_minute.is_empty()
    }

    /// Changes the matches of a source's network.
    fn count_in_network(&mut self, key: SourceKey, change: i32) {
        let network = self.standings.get(key).map(|standing| standing.network);
        if let Some(network) = network.and_then(|network| self.networks.get_mut(network)) {
            network.matches = network.matches.saturating_add_signed(change);
        }
    }

    fn change(&mut self, key: SourceKey, change: impl FnOnce(&mut Standing)) -> Option<TurnChange> {
        let standing = self.standings.get_mut(key)?;
        let from = standing.turns(&self.settings);
        self.waiting -= usize::from(standing.is_waiting(from));
        change(standing);
        let to = standing.turns(&self.settings);
        self.waiting += usize::from(standing.is_waiting(to));
        Some(TurnChange { from, to })
    }
}
