//! The times of events of traced clients, as the broker sees them from outside of the
//! engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotmap::SparseSecondaryMap;

use crate::matching::{ClientKey, PeerReply, PollKey};
use crate::wire::nat::NatType;

/// The properties of a poll that a trace shows.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Polled {
    /// The time at which the poll's request arrived.
    pub(in crate::broker) arrived: Instant,
    /// The NAT that the proxy reports.
    pub(in crate::broker) nat: NatType,
}

/// The times of one client's events.
#[derive(Debug, Default)]
pub(in crate::broker) struct Timeline {
    entered: Option<Instant>,
    hand_offs: Vec<TracedHandOff>,
    borrowings: Vec<TracedBorrowing>,
    left: Option<Instant>,
}

/// A period in which peers were asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracedBorrowing {
    pub(super) from: Instant,
    /// The time and outcome of their reply; `None` if the client left first.
    pub(super) ended: Option<(Instant, PeerOutcome)>,
}

/// The outcome of asking peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerOutcome {
    Answered,
    Unanswered,
    /// There was no peer to ask, so there is no span.
    NotAsked,
}

/// A hand-off of the client's offer to a proxy.
#[derive(Debug)]
pub(super) struct TracedHandOff {
    poll: PollKey,
    pub(super) polled: Polled,
    pub(super) attempt: usize,
    pub(super) at: Instant,
    /// The time of the proxy's answer, if the client gets it.
    pub(super) answered: Option<Instant>,
    /// The time at which the hand-off was found to have failed.
    pub(super) proxy_left: Option<Instant>,
}

/// The traced clients without a reply yet.
#[derive(Debug, Default)]
pub(in crate::broker) struct Timelines(SparseSecondaryMap<ClientKey, Arc<Mutex<Timeline>>>);

impl Timelines {
    /// Notes that a client entered the engine.
    pub(in crate::broker) fn enter(
        &mut self,
        now: Instant,
        client: ClientKey,
        timeline: Arc<Mutex<Timeline>>,
    ) {
        lock(&timeline).entered = Some(now);
        self.0.insert(client, timeline);
    }

    /// Notes the hand-off of the client's offer to a poll.
    pub(in crate::broker) fn handed_off(
        &self,
        now: Instant,
        client: ClientKey,
        (poll, polled): (PollKey, Polled),
        attempt: usize,
    ) {
        self.with(client, |timeline| {
            timeline.hand_offs.push(TracedHandOff {
                poll,
                polled,
                attempt,
                at: now,
                answered: None,
                proxy_left: None,
            });
        });
    }

    /// Notes that a hand-off failed because the proxy had gone. All timelines are
    /// searched, because the client is not known here and seldom traced.
    pub(in crate::broker) fn proxy_left(&self, now: Instant, poll: PollKey) {
        for timeline in self.0.values() {
            let mut timeline = lock(timeline);
            let mut hand_offs = timeline.hand_offs.iter_mut();
            if let Some(hand_off) = hand_offs.find(|hand_off| hand_off.poll == poll) {
                hand_off.proxy_left = Some(now);
                return;
            }
        }
    }

    /// Notes the answer of the proxy whose hand-off was this long ago.
    pub(in crate::broker) fn answered(
        &self,
        now: Instant,
        client: ClientKey,
        since_hand_off: Duration,
    ) {
        self.with(client, |timeline| {
            let mut hand_offs = timeline.hand_offs.iter_mut().rev();
            let answered = hand_offs.find(|hand_off| hand_off.at + since_hand_off == now);
            if let Some(hand_off) = answered {
                hand_off.answered = Some(now);
            }
        });
    }

    /// Notes that peers are asked for the client.
    pub(in crate::broker) fn peer_asked(&self, now: Instant, client: ClientKey) {
        self.with(client, |timeline| {
            timeline.borrowings.push(TracedBorrowing {
                from: now,
                ended: None,
            });
        });
    }

    /// Notes the reply of the peers asked at `asked_at`.
    pub(in crate::broker) fn peer_replied(
        &self,
        now: Instant,
        client: ClientKey,
        asked_at: Instant,
        reply: &PeerReply,
    ) {
        self.with(client, |timeline| {
            let mut borrowings = timeline.borrowings.iter_mut();
            let is_it = |borrowing: &&mut TracedBorrowing| {
                borrowing.from == asked_at && borrowing.ended.is_none()
            };
            if let Some(borrowing) = borrowings.find(is_it) {
                borrowing.ended = Some((now, PeerOutcome::of(reply)));
            }
        });
    }

    /// Notes that the client left the engine.
    pub(in crate::broker) fn leave(&mut self, now: Instant, client: ClientKey) {
        if let Some(timeline) = self.0.remove(client) {
            lock(&timeline).left = Some(now);
        }
    }

    fn with(&self, client: ClientKey, note: impl FnOnce(&mut Timeline)) {
        if let Some(timeline) = self.0.get(client) {
            note(&mut lock(timeline));
        }
    }
}

impl Timeline {
    pub(super) fn borrowings(&self) -> &[TracedBorrowing] {
        &self.borrowings
    }

    pub(super) fn hand_offs(&self) -> &[TracedHandOff] {
        &self.hand_offs
    }

    /// The time at which the engine let the client go; `end` if unknown.
    pub(super) fn left_or(&self, end: Instant) -> Instant {
        self.left.unwrap_or(end)
    }

    /// The periods in which nobody had the client's offer.
    pub(super) fn waits(&self, end: Instant) -> Vec<(Instant, Instant)> {
        let left = self.left_or(end);
        let Some(mut waits_since) = self.entered else {
            return Vec::new();
        };
        let hand_offs = self
            .hand_offs
            .iter()
            .map(|hand_off| (hand_off.at, hand_off.proxy_left));
        let borrowings = self
            .borrowings
            .iter()
            .map(|asked| (asked.from, asked.ended.map(|(at, _)| at)));
        let mut offered: Vec<_> = hand_offs.chain(borrowings).collect();
        offered.sort_unstable_by_key(|(from, _)| *from);
        let mut waits = Vec::new();
        for (from, to) in offered {
            if from > waits_since {
                waits.push((waits_since, from));
            }
            waits_since = waits_since.max(to.unwrap_or(left));
        }
        if left > waits_since {
            waits.push((waits_since, left));
        }
        waits
    }
}

impl PeerOutcome {
    fn of(reply: &PeerReply) -> Self {
        match reply {
            PeerReply::Answered { .. } => Self::Answered,
            PeerReply::NotAsked => Self::NotAsked,
            PeerReply::NoProxy | PeerReply::Unanswered => Self::Unanswered,
        }
    }
}

impl TracedBorrowing {
    /// The time of the reply and its outcome as a word; `None` if there is no span.
    pub(super) fn end(self) -> Option<(Instant, &'static str)> {
        let (at, outcome) = self.ended?;
        match outcome {
            PeerOutcome::Answered => Some((at, "answered")),
            PeerOutcome::Unanswered => Some((at, "unanswered")),
            PeerOutcome::NotAsked => None,
        }
    }
}

impl TracedHandOff {
    /// The outcome as a word.
    pub(super) fn outcome(&self) -> &'static str {
        match (self.answered, self.proxy_left) {
            (Some(_), _) => "answered",
            (None, Some(_)) => "proxy_left",
            (None, None) => "unanswered",
        }
    }
}

/// Locks a timeline, which is consistent at any time, even if its writer panicked.
pub(super) fn lock(timeline: &Mutex<Timeline>) -> MutexGuard<'_, Timeline> {
    timeline.lock().unwrap_or_else(PoisonError::into_inner)
}
