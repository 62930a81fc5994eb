//! The sources of polls: what each has had of late, and what it has.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::outputs::OverShare;
use super::past_turns::PastTurns;
use super::requests::Source;
use super::supply::SupplySettings;
use super::turn_order::Turn;
use crate::wire::nat::NatClass;

/// The time in which a source may have `matches_per_minute`.
const MINUTE: Duration = Duration::from_mins(1);

/// The places of a source in the orders of the pools; `None` if it gets no client now.
pub(super) type Turns = Option<[Turn; NatClass::ALL.len()]>;

/// The present holdings of a source.
#[derive(Debug)]
struct Standing {
    source: Source,
    /// The number of its last turn.
    turn: u64,
    /// Parked polls.
    parked: u32,
    /// Offers without an answer, whose clients wait.
    unanswered: u32,
    /// Matches of the last minute.
    matches: u32,
    /// Clients among the recent ones of each pool.
    recent: [u32; NatClass::ALL.len()],
}

impl Standing {
    /// The limit that the source has reached, so that it gets no client.
    fn limit(&self, settings: &SupplySettings) -> Option<OverShare> {
        let has = |count: u32, limit: u32| {
            let limit = limit.saturating_mul(self.source.share);
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
        let share = settings.first_come.saturating_mul(self.source.share);
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

/// The sources of polls.
#[derive(Debug)]
pub(super) struct SourceTable {
    settings: SupplySettings,
    present: HashMap<u64, Standing, FixedState>,
    absent: PastTurns,
    /// The parked polls and matches of each network.
    networks: HashMap<u64, u32, FixedState>,
    /// The matches of the last minute.
    last_minute: VecDeque<(Instant, u64)>,
    /// The sources of the recent clients of each pool, as far as they are known.
    recent: [VecDeque<Option<u64>>; NatClass::ALL.len()],
    /// The sources with parked polls that get no client.
    waiting: usize,
}

impl SourceTable {
    pub(super) fn new(settings: SupplySettings) -> Self {
        Self {
            absent: PastTurns::new(settings.max_sources),
            settings,
            present: HashMap::default(),
            networks: HashMap::default(),
            last_minute: VecDeque::new(),
            recent: Default::default(),
            waiting: 0,
        }
    }

    pub(super) fn settings(&self) -> &SupplySettings {
        &self.settings
    }

    /// Replaces the settings. Returns the changes of turns.
    pub(super) fn set_settings(&mut self, settings: SupplySettings) -> Vec<(u64, TurnChange)> {
        self.absent.set_max(settings.max_sources);
        let before: Vec<(u64, Turns)> = self
            .present
            .iter()
            .map(|(&id, standing)| (id, standing.turns(&self.settings)))
            .collect();
        self.settings = settings;
        self.waiting = self
            .present
            .values()
            .filter(|standing| standing.parked > 0 && standing.turns(&self.settings).is_none())
            .count();
        for pool in NatClass::ALL {
            while self.has_too_many_recent(pool) {
                self.forget_oldest(pool);
            }
        }
        let changes = before.into_iter().map(|(id, from)| {
            let to = self.turns_of(id);
            (id, TurnChange { from, to })
        });
        changes
            .filter(|(_, change)| change.from != change.to)
            .collect()
    }

    /// The turns of a source that is here.
    pub(super) fn turns_of(&self, id: u64) -> Turns {
        let standing = self.present.get(&id);
        standing.map_or(Some(Default::default()), |standing| {
            standing.turns(&self.settings)
        })
    }

    /// The limit because of which a new poll of the source gets no client.
    pub(super) fn limit(&self, source: Source) -> Option<OverShare> {
        let standing = self.present.get(&source.id);
        let limit = standing.and_then(|standing| standing.limit(&self.settings));
        limit.or_else(|| self.is_network_full(source).then_some(OverShare::Network))
    }

    /// Returns true if no further poll of the source is parked.
    pub(super) fn is_parking_full(&self, source: Source) -> bool {
        let limit = self.settings.parked_per_source.saturating_mul(source.share);
        let standing = self.present.get(&source.id);
        limit > 0 && standing.is_some_and(|standing| standing.parked >= limit)
    }

    fn is_network_full(&self, source: Source) -> bool {
        let limit = self
            .settings
            .matches_per_minute
            .saturating_mul(self.settings.sources_per_network)
            .saturating_mul(source.share);
        limit > 0
            && self
                .networks
                .get(&source.network)
                .is_some_and(|&count| count >= limit)
    }

    /// Counts a poll that is parked from now on.
    pub(super) fn parked(&mut self, source: Source) {
        self.join_network(source);
        self.change(source, |standing| standing.parked += 1);
    }

    /// Counts a poll that is no longer parked.
    pub(super) fn unparked(&mut self, source: Source) {
        self.leave_network(source);
        self.change(source, |standing| standing.parked -= 1);
    }

    /// Gives a poll in this pool a client, as this turn of its source.
    pub(super) fn took_turn(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: Option<Source>,
        turn: u64,
    ) -> Option<TurnChange> {
        let recent = &mut self.recent[pool as usize];
        recent.push_back(source.map(|source| source.id));
        let source = source?;
        let counts = self.settings.matches_per_minute > 0;
        if counts {
            self.last_minute.push_back((now + MINUTE, source.id));
            self.join_network(source);
        }
        Some(self.change(source, |standing| {
            standing.turn = turn;
            standing.unanswered += 1;
            standing.matches += u32::from(counts);
            standing.recent[pool as usize] += 1;
        }))
    }

    /// Forgets the oldest recent client of a pool that has too many. Returns its source, if
    /// that is known, and the change.
    pub(super) fn forget_oldest(&mut self, pool: NatClass) -> Option<(u64, TurnChange)> {
        if !self.has_too_many_recent(pool) {
            return None;
        }
        let id = self.recent[pool as usize].pop_front()??;
        let source = self.present.get(&id)?.source;
        let change = self.change(source, |standing| standing.recent[pool as usize] -= 1);
        Some((id, change))
    }

    fn has_too_many_recent(&self, pool: NatClass) -> bool {
        self.recent[pool as usize].len() > self.settings.recent_clients
    }

    /// Ends an offer that had no answer.
    pub(super) fn settled(&mut self, source: Source) -> TurnChange {
        self.change(source, |standing| standing.unanswered -= 1)
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
    pub(super) fn expire(&mut self) -> Option<(u64, TurnChange)> {
        let (_, id) = self.last_minute.pop_front()?;
        let source = self.present.get(&id)?.source;
        self.leave_network(source);
        let change = self.change(source, |standing| standing.matches -= 1);
        Some((id, change))
    }

    /// Returns true if nothing but memories is left.
    pub(super) fn is_empty(&self) -> bool {
        self.present.values().all(Standing::has_nothing)
            && self.networks.is_empty()
            && self.last_minute.is_empty()
    }

    fn join_network(&mut self, source: Source) {
        *self.networks.entry(source.network).or_default() += 1;
    }

    fn leave_network(&mut self, source: Source) {
        if let Some(count) = self.networks.get_mut(&source.network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&source.network);
            }
        }
    }

    fn change(&mut self, source: Source, change: impl FnOnce(&mut Standing)) -> TurnChange {
        let standing = self.present.entry(source.id).or_insert_with(|| Standing {
            source,
            turn: self.absent.take(source.id),
            parked: 0,
            unanswered: 0,
            matches: 0,
            recent: [0; NatClass::ALL.len()],
        });
        let is_waiting =
            |standing: &Standing, turns: Turns| usize::from(standing.parked > 0 && turns.is_none());
        let from = standing.turns(&self.settings);
        self.waiting -= is_waiting(standing, from);
        change(standing);
        let to = standing.turns(&self.settings);
        self.waiting += is_waiting(standing, to);
        if standing.is_gone() {
            let turn = standing.turn;
            self.present.remove(&source.id);
            self.absent.remember(source.id, turn);
        }
        TurnChange { from, to }
    }
}
