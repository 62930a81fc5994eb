//! The lease of the node that writes for all. Pure.
//!
//! The holder renews its value in time. Who has not seen that for twice the time of a lease,
//! on its own clock, takes the lease over, which succeeds for one only. The holder itself
//! counts from before its last renewal, so that it gives up before anybody takes over.

use std::time::{Duration, Instant};

use crate::proto::cluster::v1;

use super::revision::LastRevision;

/// The time for which a lease is held without being renewed.
pub(super) const TERM: Duration = Duration::from_secs(6);
/// The interval of renewals.
const RENEWAL: Duration = Duration::from_secs(2);

/// The lease, as one node sees it.
#[derive(Debug)]
pub(super) struct LeaseView {
    node: String,
    incarnation: u64,
    revision: LastRevision,
    seen: Option<SeenLease>,
    /// The beginning of our last attempt to write it.
    attempted: Option<Instant>,
    /// The beginning of the attempt by which we hold it.
    renewed: Option<Instant>,
}

#[derive(Debug)]
struct SeenLease {
    holder: Option<(String, u64)>,
    since: Instant,
}

impl LeaseView {
    pub(super) fn new(node: &str, incarnation: u64) -> Self {
        Self {
            node: node.to_owned(),
            incarnation,
            revision: LastRevision::default(),
            seen: None,
            attempted: None,
            renewed: None,
        }
    }

    /// Notes a value, if it is newer than what was seen.
    pub(super) fn observe(&mut self, now: Instant, revision: u64, lease: Option<v1::Lease>) {
        if !self.revision.note(revision) {
            return;
        }
        let lease = lease.filter(|lease| !lease.node.is_empty());
        let holder = lease.map(|lease| (lease.node, lease.incarnation));
        let is_ours = holder == Some((self.node.clone(), self.incarnation));
        self.renewed = if is_ours { self.attempted } else { None };
        self.seen = Some(SeenLease { holder, since: now });
    }

    /// Notes that the watch begins anew. The bucket may be another one.
    pub(super) fn begin_watch(&mut self) {
        self.revision.begin_watch();
    }

    /// Notes that all is told. What was not is not there any more.
    pub(super) fn complete(&mut self) {
        if self.revision.complete() {
            self.seen = None;
        }
    }

    /// The revision over which a lease of ours is to be written now, if it is.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        let Some(seen) = &self.seen else {
            return Some(0);
        };
        let since = |then: Instant| now.saturating_duration_since(then);
        let is_due = match (&seen.holder, self.renewed) {
            (None, _) => true,
            (Some(_), Some(renewed)) => since(renewed) >= RENEWAL,
            (Some(_), None) => since(seen.since) >= 2 * TERM,
        };
        is_due.then_some(self.revision.number())
    }

    /// Notes that we begin to write it.
    pub(super) fn attempt(&mut self, now: Instant) {
        self.attempted = Some(now);
    }

    /// Notes that what we have attempted is written.
    pub(super) fn written(&mut self, now: Instant, revision: u64, lease: v1::Lease) {
        self.observe(now, revision, Some(lease));
    }

    /// Returns true if we hold it.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.renewed
            .is_some_and(|renewed| now.saturating_duration_since(renewed) < TERM)
    }

    /// The revision of our lease.
    pub(super) fn ours(&self, now: Instant) -> Option<u64> {
        self.is_held(now).then_some(self.revision.number())
    }

    /// The name of the holder, if there is one whose lease has not ended.
    pub(super) fn holder(&self, now: Instant) -> Option<&str> {
        let seen = self.seen.as_ref()?;
        let (node, _) = seen.holder.as_ref()?;
        let is_fresh = now.saturating_duration_since(seen.since) < 2 * TERM;
        is_fresh.then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn lease(node: &str) -> v1::Lease {
        v1::Lease {
            node: node.to_owned(),
            incarnation: 1,
            deadline_ms: 0,
        }
    }

    fn acquired(now: Instant) -> LeaseView {
        let mut view = LeaseView::new("a", 1);
        assert_eq!(view.due(now), Some(0));
        view.attempt(now);
        view.written(now, 5, lease("a"));
        view
    }

    #[test]
    fn a_lease_is_renewed_and_ends_unless_it_is() {
        let now = start();
        let mut view = acquired(now);
        assert!(view.is_held(now));
        assert_eq!((view.due(now), view.ours(now)), (None, Some(5)));
        let later = now + RENEWAL;
        assert_eq!(view.due(later), Some(5));
        view.attempt(later);
        // Nobody knows whether that was written.
        assert!(view.is_held(now + TERM.saturating_sub(MILLISECOND)));
        assert!(!view.is_held(now + TERM));
        // It was, and counts from the attempt.
        view.observe(later + RENEWAL, 6, Some(lease("a")));
        assert!(view.is_held(now + TERM));
        assert!(!view.is_held(later + TERM));
    }

    #[test]
    fn a_lease_is_taken_over_after_twice_its_time_on_ones_own_clock() {
        let now = start();
        let mut view = LeaseView::new("b", 1);
        view.observe(now, 7, Some(lease("a")));
        assert_eq!((view.due(now), view.holder(now)), (None, Some("a")));
        let almost = now + (2 * TERM).saturating_sub(MILLISECOND);
        assert_eq!(view.due(almost), None);
        // A renewal begins the time anew, an old value does not.
        view.observe(almost, 8, Some(lease("a")));
        view.observe(almost + TERM, 7, Some(lease("a")));
        assert_eq!(view.due(now + 2 * TERM), None);
        let over = almost + 2 * TERM;
        assert_eq!((view.due(over), view.holder(over)), (Some(8), None));
    }

    #[test]
    fn what_is_given_back_or_deleted_is_taken_at_once() {
        let now = start();
        let mut view = LeaseView::new("b", 1);
        view.observe(now, 7, Some(lease("")));
        assert_eq!(view.due(now), Some(7));
        view.observe(now, 8, None);
        assert_eq!(view.due(now), Some(8));
    }

    #[test]
    fn an_earlier_process_of_the_name_is_somebody_else() {
        let now = start();
        let mut view = LeaseView::new("a", 2);
        view.observe(now, 7, Some(lease("a")));
        assert!(!view.is_held(now));
        assert_eq!(view.due(now), None);
    }

    #[test]
    fn who_loses_it_stops_at_once() {
        let now = start();
        let mut view = acquired(now);
        view.observe(now, 6, Some(lease("b")));
        assert!(!view.is_held(now));
        assert_eq!(view.holder(now), Some("b"));
    }
}
