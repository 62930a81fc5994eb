//! What a connection is about, and how long it may be: hyper knows one limit
//! for the head of a request, which it also applies to the time between two
//! requests, and none before it knows the version of HTTP.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::DropReason;

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

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The head of a request is on its way.
    Head,
    /// So many requests are being answered.
    Busy(usize),
    /// The one request of HTTP/1 is read whole, and its response awaited.
    Waiting,
    /// Nothing is.
    Idle,
}

/// The phase of one connection, shared by what sees its bytes and its requests.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Goes up with each change of phase.
    changes: u64,
    /// In HTTP/2, bytes are no sign of a request.
    is_http2: bool,
}

impl Activity {
    /// Of a connection that was just accepted: its first request is due.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            phase: Phase::Head,
            changes: 0,
            is_http2: false,
        })))
    }

    /// Bytes have come.
    pub(super) fn read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle && !state.is_http2 {
            state.enter(Phase::Head);
        }
    }

    /// A head is whole; its request is under way until the result is dropped.
    pub(super) fn begin_request(&self, is_http2: bool) -> RequestUnderWay {
        let mut state = self.state();
        state.is_http2 |= is_http2;
        let others = match state.phase {
            Phase::Busy(others) => others,
            Phase::Waiting => 1,
            Phase::Head | Phase::Idle => 0,
        };
        state.enter(Phase::Busy(others + 1));
        RequestUnderWay(self.clone())
    }

    /// Nothing of the request is left to be read.
    pub(super) fn request_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Busy(1) && !state.is_http2 {
            state.enter(Phase::Waiting);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.changes += 1;
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct RequestUnderWay(Activity);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let others = match state.phase {
            Phase::Busy(requests) => requests.saturating_sub(1),
            Phase::Waiting | Phase::Head | Phase::Idle => 0,
        };
        state.enter(if others > 0 {
            Phase::Busy(others)
        } else {
            Phase::Idle
        });
    }
}

/// What a connection has come to by staying in one phase for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is over a limit.
    Drop(DropReason),
    /// It may be parked.
    Park,
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
    due: Option<(Instant, Due)>,
    timer: Pin<Box<Sleep>>,
}

impl Overdue {
    pub(super) fn new(activity: Activity, limits: Limits) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self {
            activity,
            limits,
            seen: 0,
            due: Some((timer.deadline(), Due::Drop(DropReason::HeadTimeout))),
            timer,
        }
    }

    fn due(&self, phase: Phase) -> Option<(Instant, Due)> {
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
        let (phase, changes) = {
            let state = self.activity.state();
            (state.phase, state.changes)
        };
        if changes != self.seen {
            self.seen = changes;
            self.due = self.due(phase);
        }
        let Some((at, due)) = self.due else {
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
        self.due = None;
        Poll::Ready(due)
    }
}
