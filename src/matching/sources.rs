//! The sources of polls: what each has had of late, and what it has.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use slotmap::SlotMap;

use super::busy::BusySources;
use super::outputs::OverShare;
use super::requests::{MatchTally, Source};
use super::source_networks::SourceNetworks;
use super::stand_ins::StandIns;
use super::standing::{
    KnownSource, NetworkKey, SourceKey, SourceNetwork, SourcePolls, Standing, Turns,
};
use super::supply::SupplySettings;
use super::turn_order::Turn;
use crate::wire::nat::NatClass;

/// The time in which a source may have `matches_per_minute`.
const MINUTE: Duration = Duration::from_mins(1);

/// A change of a source's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TurnChange {
    pub(super) from: Turns,
    pub(super) to: Turns,
}

/// The sources whose turns may have changed.
pub(super) type TurnChanges = Vec<(SourceKey, TurnChange)>;

impl TurnChange {
    /// Returns true if the source may have clients again.
    pub(super) fn is_release(self) -> bool {
        self.from.is_none() && self.to.is_some()
    }
}

/// The sources of polls. Each is here as long as it has anything or is among the recent
/// ones, which bounds the tables.
#[derive(Debug)]
pub(super) struct SourceTable {
    settings: SupplySettings,
    standings: SlotMap<SourceKey, Standing>,
    by_id: HashMap<u64, SourceKey, FixedState>,
    networks: SourceNetworks,
    /// The matches of the last minute.
    last_minute: VecDeque<(Instant, SourceKey)>,
    /// The sources of the recent clients of each pool, as far as they are known.
    recent: [VecDeque<Option<SourceKey>>; NatClass::ALL.len()],
    stand_ins: StandIns,
    /// The sources with parked polls that get no client.
    waiting: usize,
    busy: BusySources,
}

impl SourceTable {
    pub(super) fn new(settings: SupplySettings) -> Self {
        Self {
            settings,
            standings: SlotMap::with_key(),
            by_id: HashMap::default(),
            networks: SourceNetworks::default(),
            last_minute: VecDeque::new(),
            recent: Default::default(),
            stand_ins: StandIns::default(),
            waiting: 0,
            busy: BusySources::default(),
        }
    }

    pub(super) fn settings(&self) -> &SupplySettings {
        &self.settings
    }

    /// Replaces the settings. Returns the changes of turns.
    pub(super) fn set_settings(&mut self, settings: SupplySettings) -> TurnChanges {
        let before = self.turns_of_all(self.standings.keys());
        self.settings = settings;
        let is_waiting = |standing: &&Standing| standing.is_waiting(&self.settings);
        self.waiting = self.standings.values().filter(is_waiting).count();
        let mut forgotten = Vec::new();
        for pool in NatClass::ALL {
            while self.has_too_many_recent(pool) {
                forgotten.extend(self.forget_oldest(pool).map(|(key, _)| key));
            }
        }
        let changes = self.changes_since(before);
        for key in forgotten {
            self.leave(key);
        }
        changes
    }

    fn turns_of_all(&self, keys: impl Iterator<Item = SourceKey>) -> Vec<(SourceKey, Turns)> {
        keys.map(|key| (key, self.turns_of(key))).collect()
    }

    fn changes_since(&self, before: Vec<(SourceKey, Turns)>) -> TurnChanges {
        let changes = before.into_iter().map(|(key, from)| {
            let to = self.turns_of(key);
            (key, TurnChange { from, to })
        });
        let is_one = |(_, change): &(SourceKey, TurnChange)| change.from != change.to;
        changes.filter(is_one).collect()
    }

    /// Notes that the source is here. Returns the change of its turns, too, if its share or
    /// record is another than before.
    pub(super) fn enter(&mut self, source: Source) -> (KnownSource, Option<TurnChange>) {
        let id = source.id;
        if let Some(&key) = self.by_id.get(&id) {
            let is_new = |standing: &Standing| {
                standing.share != source.share
                    || standing.record != source.record
                    || standing.elsewhere != source.elsewhere
            };
            let has_changed = self.standings.get(key).is_some_and(is_new);
            let renew = |standing: &mut Standing| {
                standing.share = source.share;
                standing.record = source.record;
                standing.elsewhere = source.elsewhere;
            };
            let change = has_changed.then(|| self.change(key, renew)).flatten();
            return (KnownSource { key, id }, change);
        }
        let network = self.networks.enter(source.network);
        let key = self.standings.insert(Standing {
            id,
            network,
            share: source.share,
            record: source.record,
            elsewhere: source.elsewhere,
            parked: 0,
            unanswered: 0,
            matches: 0,
            recent: [0; NatClass::ALL.len()],
            turn: 0,
            polls: Default::default(),
        });
        self.by_id.insert(id, key);
        if let Some(network) = self.networks.get_mut(network) {
            network.sources.push(key);
        }
        (KnownSource { key, id }, None)
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
        if self.networks.leave(standing.network, key) {
            self.busy.forget_network(standing.network);
        }
    }

    /// The turns of a source.
    pub(super) fn turns_of(&self, key: SourceKey) -> Turns {
        let standing = self.standings.get(key)?;
        let network = self.networks.get(standing.network)?;
        standing.turns(network, &self.settings)
    }

    /// The turn of a source in a pool.
    pub(super) fn turn_in(&self, key: SourceKey, pool: NatClass) -> Option<Turn> {
        self.turns_of(key).map(|turns| turns[pool as usize])
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
    pub(super) fn limit(&self, key: SourceKey, may_rest: bool) -> Option<OverShare> {
        let standing = self.standings.get(key)?;
        if may_rest && standing.record.rests {
            return Some(OverShare::Resting);
        }
        let limit = standing.limit(&self.settings);
        limit.or_else(|| self.is_network_full(standing).then_some(OverShare::Network))
    }

    /// Returns true if other sources that do not rest serve the pool: one of them had a client in
    /// the last minute. Where clients take each poll as it comes, no other is ever parked.
    pub(super) fn is_served(&self, now: Instant, pool: NatClass, besides: u64) -> bool {
        self.stand_ins.has_another(now, pool, besides)
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
        let limit = standing
            .matches_max(&self.settings)
            .saturating_mul(self.settings.sources_per_network)
            .saturating_mul(standing.share);
        let elsewhere = standing.elsewhere.network;
        let network = self.networks.get(standing.network);
        let matches = network.map(|network| network.matches.saturating_add(elsewhere));
        limit > 0 && matches.is_some_and(|matches| matches >= limit)
    }

    /// Counts a poll that is parked from now on.
    pub(super) fn parked(&mut self, key: SourceKey) {
        self.change(key, |standing| standing.parked += 1);
    }

    /// Counts a poll that is no longer parked.
    pub(super) fn unparked(&mut self, key: SourceKey) {
        self.change(key, |standing| standing.parked -= 1);
    }

    /// Gives a poll in this pool a client, as this turn of its source. Returns the changes of
    /// turns.
    pub(super) fn took_turn(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: Option<SourceKey>,
        turn: u64,
    ) -> TurnChanges {
        self.recent[pool as usize].push_back(source);
        let standing = source.and_then(|key| self.standings.get(key));
        if !standing.is_some_and(|standing| standing.record.rests) {
            let id = standing.map(|standing| standing.id);
            self.stand_ins.note(now, pool, id);
        }
        let Some(key) = source else {
            return TurnChanges::new();
        };
        let counts = self.settings.matches_per_minute > 0;
        if counts {
            self.last_minute.push_back((now + MINUTE, key));
            self.count_in_network(key, 1);
        }
        let changes = self.change_recent(key, pool, 1, |standing| {
            standing.turn = turn;
            standing.unanswered += 1;
            standing.matches += u32::from(counts);
        });
        self.note_busy(key);
        changes
    }

    /// Forgets the oldest recent client of a pool that has too many. Returns its source, if
    /// that is known, and the changes.
    pub(super) fn forget_oldest(&mut self, pool: NatClass) -> Option<(SourceKey, TurnChanges)> {
        if !self.has_too_many_recent(pool) {
            return None;
        }
        let key = self.recent[pool as usize].pop_front()??;
        Some((key, self.change_recent(key, pool, -1, |_| ())))
    }

    /// Changes a source, its recent clients and those of its network, which may change the
    /// turns of all in it.
    fn change_recent(
        &mut self,
        key: SourceKey,
        pool: NatClass,
        by: i32,
        change: impl FnOnce(&mut Standing),
    ) -> TurnChanges {
        let Some(standing) = self.standings.get(key) else {
            return TurnChanges::new();
        };
        let network = standing.network;
        let before = self.turns_of_all(self.affected(key, network, pool));
        if let Some(network) = self.networks.get_mut(network) {
            add(&mut network.recent[pool as usize], by);
        }
        self.change(key, |standing| {
            change(standing);
            add(&mut standing.recent[pool as usize], by);
        });
        self.changes_since(before)
    }

    /// The sources whose turns change with the recent clients of a source: itself, and all in
    /// its network once that has about its share.
    fn affected(
        &self,
        key: SourceKey,
        network: NetworkKey,
        pool: NatClass,
    ) -> impl Iterator<Item = SourceKey> {
        let least = match self.settings.sources_per_network {
            0 => u32::MAX,
            sources => self.settings.first_come.max(1).saturating_mul(sources),
        };
        let network = self.networks.get(network);
        let has_its_share = move |network: &&SourceNetwork| {
            network.recent[pool as usize].saturating_add(1) >= least
        };
        let all = network.filter(has_its_share);
        let others = all.into_iter().flat_map(|network| &network.sources);
        let others = others.copied().filter(move |&other| other != key);
        iter::once(key).chain(others)
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
        self.note_busy(key);
        Some((key, change))
    }

    fn note_busy(&mut self, key: SourceKey) {
        if let Some(standing) = self.standings.get(key)
            && let Some(network) = self.networks.get(standing.network)
        {
            self.busy.note(key, standing, network);
        }
    }

    /// The sources and the networks with most matches, up to `max` of each.
    pub(super) fn busiest(&self, max: usize) -> Vec<MatchTally> {
        let settings = &self.settings;
        self.busy
            .tallies(&self.standings, &self.networks, settings, max)
    }

    /// Returns true if nothing but memories is left.
    pub(super) fn is_empty(&self) -> bool {
        self.standings.values().all(Standing::has_nothing)
            && self.networks.are_quiet()
            && self.last_minute.is_empty()
            && self.busy.is_empty()
    }

    /// Changes the matches of a source's network.
    fn count_in_network(&mut self, key: SourceKey, change: i32) {
        let network = self.standings.get(key).map(|standing| standing.network);
        if let Some(network) = network.and_then(|network| self.networks.get_mut(network)) {
            add(&mut network.matches, change);
        }
    }

    fn change(&mut self, key: SourceKey, change: impl FnOnce(&mut Standing)) -> Option<TurnChange> {
        let from = self.turns_of(key);
        let standing = self.standings.get_mut(key)?;
        self.waiting -= usize::from(standing.is_waiting(&self.settings));
        change(standing);
        self.waiting += usize::from(standing.is_waiting(&self.settings));
        let to = self.turns_of(key);
        Some(TurnChange { from, to })
    }
}

fn add(count: &mut u32, change: i32) {
    *count = count.saturating_add_signed(change);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;
    use crate::matching::{MatchesElsewhere, SourceRecord};

    /// The table is bounded by what sources have, and by `recent_clients`.
    #[test]
    fn sources_without_anything_are_forgotten() {
        let remembering = SupplySettings {
            matches_per_minute: 0,
            ..SupplySettings::default()
        };
        let mut table = SourceTable::new(remembering.clone());
        let network = 1;
        let keys = [1, 2, 3].map(|id| {
            let (share, record) = (1, SourceRecord::default());
            let source = Source {
                id,
                network,
                share,
                record,
                elsewhere: MatchesElsewhere::default(),
            };
            table.enter(source).0.key
        });
        for (turn, &key) in (1..).zip(&keys) {
            table.took_turn(clock::now(), NatClass::Open, Some(key), turn);
            table.settled(key);
            table.leave(key);
        }
        assert_eq!((table.standings.len(), table.networks.sizes()), (3, [1, 1]));
        table.set_settings(SupplySettings {
            recent_clients: 1,
            ..remembering.clone()
        });
        assert_eq!((table.standings.len(), table.by_id.len()), (1, 1));
        table.set_settings(SupplySettings {
            recent_clients: 0,
            ..remembering
        });
        assert!(table.standings.is_empty() && table.networks.sizes() == [0, 0]);
        assert!(table.is_empty());
    }
}
