//! How long a connection may be about something: hyper knows one limit for the head
//! of a request, which it also applies to the time between two requests, none before
//! it knows the version of HTTP, and none for a peer that does not read.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::DropReason;
use super::activity::{Activity, Phase};

/// How long a response may take before its connection is parked. Most responses
/// that are not there by then take seconds.
const PARK_AFTER: Duration = Duration::from_millis(100);

/// How long a connection may stay in a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From its first byte, or before the first request, until a head is whole.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

/// What a connection has come to by staying in one phase for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is over a limit.
    Drop(DropReason),
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
    activity: Activity,
    limits: Limits,
    seen: u64,
    phases: u64,
    /// What the phase comes to.
    due: Option<(Instant, Due)>,
    /// What comes of something that is not written.
    write_due: Option<(Instant, Due)>,
    timer: Pin<Box<Sleep>>,
}

impl Overdue {
    pub(super) fn new(activity: Activity, limits: Limits) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self {
            activity,
            limits,
            seen: 0,
            phases: 0,
            write_due: None,
            due: Some((timer.deadline(), Due::Drop(DropReason::HeadTimeout))),
            timer,
        }
    }

    fn due_of(&self, phase: Phase) -> Option<(Instant, Due)> {
        let (limit, due) = match phase {
            Phase::Head => (self.limits.head, Due::Drop(DropReason::HeadTimeout)),
            Phase::Idle => (self.limits.idle, Due::Drop(DropReason::IdleTimeout)),
            Phase::Waiting => (PARK_AFTER, Due::Park),
            Phase::Busy(_) => return None,
        };
        // It is never polled: the clock is tokio's.
        Some((sleep(limit).deadline(), due))
    }

    /// Returns what is due, when it is.
    pub(super) async fn next(&mut self) -> Due {
        poll_fn(|context| self.poll_due(context)).await
    }

    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<Due> {
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
            Due::Stall => self.write_due = None,
            _ => self.due = None,
        }
        Poll::Ready(due)
    }

    /// Takes over what has changed.
    fn look(&mut self) {
        let Some(standing) = self.activity.standing(self.seen) else {
            return;
        };
        self.seen = standing.changes;
        let blocked = standing.blocked_until;
        let blocked = blocked.map(|at| (at, Due::Drop(DropReason::WriteTimeout)));
        let stalled = standing.stalled_at.map(|at| (at, Due::Stall));
        self.write_due = earlier(blocked, stalled);
        if standing.phases != self.phases {
            self.phases = standing.phases;
            self.due = self.due_of(standing.phase);
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

fn earlier(one: Option<(Instant, Due)>, other: Option<(Instant, Due)>) -> Option<(Instant, Due)> {
    let both = one.into_iter().chain(other);
    both.min_by_key(|(at, _)| *at)
}
