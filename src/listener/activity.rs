//! The business of a connection: the request that is on its way, those that are being
//! answered, and the responses that are not written yet.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::accounts::Reservation;
use super::frames::Frames;
use super::streams::StreamWatch;
use super::version::HttpVersion;

/// Bytes of a response that have to be taken in time: at least 1 KiB/s.
pub(super) const PIECE: usize = 10 * 1024;

/// Bytes of a head that are not in an account: the buffer for them is a part of
/// what a connection costs by itself.
pub(super) const HEAD_FREE: usize = 8 * 1024;

/// The largest head of a request that is read, in bytes. AMP carries a client's
/// poll of some 4 KB in the path.
pub(super) const HEAD_MAX: u32 = 64 * 1024;

/// The business that a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of a request is on its way.
    Head,
    /// So many requests are being answered.
    Busy(usize),
    /// The one request of HTTP/1 is read whole, and its response awaited.
    Waiting,
    /// Nothing is.
    Idle,
}

impl Phase {
    /// Returns true if the connection may make room for others: a head that is not whole is
    /// nobody's request yet.
    fn is_idle(self) -> bool {
        matches!(self, Self::Head | Self::Idle)
    }
}

/// The phase of one connection, shared by what sees its bytes and its requests.
#[derive(Clone, Debug)]
pub(super) struct ConnectionActivity {
    state: Arc<Mutex<ActivityState>>,
    place: Arc<Reservation>,
    write_timeout: Duration,
    /// The most bytes that wait outside of this program once something does.
    buffers: usize,
}

/// The state of a connection at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivitySnapshot {
    pub(super) phase: Phase,
    /// The number of phases before.
    pub(super) phases: u64,
    /// The number of changes of anything here before.
    pub(super) changes: u64,
    /// Until when the peer has to take more of what waits to be written.
    pub(super) blocked_until: Option<Instant>,
    /// By when more of a response over HTTP/2 has to be written.
    pub(super) stalled_at: Option<Instant>,
}

#[derive(Debug)]
struct ActivityState {
    phase: Phase,
    /// Goes up with each change of phase.
    phases: u64,
    /// Goes up with each change of what is due.
    changes: u64,
    /// The frames that come over HTTP/2. There, bytes are no sign of a request.
    frames: Option<Frames>,
    /// It idles from the preface of HTTP/2 on, and not only after its first request.
    idles_once_begun: bool,
    /// Bytes that have come of the head of a request, or of several.
    head: usize,
    /// The part of them that is in the account.
    head_in_account: usize,
    /// There was no room for more.
    lacks_memory: bool,
    /// Until when the peer has to take more of what waits to be written.
    blocked_until: Option<Instant>,
    /// The connection's buffers are in the account.
    holds_buffers: bool,
    /// Responses over HTTP/2 of which not all is written, by when more of them has
    /// to be.
    unwritten: BTreeMap<UnwrittenKey, Arc<StreamWatch>>,
    /// The number of responses that there were.
    responses: u64,
}

/// When more of a response has to be written, and its number.
pub(super) type UnwrittenKey = (Instant, u64);

impl ConnectionActivity {
    /// Of a connection that was just accepted: its first request is due. What is
    /// written to its peer has to be taken within so long, [`PIECE`] by piece; until
    /// it is, so many bytes wait in the connection's buffers.
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
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            place,
            write_timeout,
            buffers,
        }
    }

    /// Has the connection idle as soon as the peer has begun: its first request may
    /// come as late as any other.
    pub(super) fn idle_once_begun(&self) {
        self.state().idles_once_begun = true;
    }

    /// The state of the connection now, if that has changed since.
    pub(super) fn snapshot(&self, seen: u64) -> Option<ActivitySnapshot> {
        let state = self.state();
        (state.changes != seen).then(|| ActivitySnapshot {
            phase: state.phase,
            phases: state.phases,
            changes: state.changes,
            blocked_until: state.blocked_until,
            stalled_at: state.unwritten.first_key_value().map(|((at, _), _)| *at),
        })
    }

    /// These bytes have come; an error if there is no room for them.
    pub(super) fn read(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(frames) = &mut state.frames {
            let (head, has_begun) = (frames.read(bytes), frames.has_begun());
            state.head = head;
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

    /// A head is whole; its request is under way until the result is dropped.
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

    /// Nothing of the request is left to be read.
    pub(super) fn request_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Busy(1) && state.frames.is_none() {
            self.enter(&mut state, Phase::Waiting);
        }
    }

    /// The account of the connection.
    pub(super) fn place(&self) -> &Arc<Reservation> {
        &self.place
    }

    /// Returns true if no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.state().phase.is_idle()
    }

    /// Returns true if the connection broke off for want of memory.
    pub(super) fn lacks_memory(&self) -> bool {
        self.state().lacks_memory
    }

    /// The peer does not take what is written; or has taken [`PIECE`] bytes of it. An
    /// error if there is no room for what waits now.
    pub(super) fn write_blocked(&self) -> io::Result<()> {
        let mut state = self.state();
        state.blocked_until = Some(self.in_time());
        state.changes += 1;
        self.account_for_buffers(&mut state)
    }

    /// The peer has taken all.
    pub(super) fn write_unblocked(&self) {
        let mut state = self.state();
        state.blocked_until = None;
        state.changes += 1;
        self.release_buffers(&mut state);
    }

    /// Returns true if something waits to be written.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.state().blocked_until.is_some()
    }

    /// There is a response over HTTP/2, to be written on this stream.
    pub(super) fn begin_response(&self, stream: &Arc<StreamWatch>) -> UnwrittenKey {
        let mut state = self.state();
        state.responses += 1;
        let key = (self.in_time(), state.responses);
        state.unwritten.insert(key, Arc::clone(stream));
        state.changes += 1;
        key
    }

    /// More of a response is asked for; the key that it has from now on.
    pub(super) fn response_goes_on(
        &self,
        key: UnwrittenKey,
        stream: &Arc<StreamWatch>,
    ) -> UnwrittenKey {
        let mut state = self.state();
        let later = (self.in_time(), key.1);
        state.unwritten.remove(&key);
        state.unwritten.insert(later, Arc::clone(stream));
        state.changes += 1;
        later
    }

    /// The peer has room for more of a response than there is: until there is more,
    /// it cannot be late.
    pub(super) fn response_waits(&self, key: UnwrittenKey) {
        self.end_response(key);
    }

    /// All of a response is written, or nobody wants it any more.
    pub(super) fn end_response(&self, key: UnwrittenKey) {
        let mut state = self.state();
        state.unwritten.remove(&key);
        state.changes += 1;
    }

    /// The stream of the response that has waited too long, if it still has.
    pub(super) fn take_stalled(&self, now: Instant) -> Option<Arc<StreamWatch>> {
        let mut state = self.state();
        let first = state.unwritten.first_entry()?;
        // It may have gone on since it was looked at.
        let stream = (first.key().0 <= now).then(|| first.remove())?;
        state.changes += 1;
        Some(stream)
    }

    fn account_for_head(&self, state: &mut ActivityState) -> io::Result<()> {
        // Nothing of a head is longer.
        let held = state.head.min(HEAD_MAX as usize).saturating_sub(HEAD_FREE);
        let more = held.saturating_sub(state.head_in_account);
        if more > 0 {
            self.take(state, more)?;
            state.head_in_account += more;
        }
        self.give_back_head(state, held);
        Ok(())
    }

    /// All of a head but so many bytes.
    fn give_back_head(&self, state: &mut ActivityState, held: usize) {
        let less = state.head_in_account.saturating_sub(held);
        if less > 0 {
            state.head_in_account -= less;
            self.place.shrink(less);
        }
    }

    /// While something waits that the peer does not take, nothing of the peer is
    /// read either.
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

    /// When the peer has to have taken what waits now. It is never polled: the clock
    /// is tokio's.
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
