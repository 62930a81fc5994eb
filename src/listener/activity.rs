//! What a connection is about, and how long it may be: hyper knows one limit
//! for the head of a request, which it also applies to the time between two
//! requests, and none before it knows the version of HTTP.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::DropReason;

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
    fn read(&self) {
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
            Phase::Head | Phase::Idle => 0,
        };
        state.enter(Phase::Busy(others + 1));
        RequestUnderWay(self.clone())
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
            Phase::Head | Phase::Idle => 0,
        };
        state.enter(if others > 0 {
            Phase::Busy(others)
        } else {
            Phase::Idle
        });
    }
}

/// Ends, with the limit, when a connection has stayed in one phase for too long. To be polled
/// after the connection, whenever that is: phases change while it is.
///
/// A phase seldom lasts until it is over its time. The timer is not set anew for
/// each: it goes off at the time of an earlier one, and is then set to what is due.
pub(super) struct Overdue {
    activity: Activity,
    limits: Limits,
    seen: u64,
    due: Option<(Instant, DropReason)>,
    timer: Pin<Box<Sleep>>,
}

impl Overdue {
    pub(super) fn new(activity: Activity, limits: Limits) -> Self {
        let timer = Box::pin(sleep(limits.head));
        Self {
            activity,
            limits,
            seen: 0,
            due: Some((timer.deadline(), DropReason::HeadTimeout)),
            timer,
        }
    }

    fn due(&self, phase: Phase) -> Option<(Instant, DropReason)> {
        let (limit, reason) = match phase {
            Phase::Head => (self.limits.head, DropReason::HeadTimeout),
            Phase::Idle => (self.limits.idle, DropReason::IdleTimeout),
            Phase::Busy(_) => return None,
        };
        // It is never polled: the clock is tokio's.
        Some((sleep(limit).deadline(), reason))
    }
}

impl Future for Overdue {
    type Output = DropReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DropReason> {
        let (phase, changes) = {
            let state = self.activity.state();
            (state.phase, state.changes)
        };
        if changes != self.seen {
            self.seen = changes;
            self.due = self.due(phase);
        }
        let Some((due, reason)) = self.due else {
            return Poll::Pending;
        };
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        ready!(self.timer.as_mut().poll(context));
        if due <= self.timer.deadline() {
            return Poll::Ready(reason);
        }
        self.timer.as_mut().reset(due);
        self.timer.as_mut().poll(context).map(|()| reason)
    }
}

/// A stream whose arriving bytes count as activity.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Activity,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
