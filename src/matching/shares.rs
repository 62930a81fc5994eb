//! The engine's dealings with sources: their turns, and the ends of their limits.

use std::time::Instant;

use crate::policy::{Choice, RuleActions, RuleSet};
use crate::wire::nat::{NatClass, NatType};

use super::Matcher;
use super::outputs::{AnswerOutcome, OverShare};
use super::requests::{ClientKey, MatchTally, PollKey, Source};
use super::sources::{TurnChange, TurnChanges};
use super::standing::{KnownSource, SourceKey};
use super::supply::SupplySettings;

impl Matcher {
    /// Replaces the limits of sources. Clients that wait are served at once from those that
    /// may have them now.
    pub fn set_supply(&mut self, now: Instant, supply: SupplySettings) {
        self.handle_timeout(now);
        self.waiting.set_networks_max(supply.max_client_networks);
        let changes = self.sources.set_settings(supply);
        self.change_turns(changes);
        self.serve_released(now);
    }

    /// The current limits of sources.
    pub fn supply(&self) -> &SupplySettings {
        self.sources.settings()
    }

    /// The sources nearest to their limits of matches a minute, and the networks with most of
    /// these, up to `max` of each, so that other nodes count them, too.
    pub fn busiest_sources(&self, max: usize) -> Vec<MatchTally> {
        self.sources.busiest(max)
    }

    /// Notes that a poll of the source has come. If the source may have more than before, its
    /// parked polls are served first.
    pub(super) fn enter(&mut self, now: Instant, source: Source) -> KnownSource {
        let (source, change) = self.sources.enter(source);
        self.change_turn(source.key, change);
        self.serve_released(now);
        source
    }

    /// The limit because of which a new poll of the source gets no client. No source rests that
    /// nobody could stand in for.
    pub(super) fn refusal(
        &self,
        now: Instant,
        source: KnownSource,
        nat: NatType,
    ) -> Option<OverShare> {
        let may_rest = self.have_others(now, NatClass::of(nat), source.id);
        self.sources.limit(source.key, may_rest)
    }

    /// Returns true if others could stand in for a source that the clients of a pool do not get.
    pub fn have_others(&self, now: Instant, pool: NatClass, source: u64) -> bool {
        self.pools.able_in(pool) > 0 || self.sources.is_served(now, pool, source)
    }

    /// Replaces the rules of the policy. They hold from the next match on; clients that wait
    /// are not compared with parked polls again.
    pub fn set_rules(&mut self, rules: RuleActions) {
        self.rules.set(rules);
    }

    /// Notes that a poll that is in no pool gets a client, as these rules decided.
    pub(super) fn take_turns(
        &mut self,
        now: Instant,
        poll: PollKey,
        client: ClientKey,
        decided: RuleSet,
    ) {
        let turn = self.next_arrival();
        if let Some(client) = self.sessions.client(client) {
            self.waiting.took_turn(client.offer.network, turn);
        }
        let Some(poll) = self.sessions.poll(poll) else {
            return;
        };
        let class = NatClass::of(poll.nat);
        self.rules.matched(class, decided);
        let source = poll.source.map(|source| source.key);
        let changes = self.sources.took_turn(now, class, source, turn);
        self.change_turns(changes);
        if let Some((source, changes)) = self.sources.forget_oldest(class) {
            self.change_turns(changes);
            self.sources.leave(source);
        }
    }

    fn change_turns(&mut self, changes: TurnChanges) {
        for (source, change) in changes {
            self.change_turn(source, Some(change));
        }
    }

    /// Closes a poll whose offer has ended, so that its source may have others.
    pub(super) fn close_poll(&mut self, now: Instant, poll: PollKey, outcome: AnswerOutcome) {
        let source = self.sessions.close_poll(now, poll, outcome);
        self.settle(source);
    }

    /// Notes that an offer to a source has ended.
    pub(super) fn settle(&mut self, source: Option<KnownSource>) {
        if let Some(source) = source {
            let change = self.sources.settled(source.key);
            self.change_turn(source.key, change);
            self.sources.leave(source.key);
        }
    }

    /// Forgets that a source has had the offer: it could not take it.
    pub(super) fn forget_attempt(&mut self, client: ClientKey, source: Option<KnownSource>) {
        if let (Some(client), Some(source)) = (self.sessions.client_mut(client), source) {
            client.tried.retain(|&tried| tried != source.id);
        }
    }

    /// Lets the oldest match of the last minute no longer count.
    pub(super) fn expire_match(&mut self) {
        if let Some((source, change)) = self.sources.expire() {
            self.change_turn(source, Some(change));
            self.sources.leave(source);
        }
    }

    pub(super) fn change_turn(&mut self, source: SourceKey, change: Option<TurnChange>) {
        let Some(change) = change.filter(|change| change.from != change.to) else {
            return;
        };
        self.pools.change_turn(&self.sources, source, change);
        if change.is_release()
            && let Some(id) = self.sources.id_of(source)
        {
            self.released.insert((id, source));
        }
    }

    /// Serves clients that wait from the polls of sources that may have clients again.
    pub(super) fn serve_released(&mut self, now: Instant) {
        while let Some((_, source)) = self.released.pop_first() {
            for pool in NatClass::ALL {
                while let Some((poll, client)) = self.waiting_pair(now, pool, source) {
                    self.unpark(poll);
                    self.hand_off(now, Choice::without_rules(poll), client);
                }
            }
        }
    }

    /// A parked poll of the source and a client that waits for one like it.
    fn waiting_pair(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: SourceKey,
    ) -> Option<(PollKey, ClientKey)> {
        self.sources.turns_of(source)?;
        let (_, key) = self.sources.polls(source, pool)?.first()?;
        let first = self.sessions.poll(key)?;
        let (source, marks) = (first.source, first.marks);
        let client = self.take_client_for(now, pool, source, marks)?;
        Some((key, client))
    }
}
