//! The engine's dealings with sources: their turns, and the ends of their limits.

use std::time::Instant;

use crate::wire::nat::NatClass;

use super::Matcher;
use super::outputs::AnswerOutcome;
use super::requests::{ClientKey, PollKey, Source};
use super::sessions::Poll;
use super::sources::{SourceTable, TurnChange};
use super::turn_order::Turn;

/// The turn by which a poll is in its pool. One whose source is not known is served as it
/// comes.
pub(super) fn turn_of(sources: &SourceTable, poll: &Poll) -> Option<Turn> {
    let Some(source) = poll.source else {
        return Some(Turn::FIRST_COME);
    };
    let turns = sources.turns_of(source.id)?;
    Some(turns[NatClass::of(poll.nat) as usize])
}

impl Matcher {
    /// Notes that a poll that is in no pool gets a client.
    pub(super) fn take_turns(&mut self, now: Instant, poll: PollKey, client: ClientKey) {
        let turn = self.next_arrival();
        if let Some(client) = self.sessions.client(client) {
            self.waiting.took_turn(client.offer.network, turn);
        }
        let Some((class, source)) = self.class_and_source(poll) else {
            return;
        };
        let change = self.sources.took_turn(now, class, source, turn);
        if let (Some(source), Some(change)) = (source, change) {
            self.change_turn(source.id, change);
        }
        if let Some((source, change)) = self.sources.forget_oldest(class) {
            self.change_turn(source, change);
        }
    }

    fn class_and_source(&self, poll: PollKey) -> Option<(NatClass, Option<Source>)> {
        let poll = self.sessions.poll(poll)?;
        Some((NatClass::of(poll.nat), poll.source))
    }

    /// Closes a poll whose offer has ended, so that its source may have others.
    pub(super) fn close_poll(&mut self, now: Instant, poll: PollKey, outcome: AnswerOutcome) {
        let source = self.sessions.close_poll(now, poll, outcome);
        self.settle(source);
    }

    /// Notes that an offer to a source has ended.
    pub(super) fn settle(&mut self, source: Option<Source>) {
        if let Some(source) = source {
            let change = self.sources.settled(source);
            self.change_turn(source.id, change);
        }
    }

    /// Forgets that a source has had the offer: it could not take it.
    pub(super) fn forget_attempt(&mut self, client: ClientKey, source: Option<Source>) {
        if let (Some(client), Some(source)) = (self.sessions.client_mut(client), source) {
            client.tried.retain(|&tried| tried != source.id);
        }
    }

    /// Lets the oldest match of the last minute no longer count.
    pub(super) fn expire_match(&mut self) {
        if let Some((source, change)) = self.sources.expire() {
            self.change_turn(source, change);
        }
    }

    pub(super) fn change_turn(&mut self, source: u64, change: TurnChange) {
        if change.from == change.to {
            return;
        }
        self.pools.change_turn(source, change);
        if change.is_release() {
            self.released.insert(source);
        }
    }

    /// Serves clients that wait from the polls of sources that may have clients again.
    pub(super) fn serve_released(&mut self, now: Instant) {
        while let Some(source) = self.released.pop_first() {
            for pool in NatClass::ALL {
                while let Some((poll, client)) = self.waiting_pair(now, pool, source) {
                    self.unpark(poll);
                    self.hand_off(now, poll, client);
                }
            }
        }
    }

    /// A parked poll of the source and a client that waits for one like it.
    fn waiting_pair(
        &mut self,
        now: Instant,
        pool: NatClass,
        source: u64,
    ) -> Option<(PollKey, ClientKey)> {
        self.sources.turns_of(source)?;
        let key = self.pools.first_of(pool, source)?;
        let source = self.sessions.poll(key)?.source;
        let client = self.take_client_for(now, pool, source)?;
        Some((key, client))
    }
}
