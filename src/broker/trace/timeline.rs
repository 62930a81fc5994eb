//! When what happened to the clients that are traced, as far as the broker sees
//! it from outside of the engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotmap::SparseSecondaryMap;

use crate::matching::{ClientKey, PollKey};
use crate::wire::nat::NatType;

/// What is to be told of a poll.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Polled {
    /// When its request arrived.
    pub(in crate::broker) arrived: Instant,
    /// What its proxy says of its NAT.
    pub(in crate::broker) nat: NatType,
}

/// The times of one client.
#[derive(Debug, Default)]
pub(in crate::broker) struct Timeline {
    entered: Option<Instant>,
    hand_offs: Vec<HandOff>,
    borrowings: Vec<Borrowing>,
    left: Option<Instant>,
}

/// A time in which other brokers were asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Borrowing {
    pub(super) from: Instant,
    pub(super) to: Instant,
    is_answered: bool,
}

/// A proxy that was handed the client's offer.
#[derive(Debug)]
pub(super) struct HandOff {
    poll: PollKey,
    pub(super) polled: Polled,
    pub(super) attempt: usize,
    pub(super) at: Instant,
    /// When its answer came, if the client gets it.
    pub(super) answered: Option<Instant>,
    /// When it was found that the offer did not reach it.
    pub(super) proxy_left: Option<Instant>,
}

/// The clients that are traced and have no reply yet.
#[derive(Debug, Default)]
pub(in crate::broker) struct Timelines(SparseSecondaryMap<ClientKey, Arc<Mutex<Timeline>>>);

impl Timelines {
    /// A client comes to the engine.
    pub(in crate::broker) fn enter(
        &mut self,
        now: Instant,
        client: ClientKey,
        timeline: Arc<Mutex<Timeline>>,
    ) {
        lock(&timeline).entered = Some(now);
        self.0.insert(client, timeline);
    }

    /// A poll takes the client's offer with it.
    pub(in crate::broker) fn handed_off(
        &self,
        now: Instant,
        client: ClientKey,
        (poll, polled): (PollKey, Polled),
        attempt: usize,
    ) {
        self.with(client, |timeline| {
            timeline.hand_offs.push(HandOff {
                poll,
                polled,
                attempt,
                at: now,
                answered: None,
                proxy_left: None,
            });
        });
    }

    /// The proxy was gone when it was handed an offer. It is not known whose,
    /// and seldom that of a client that is traced.
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

    /// The proxy that was handed the offer so long ago has answered.
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

    /// The engine has forgotten the client.
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
    /// Other brokers were asked in that time.
    pub(super) fn borrowed(&mut self, from: Instant, to: Instant, is_answered: bool) {
        self.borrowings.push(Borrowing {
            from,
            to,
            is_answered,
        });
    }

    pub(super) fn borrowings(&self) -> &[Borrowing] {
        &self.borrowings
    }

    pub(super) fn hand_offs(&self) -> &[HandOff] {
        &self.hand_offs
    }

    /// When the engine let the client go; `end` if that is not known.
    pub(super) fn left_or(&self, end: Instant) -> Instant {
        self.left.unwrap_or(end)
    }

    /// The times in which no proxy had the client's offer.
    pub(super) fn waits(&self, end: Instant) -> Vec<(Instant, Instant)> {
        let left = self.left_or(end);
        let Some(mut waits_since) = self.entered else {
            return Vec::new();
        };
        let mut waits = Vec::new();
        for hand_off in &self.hand_offs {
            if hand_off.at > waits_since {
                waits.push((waits_since, hand_off.at));
            }
            waits_since = waits_since.max(hand_off.proxy_left.unwrap_or(left));
        }
        if left > waits_since {
            waits.push((waits_since, left));
        }
        waits
    }
}

impl Borrowing {
    /// What became of it, in a word.
    pub(super) fn outcome(self) -> &'static str {
        if self.is_answered {
            "answered"
        } else {
            "unanswered"
        }
    }
}

impl HandOff {
    /// What became of it, in a word.
    pub(super) fn outcome(&self) -> &'static str {
        match (self.answered, self.proxy_left) {
            (Some(_), _) => "answered",
            (None, Some(_)) => "proxy_left",
            (None, None) => "unanswered",
        }
    }
}

/// What is noted is whole at any time, even if its writer panicked.
pub(super) fn lock(timeline: &Mutex<Timeline>) -> MutexGuard<'_, Timeline> {
    timeline.lock().unwrap_or_else(PoisonError::into_inner)
}
