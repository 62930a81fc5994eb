//! Connections that must stay open: a proxy that was handed an offer posts its answer
//! over the connection of its poll.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::activity::ConnectionActivity;

/// The connection of a request; an extension of each request.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    pub(super) keep_open: Arc<KeepOpen>,
    pub(super) activity: ConnectionActivity,
}

impl ConnectionHandle {
    /// Notes that the request is fully read, so that the connection can release memory
    /// until there is a response.
    pub fn request_read(&self) {
        self.activity.request_read();
    }

    /// Returns true if the connection was cut off for lack of memory.
    pub fn lacks_memory(&self) -> bool {
        self.activity.lacks_memory()
    }

    /// Prevents an early close of the connection at shutdown, as long as the guard lives.
    pub fn keep_open(&self) -> KeepOpenGuard {
        self.keep_open.state().guards += 1;
        KeepOpenGuard(Arc::clone(&self.keep_open))
    }

    /// Notes that one of the [expected](KeepOpenGuard::expect_until) requests has
    /// arrived.
    pub fn release(&self) {
        let mut state = self.keep_open.state();
        state.expected = state.expected.saturating_sub(1);
        drop(state);
        self.keep_open.changed.notify_waiters();
    }
}

/// A guard that keeps a connection open.
#[derive(Debug)]
pub struct KeepOpenGuard(Arc<KeepOpen>);

impl KeepOpenGuard {
    /// Keeps the connection open until the peer has sent the expected request, but no
    /// longer than `until`.
    pub fn expect_until(self, until: Instant) {
        let mut state = self.0.state();
        state.expected += 1;
        state.until = state.until.max(Some(until));
    }
}

impl Drop for KeepOpenGuard {
    fn drop(&mut self) {
        self.0.state().guards -= 1;
        self.0.changed.notify_waiters();
    }
}

/// The reasons for keeping one connection open.
#[derive(Debug)]
pub(super) struct KeepOpen {
    state: Mutex<KeepOpenState>,
    changed: Notify,
}

#[derive(Debug)]
struct KeepOpenState {
    /// True if no request has been received yet.
    is_fresh: bool,
    guards: usize,
    /// The number of expected requests, and the time until which all of them are
    /// expected.
    expected: usize,
    until: Option<Instant>,
}

impl KeepOpen {
    /// The state of a new connection, whose first request is expected.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(KeepOpenState {
                is_fresh: true,
                guards: 0,
                expected: 0,
                until: None,
            }),
            changed: Notify::new(),
        })
    }

    /// Notes that a request has arrived.
    pub(super) fn begin_request(&self) {
        self.state().is_fresh = false;
    }

    pub(super) fn is_held(&self) -> bool {
        let state = self.state();
        state.is_fresh || state.guards > 0 || state.expected > 0
    }

    /// Returns when nothing holds the connection open. Requires that [`Self::expire`]
    /// runs.
    pub(super) async fn released(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.is_held() {
                return;
            }
            changed.await;
        }
    }

    /// Drops expectations whose time is over. Never returns.
    pub(super) async fn expire(&self) {
        loop {
            let changed = self.changed.notified();
            let until = self.state().until;
            let Some(until) = until else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = sleep_until(until.into()) => self.forget(until),
                () = changed => {}
            }
        }
    }

    fn forget(&self, until: Instant) {
        let mut state = self.state();
        if state.until == Some(until) {
            state.until = None;
            state.expected = 0;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, KeepOpenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time;

    use super::super::accounts::{Accounts, Bounds, Payer, Reservation};
    use super::super::version::HttpVersion;
    use super::*;

    /// A connection after its first request.
    fn connection() -> ConnectionHandle {
        let connection = fresh_connection();
        connection.keep_open.begin_request();
        connection
    }

    fn fresh_connection() -> ConnectionHandle {
        ConnectionHandle {
            keep_open: KeepOpen::new(),
            activity: ConnectionActivity::new(HttpVersion::Http1, place(), Duration::MAX, 0),
        }
    }

    fn place() -> Arc<Reservation> {
        let reservation = Accounts::new(Bounds::default()).open(Payer::Many, 0);
        Arc::new(reservation.unwrap())
    }

    fn in_seconds(seconds: u64) -> Instant {
        now() + Duration::from_secs(seconds)
    }

    #[expect(clippy::disallowed_methods, reason = "the paused clock of this test")]
    fn now() -> Instant {
        time::Instant::now().into_std()
    }

    /// The time until the connection is released, in milliseconds; `None` if it never is.
    async fn released_after(connection: &ConnectionHandle) -> Option<u128> {
        let start = now();
        tokio::select! {
            () = connection.keep_open.released() => Some((now() - start).as_millis()),
            () = connection.keep_open.expire() => None,
            () = time::sleep(Duration::from_hours(1)) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_until_its_first_request() {
        let connection = fresh_connection();
        assert!(connection.keep_open.is_held());
        connection.keep_open.begin_request();
        assert_eq!(released_after(&connection).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_by_each_guard() {
        let connection = connection();
        let (one, other) = (connection.keep_open(), connection.keep_open());
        drop(one);
        assert!(connection.keep_open.is_held());
        assert_eq!(released_after(&connection).await, None);
        drop(other);
        assert_eq!(released_after(&connection).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_until_what_is_expected_has_come() {
        let connection = connection();
        connection.keep_open().expect_until(in_seconds(5));
        connection.keep_open().expect_until(in_seconds(5));
        connection.release();
        assert!(connection.keep_open.is_held());
        connection.release();
        assert_eq!(released_after(&connection).await, Some(0));
        connection.release();
        assert!(!connection.keep_open.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_no_longer_than_anything_is_expected() {
        let connection = connection();
        connection.keep_open().expect_until(in_seconds(5));
        connection.keep_open().expect_until(in_seconds(3));
        // Tokio's timers are precise to a millisecond.
        let released = released_after(&connection).await.unwrap();
        assert!((5000..5010).contains(&released), "{released}");
        connection.keep_open().expect_until(in_seconds(2));
        let released = released_after(&connection).await.unwrap();
        assert!((2000..2010).contains(&released), "{released}");
    }
}
