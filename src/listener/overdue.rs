//! Time-outs of a connection by what it is about: hyper knows one limit for the head
//! of a request, which it also applies to the time between two requests, none before
//! it knows the version of HTTP, and none for a peer that does not read.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::activity::{ConnectionActivity, Phase};
use super::observer::DropCause;

/// The time that a response may take before its connection is parked. Most responses
/// that are not there by then take seconds.
const PARK_AFTER: Duration = Duration::from_millis(100);

/// The time that a connection may stay in a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseLimits {
    /// From its first byte, or before the first request, until a head is whole.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

/// The consequence of a connection's staying in one phase for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueAction {
    /// It is over a limit.
    Drop(DropCause),
    /// It may be parked.
    Park,
    /// One of its responses is not taken.
    Stall,
}

/// Tells what is due, each once. To be polled after the connection, whenever that
/// is: phases change while it is.
///
/// A phase seldom lasts until something is due. The timer is not set anew for
/// each: it goes off at the time of an earlier one, and is then set to what is due.
pub(super) struct Overdue {
    activity: ConnectionActivity,
    limits: PhaseLimits,
    seen: u64,
    phases: u64,
    /// The consequence of the phase.
    due: Option<(Instant, DueAction)>,
    /// The consequence of something that is not written.
    write_due: Option<(Instant, DueAction)>,
    timer: Pin<Box<Sleep>>,
}

impl Overdue {
    pub(super) fn new(activity: ConnectionActivity, limits: PhaseLimits) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self {
            activity,
            limits,
            seen: 0,
            phases: 0,
            write_due: None,
            due: Some((timer.deadline(), DueAction::Drop(DropCause::HeadTimeout))),
            timer,
        }
    }

    fn due_of(&self, phase: Phase) -> Option<(Instant, DueAction)> {
        let (limit, due) = match phase {
            Phase::Head => (self.limits.head, DueAction::Drop(DropCause::HeadTimeout)),
            Phase::Idle => (self.limits.idle, DueAction::Drop(DropCause::IdleTimeout)),
            Phase::Waiting => (PARK_AFTER, DueAction::Park),
            Phase::Busy(_) => return None,
        };
        // It is never polled: the clock is tokio's.
        Some((sleep(limit).deadline(), due))
    }

    /// Returns what is due, when it is.
    pub(super) async fn next(&mut self) -> DueAction {
        poll_fn(|context| self.poll_due(context)).await
    }

    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<DueAction> {
        self.look();
        let Some((at, due)) = earlier(self.due, self.write_due) else {
            return Poll::Pending;
        };
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
        ready!(self.timer.as_mut().poll(context));
        if at > self.timer.deadline() {
            self.timer.as_mut().reset(at);
            ready!(self.timer.as_mut().poll(context));
        }
        match due {
            DueAction::Stall => self.write_due = None,
            _ => self.due = None,
        }
        Poll::Ready(due)
    }

    /// Takes over what has changed.
    fn look(&mut self) {
        let Some(snapshot) = self.activity.snapshot(self.seen) else {
            return;
        };
        self.seen = snapshot.changes;
        let blocked = snapshot
            .blocked_until
            .map(|at| (at, DueAction::Drop(DropCause::WriteTimeout)));
        let stalled = snapshot.stalled_at.map(|at| (at, DueAction::Stall));
        self.write_due = earlier(blocked, stalled);
        if snapshot.phases != self.phases {
            self.phases = snapshot.phases;
            self.due = self.due_of(snapshot.phase);
        }
    }

    /// Tells anew that the connection may be parked, if it still may by then.
    pub(super) fn park_later(&mut self) {
        self.due = self.due_of(Phase::Waiting);
    }

    /// Ends what has waited too long to be written: its stream, or if hyper has done
    /// with that, and only h2 has something of it left, nothing but the connection
    /// will do. Whether the connection goes on.
    pub(super) fn end_stalled(&self) -> bool {
        let stalled = self.activity.take_stalled(self.timer.deadline());
        stalled.is_none_or(|stream| stream.end())
    }
}

fn earlier(
    one: Option<(Instant, DueAction)>,
    other: Option<(Instant, DueAction)>,
) -> Option<(Instant, DueAction)> {
    let both = one.into_iter().chain(other);
    both.min_by_key(|(at, _)| *at)
}
