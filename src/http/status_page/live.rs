//! The live status page: its figures as server-sent events.
//!
//! All readers get the same bytes, which are made only while there are readers. A reader that
//! does not read is the listener's concern, which ends a response that is not taken in time;
//! until then it holds no more than what is reserved for it here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::broker::clock;
use crate::http::front::HttpFront;
use crate::http::status::Audience;
use crate::listener::accounts::Reservation;
use crate::matching::ServiceStage;

use super::StatusPage;
use super::readers::{LiveReader, ReaderLimits};

/// The time after which a reader has to come back, so that no place is taken for ever.
const READS_FOR: Duration = Duration::from_hours(1);
/// The bytes of events that a reader may hold before it has taken them.
pub(super) const HELD: usize = 16 * 1024;
/// The time in milliseconds after which a reader comes back, and the first event's beginning.
const RETRY: &str = "retry: 5000\n";

/// The interval of events.
pub(super) fn interval(audience: Audience) -> Duration {
    match audience {
        Audience::Operator => Duration::from_secs(2),
        Audience::Public => Duration::from_secs(10),
    }
}

/// The most readers of an audience's page.
pub(super) fn limits(audience: Audience) -> ReaderLimits {
    match audience {
        Audience::Operator => ReaderLimits {
            all: 64,
            of_network: 64,
        },
        Audience::Public => ReaderLimits {
            all: 256,
            of_network: 4,
        },
    }
}

/// An event with this text.
pub(super) fn event(text: &str) -> Bytes {
    let mut event = String::from(RETRY);
    for line in text.split(['\n', '\r']) {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event.into()
}

/// The events for one reader, from now on until the broker drains.
struct LiveEvents {
    page: Arc<StatusPage>,
    front: Arc<HttpFront>,
    stage: watch::Receiver<ServiceStage>,
    next: Instant,
    end: Instant,
    reservation: Reservation,
    _reader: LiveReader,
}

/// The body of a response to a reader.
pub(super) fn body(
    page: Arc<StatusPage>,
    front: Arc<HttpFront>,
    reader: LiveReader,
    reservation: Reservation,
) -> Body {
    let now = clock::now();
    let events = LiveEvents {
        page,
        stage: front.broker.watch_stage(),
        front,
        next: now,
        end: now + READS_FOR,
        reservation,
        _reader: reader,
    };
    Body::from_stream(events.into_stream())
}

impl LiveEvents {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut events| async move {
            let event = events.next().await?;
            Some((Ok(event), events))
        })
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.next >= self.end {
            return None;
        }
        tokio::select! {
            biased;
            // An error means that there is no broker any more.
            _ = self.stage.wait_for(|stage| *stage == ServiceStage::Draining) => return None,
            () = self.reservation.revoked() => return None,
            () = sleep_until(self.next.into()) => {}
        }
        self.next = next_event(self.page.start, clock::now(), interval(self.page.audience));
        self.page.made(&self.front).await.ok()?.event
    }
}

/// The time of the first event after `now`. All readers get it at once, so that they share
/// what is made for it.
pub(super) fn next_event(start: Instant, now: Instant, interval: Duration) -> Instant {
    let passed = now.saturating_duration_since(start);
    let since_last = Duration::from_nanos_u128(passed.as_nanos() % interval.as_nanos().max(1));
    now + interval.saturating_sub(since_last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_is_one_event() {
        let expected = "retry: 5000\ndata: a\ndata: \ndata:  b\n\n";
        assert_eq!(event("a\n\n b"), expected);
        assert_eq!(event("a\r\n b"), expected);
    }

    #[test]
    fn all_readers_get_an_event_at_once() {
        let start = clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        for (now, expected) in [(0, 2_000), (1, 2_000), (1_999, 2_000), (2_000, 4_000)] {
            let next = next_event(start, at(now), Duration::from_secs(2));
            assert_eq!(next, at(expected), "{now}");
        }
    }
}
