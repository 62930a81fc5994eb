//! Pages that are expensive to make and read often: requests that arrive while a page is
//! being made share it, and so do requests during its lifetime. Only one thread makes a
//! page at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::broker::clock;

/// The time-out for a page that is being made, for example because a disk is slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reason why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPage {
    /// The page is still being made.
    #[error("the page was not made in time")]
    TooSlow,
    /// The function that makes it panicked.
    #[error("the page could not be made")]
    Failed,
}

/// The last page, and the state of the next one.
#[derive(Debug)]
struct Slot<T> {
    /// The last page, and the time at which it was begun.
    made: Option<(Instant, T)>,
    /// The number of pages that were made or failed.
    count: u64,
    is_in_the_making: bool,
}

/// A cached page, cheap to clone.
#[derive(Debug)]
pub(super) struct CachedPage<T> {
    lifetime: Duration,
    slot: Arc<watch::Sender<Slot<T>>>,
}

impl<T: Clone + Send + Sync + 'static> CachedPage<T> {
    /// A page that is made again when it is requested and older than `lifetime`.
    pub(super) fn new(lifetime: Duration) -> Self {
        let slot = Slot {
            made: None,
            count: 0,
            is_in_the_making: false,
        };
        Self {
            lifetime,
            slot: Arc::new(watch::Sender::new(slot)),
        }
    }

    /// The page. `make` may block. It runs to the end, and its page is kept, even if the
    /// requester has left.
    pub(super) async fn get(&self, make: impl FnOnce() -> T + Send + 'static) -> Result<T, NoPage> {
        let mut slot = self.slot.subscribe();
        let (count, making) = self.begin();
        if let Some(making) = making {
            spawn_blocking(move || making.finish(make()));
        }
        let slot = timeout(PATIENCE, slot.wait_for(|slot| slot.count >= count))
            .await
            .map_err(|_| NoPage::TooSlow)?
            // An error means that the sender is gone, but `self` holds it.
            .map_err(|_| NoPage::Failed)?;
        let page = slot.made.as_ref().map(|(_, page)| page.clone());
        page.ok_or(NoPage::Failed)
    }

    /// The count at which the requester's page will be ready, and the guard for making it
    /// if nobody else does.
    fn begin(&self) -> (u64, Option<Making<T>>) {
        let now = clock::now();
        let is_fresh = |begun: Instant| now.saturating_duration_since(begun) < self.lifetime;
        let mut count = 0;
        let is_needed = self.slot.send_if_modified(|slot| {
            let is_there = slot
                .made
                .as_ref()
                .is_some_and(|(begun, _)| is_fresh(*begun));
            let is_needed = !is_there && !slot.is_in_the_making;
            slot.is_in_the_making |= is_needed;
            count = slot.count + u64::from(!is_there);
            is_needed
        });
        let making = is_needed.then(|| Making {
            begun: now,
            page: None,
            slot: Arc::clone(&self.slot),
        });
        (count, making)
    }
}

/// Guard of a page that is being made. Dropped without a page, it removes the old one: an
/// outdated page must not hide a failure.
struct Making<T> {
    begun: Instant,
    page: Option<T>,
    slot: Arc<watch::Sender<Slot<T>>>,
}

impl<T> Making<T> {
    fn finish(mut self, page: T) {
        self.page = Some(page);
    }
}

impl<T> Drop for Making<T> {
    fn drop(&mut self) {
        let made = self.page.take().map(|page| (self.begun, page));
        self.slot.send_modify(|slot| {
            slot.made = made;
            slot.count += 1;
            slot.is_in_the_making = false;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A page that shows how many pages were made before it.
    struct Counted {
        page: CachedPage<usize>,
        made: Arc<AtomicUsize>,
    }

    impl Counted {
        fn new() -> Self {
            Self {
                page: CachedPage::new(SECOND),
                made: Arc::default(),
            }
        }

        async fn get(&self) -> Result<usize, NoPage> {
            let made = Arc::clone(&self.made);
            self.page
                .get(move || made.fetch_add(1, Ordering::SeqCst))
                .await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_made_once_in_its_lifetime() {
        let counted = Counted::new();
        for second in 0..3 {
            for _ in 0..100 {
                assert_eq!(counted.get().await, Ok(second));
            }
            advance(SECOND).await;
        }
    }

    #[tokio::test]
    async fn all_who_ask_share_the_one_in_the_making() {
        let page = CachedPage::new(Duration::ZERO);
        let (go, wait) = mpsc::channel::<()>();
        let first = page.get(move || wait.recv().map_or(0, |()| 1));
        let others = (0..100).map(|_| page.get(|| 2).boxed());
        let mut all = vec![first.boxed()];
        all.extend(others);
        for asked in &mut all {
            assert!(asked.now_or_never().is_none());
        }
        go.send(()).unwrap();
        for asked in all {
            assert_eq!(asked.await, Ok(1));
        }
    }

    #[tokio::test]
    async fn who_no_longer_waits_leaves_a_page_for_the_next() {
        let page = CachedPage::new(SECOND * 60);
        let (go, wait) = mpsc::channel::<()>();
        let left = page.get(move || wait.recv().map_or(0, |()| 1));
        assert!(left.boxed().now_or_never().is_none());
        let next = page.get(|| 2);
        go.send(()).unwrap();
        assert_eq!(next.await, Ok(1));
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_made_hides_behind_no_older_one() {
        let page = CachedPage::new(Duration::ZERO);
        assert_eq!(page.get(|| 1).await, Ok(1));
        assert_eq!(page.get(|| panic!("as a test")).await, Err(NoPage::Failed));
        assert_eq!(page.get(|| 2).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let page = CachedPage::new(SECOND);
        let (_go, wait) = mpsc::channel::<()>();
        let slow = page.get(move || wait.recv().is_ok());
        let (slow, ()) = tokio::join!(slow, advance(PATIENCE));
        assert_eq!(slow, Err(NoPage::TooSlow));
    }
}
