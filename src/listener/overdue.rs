//! Time-outs of a connection by phase. hyper has a single limit for the head of a
//! request, which it also applies between requests; it has none before it knows the HTTP
//! version, and none for a peer that does not read.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::activity::{ConnectionActivity, Phase};
use super::observer::DropCause;

/// The time after which a connection that waits for a response is parked. Most responses
/// that take longer than this take seconds.
const PARK_AFTER: Duration = Duration::from_millis(100);
/// The time between two moments at which connections are parked. Each wake-up of a thread costs
/// as much as parking, so on a quiet broker several connections share one.
const PARKING_STEP: Duration = Duration::from_millis(25);
/// The first of these moments.
static FIRST_PARKING: LazyLock<Instant> = LazyLock::new(|| sleep(Duration::ZERO).deadline());

/// The maximum time in each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseLimits {
    /// For receiving a head: from its first byte, or from the start of the connection.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

/// The action due after a time-out of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueAction {
    /// Drop the connection: it is over a limit.
    Drop(DropCause),
    /// Park the connection.
    Park,
    /// End a stalled response.
    Stall,
}

/// Reports each due action once. Poll it after the connection, whenever the connection
/// was polled, since that changes the phase.
///
/// Most phases end before anything is due. So the timer is not reset with each phase: it
/// fires at an earlier deadline and is then set to the current one.
pub(super) struct Overdue {
    activity: ConnectionActivity,
    limits: PhaseLimits,
    seen: u64,
    phases: u64,
    /// The action due in the current phase.
    due: Option<(Instant, DueAction)>,
    /// The action due for unwritten data.
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
        // The timers are never polled; they provide tokio's time.
        let after = |limit| sleep(limit).deadline();
        match phase {
            Phase::Head => Some((
                after(self.limits.head),
                DueAction::Drop(DropCause::HeadTimeout),
            )),
            Phase::Idle => Some((
                after(self.limits.idle),
                DueAction::Drop(DropCause::IdleTimeout),
            )),
            Phase::Waiting => Some((next_parking(after(PARK_AFTER)), DueAction::Park)),
            Phase::Busy(_) => None,
        }
    }

    /// Waits for the next due action and returns it.
    pub(super) async fn next(&mut self) -> DueAction {
        poll_fn(|context| self.poll_due(context)).await
    }

    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<DueAction> {
        self.look(context.waker());
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

    /// Updates the due actions after a change.
    fn look(&mut self, watcher: &Waker) {
        let Some(snapshot) = self.activity.snapshot(self.seen, watcher) else {
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

    /// Schedules parking again.
    pub(super) fn park_later(&mut self) {
        self.due = self.due_of(Phase::Waiting);
    }

    /// Ends what has waited too long to be written: the stream or, if hyper has finished
    /// with the stream and only h2 still holds data, the whole connection. Returns true
    /// if the connection continues.
    pub(super) fn end_stalled(&self) -> bool {
        let stalled = self.activity.take_stalled(self.timer.deadline());
        stalled.is_none_or(|stream| stream.end())
    }
}

/// The next moment at which connections are parked.
fn next_parking(at: Instant) -> Instant {
    let since = at.saturating_duration_since(*FIRST_PARKING);
    let over = since.as_nanos() % PARKING_STEP.as_nanos();
    let over = u64::try_from(over).map_or(Duration::ZERO, Duration::from_nanos);
    at + PARKING_STEP.saturating_sub(over)
}

fn earlier(
    one: Option<(Instant, DueAction)>,
    other: Option<(Instant, DueAction)>,
) -> Option<(Instant, DueAction)> {
    let both = one.into_iter().chain(other);
    both.min_by_key(|(at, _)| *at)
}
