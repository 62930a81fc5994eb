//! The activity of a connection: the request being received, those being answered, and
//! responses not yet written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::accounts::Reservation;
use super::frames::Frames;
use super::streams::StreamWatch;
use super::version::HttpVersion;

/// The number of response bytes that must be taken within the write time-out: at least 1
/// KiB/s.
pub(super) const PIECE: usize = 10 * 1024;

/// Bytes of a head that are not charged to an account: the buffer for them is part of a
/// connection's fixed cost.
pub(super) const HEAD_FREE: usize = 8 * 1024;

/// The maximum size of a request's head, in bytes. AMP carries a client's poll of about 4
/// KB in the path.
pub(super) const HEAD_MAX: u32 = 64 * 1024;

/// The current phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Receiving the head of a request.
    Head,
    /// Answering this many requests.
    Busy(usize),
    /// Waiting for the response to an HTTP/1 request that is fully read.
    Waiting,
    /// Between requests.
    Idle,
}

impl Phase {
    /// Returns true if the connection may be closed to make room: an incomplete head is
    /// not a request yet.
    fn is_idle(self) -> bool {
        matches!(self, Self::Head | Self::Idle)
    }
}

/// The activity of one connection, shared by the parts that see its bytes and its
/// requests.
#[derive(Clone, Debug)]
pub(super) struct ConnectionActivity {
    state: Arc<Mutex<ActivityState>>,
    place: Arc<Reservation>,
    write_timeout: Duration,
    /// The size of the kernel's and TLS's buffers, charged while a write is blocked.
    buffers: usize,
}

/// A snapshot of a connection's state.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivitySnapshot {
    pub(super) phase: Phase,
    /// The number of earlier phases.
    pub(super) phases: u64,
    /// The number of earlier changes of any kind.
    pub(super) changes: u64,
    /// The deadline for the peer to take more of the blocked data.
    pub(super) blocked_until: Option<Instant>,
    /// The deadline for writing more of an HTTP/2 response.
    pub(super) stalled_at: Option<Instant>,
}

#[derive(Debug)]
struct ActivityState {
    phase: Phase,
    /// Incremented with each change of phase.
    phases: u64,
    /// Incremented with each change of what is due.
    changes: u64,
    /// The parser of HTTP/2 frames. With HTTP/2, received bytes alone do not start a
    /// request.
    frames: Option<Frames>,
    /// True if the connection is idle from the HTTP/2 preface on, rather than after its
    /// first request.
    idles_once_begun: bool,
    /// Bytes received of one or more incomplete heads.
    head: usize,
    /// The part of them that is charged to the account.
    head_in_account: usize,
    /// True if there was no room for more.
    lacks_memory: bool,
    /// The deadline for the peer to take more of the blocked data.
    blocked_until: Option<Instant>,
    /// True if the connection's buffers are charged to the account.
    holds_buffers: bool,
    /// HTTP/2 responses not fully written, by the deadline for writing more of them.
    unwritten: BTreeMap<UnwrittenKey, Arc<StreamWatch>>,
    /// The number of responses so far.
    responses: u64,
    /// Wakes whoever waits for what is due.
    watcher: Option<Waker>,
}

/// The deadline for writing more of a response, and the response's number.
pub(super) type UnwrittenKey = (Instant, u64);

impl ConnectionActivity {
    /// The activity of a new connection, whose first request is due. The peer must take
    /// each [`PIECE`] of a response within `write_timeout`; while it does not, up to
    /// `buffers` bytes wait in the connection's buffers.
    pub(super) fn new(
        version: HttpVersion,
        place: Arc<Reservation>,
        write_timeout: Duration,
        buffers: usize,
    ) -> Self {
        let state = ActivityState {
            phase: Phase::Head,
            phases: 0,
            changes: 0,
            frames: (version == HttpVersion::Http2).then(Frames::new),
            idles_once_begun: false,
            head: 0,
            head_in_account: 0,
            lacks_memory: false,
            blocked_until: None,
            holds_buffers: false,
            unwritten: BTreeMap::new(),
            responses: 0,
            watcher: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            place,
            write_timeout,
            buffers,
        }
    }

    /// Makes the connection idle as soon as the peer has begun: its first request may
    /// come at any time.
    pub(super) fn idle_once_begun(&self) {
        self.state().idles_once_begun = true;
    }

    /// A snapshot of the connection's state, if it has changed since `seen`. The watcher is
    /// woken when something becomes due while nothing is.
    pub(super) fn snapshot(&self, seen: u64, watcher: &Waker) -> Option<ActivitySnapshot> {
        let mut state = self.state();
        match &mut state.watcher {
            Some(known) => known.clone_from(watcher),
            none => *none = Some(watcher.clone()),
        }
        (state.changes != seen).then(|| ActivitySnapshot {
            phase: state.phase,
            phases: state.phases,
            changes: state.changes,
            blocked_until: state.blocked_until,
            stalled_at: state.unwritten.first_key_value().map(|((at, _), _)| *at),
        })
    }

    /// Notes received bytes; fails if there is no room for them.
    pub(super) fn read(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(frames) = &mut state.frames {
            let (head, has_begun) = (frames.read(bytes), frames.has_begun());
            let is_flooded = frames.is_flooded();
            state.head = head;
            if is_flooded {
                return Err(io::Error::other("more data than for all requests"));
            }
            if has_begun && state.idles_once_begun && state.phase == Phase::Head {
                self.enter(&mut state, Phase::Idle);
            }
            return self.account_for_head(&mut state);
        }
        if state.phase == Phase::Idle {
            self.enter(&mut state, Phase::Head);
        }
        if state.phase == Phase::Head {
            state.head += bytes.len();
            self.account_for_head(&mut state)?;
        }
        Ok(())
    }

    /// Begins a request whose head is complete. It lasts until the result is dropped.
    pub(super) fn begin_request(&self) -> RequestUnderWay {
        let mut state = self.state();
        if state.frames.is_none() {
            state.head = 0;
            self.give_back_head(&mut state, 0);
        }
        let others = match state.phase {
            Phase::Busy(others) => others,
            Phase::Waiting => 1,
            Phase::Head | Phase::Idle => 0,
        };
        self.enter(&mut state, Phase::Busy(others + 1));
        drop(state);
        RequestUnderWay(self.clone())
    }

    /// Notes that the request is fully read.
    pub(super) fn request_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Busy(1) && state.frames.is_none() {
            self.enter(&mut state, Phase::Waiting);
        }
    }

    /// The account entry of the connection.
    pub(super) fn place(&self) -> &Arc<Reservation> {
        &self.place
    }

    /// Returns true if no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.state().phase.is_idle()
    }

    /// Returns true if the connection was cut off because of data that is of no request.
    pub(super) fn is_flooded(&self) -> bool {
        let state = self.state();
        state.frames.is_some_and(|frames| frames.is_flooded())
    }

    /// Returns true if the connection was cut off for lack of memory.
    pub(super) fn lacks_memory(&self) -> bool {
        self.state().lacks_memory
    }

    /// Notes that the peer does not take the written data, or has taken another [`PIECE`]
    /// bytes of it. Fails if there is no room for the waiting data.
    pub(super) fn write_blocked(&self) -> io::Result<()> {
        let mut state = self.state();
        state.blocked_until = Some(self.in_time());
        state.changes += 1;
        self.account_for_buffers(&mut state)
    }

    /// Notes that the peer has taken everything.
    pub(super) fn write_unblocked(&self) {
        let mut state = self.state();
        state.blocked_until = None;
        state.changes += 1;
        self.release_buffers(&mut state);
    }

    /// Returns true if written data is waiting.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.state().blocked_until.is_some()
    }

    /// Begins an HTTP/2 response on this stream.
    pub(super) fn begin_response(&self, stream: &Arc<StreamWatch>) -> UnwrittenKey {
        let mut state = self.state();
        state.responses += 1;
        let key = (self.in_time(), state.responses);
        state.unwritten.insert(key, Arc::clone(stream));
        state.changes += 1;
        key
    }

    /// Notes that more of a response is requested, and returns its new key.
    pub(super) fn response_goes_on(
        &self,
        key: UnwrittenKey,
        stream: &Arc<StreamWatch>,
    ) -> UnwrittenKey {
        let mut state = self.state();
        let later = (self.in_time(), key.1);
        state.unwritten.remove(&key);
        // The peer may have no room for it, so that the connection goes on sleeping.
        if state.unwritten.is_empty()
            && let Some(watcher) = &state.watcher
        {
            watcher.wake_by_ref();
        }
        state.unwritten.insert(later, Arc::clone(stream));
        state.changes += 1;
        later
    }

    /// Notes that the peer has room for more of a response than exists: until there is
    /// more, the response cannot be late.
    pub(super) fn response_waits(&self, key: UnwrittenKey) {
        self.end_response(key);
    }

    /// Ends a response that is fully written or no longer wanted.
    pub(super) fn end_response(&self, key: UnwrittenKey) {
        let mut state = self.state();
        state.unwritten.remove(&key);
        state.changes += 1;
    }

    /// The stream of a response that is overdue, if it still is.
    pub(super) fn take_stalled(&self, now: Instant) -> Option<Arc<StreamWatch>> {
        let mut state = self.state();
        let first = state.unwritten.first_entry()?;
        // The response may have progressed since the check.
        let stream = (first.key().0 <= now).then(|| first.remove())?;
        state.changes += 1;
        Some(stream)
    }

    fn account_for_head(&self, state: &mut ActivityState) -> io::Result<()> {
        // A head cannot be longer.
        let held = state.head.min(HEAD_MAX as usize).saturating_sub(HEAD_FREE);
        let more = held.saturating_sub(state.head_in_account);
        if more > 0 {
            self.take(state, more)?;
            state.head_in_account += more;
        }
        self.give_back_head(state, held);
        Ok(())
    }

    /// Releases everything of a head except `held` bytes.
    fn give_back_head(&self, state: &mut ActivityState, held: usize) {
        let less = state.head_in_account.saturating_sub(held);
        if less > 0 {
            state.head_in_account -= less;
            self.place.shrink(less);
        }
    }

    /// Charges for the buffers of a blocked write. Meanwhile, nothing is read from the
    /// peer.
    fn account_for_buffers(&self, state: &mut ActivityState) -> io::Result<()> {
        if !state.holds_buffers {
            self.take(state, self.buffers)?;
            state.holds_buffers = true;
        }
        Ok(())
    }

    fn release_buffers(&self, state: &mut ActivityState) {
        if state.holds_buffers {
            state.holds_buffers = false;
            self.place.shrink(self.buffers);
        }
    }

    fn take(&self, state: &mut ActivityState, bytes: usize) -> io::Result<()> {
        self.place.grow(bytes).map_err(|no_room| {
            state.lacks_memory = true;
            io::Error::other(no_room)
        })
    }

    /// The deadline for the peer to take the data that is waiting now. The timer is never
    /// polled; it provides tokio's time.
    fn in_time(&self) -> Instant {
        sleep(self.write_timeout).deadline()
    }

    fn enter(&self, state: &mut ActivityState, phase: Phase) {
        let (was_idle, is_idle) = (state.phase.is_idle(), phase.is_idle());
        state.phase = phase;
        state.phases += 1;
        state.changes += 1;
        if was_idle != is_idle {
            self.place.set_idle(is_idle);
        }
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct RequestUnderWay(ConnectionActivity);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let others = match state.phase {
            Phase::Busy(requests) => requests.saturating_sub(1),
            Phase::Waiting | Phase::Head | Phase::Idle => 0,
        };
        let phase = if others > 0 {
            Phase::Busy(others)
        } else {
            Phase::Idle
        };
        self.0.enter(&mut state, phase);
    }
}
