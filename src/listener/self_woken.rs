//! Tasks that wake themselves while they are polled.
//!
//! A connection does so with each request: hyper wakes it when the service begins to read the
//! body, which is in the same task. tokio takes that for a task that makes way for others: it puts
//! it at the end of a queue and wakes another thread to take it from there, which costs more than
//! the request. So such a task is polled again at once instead.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The maximum number of polls in a row. Then the task does make way for others.
const POLLS_MAX: usize = 8;

/// Polls a future again at once if it has woken itself.
pub(super) async fn polled_again<F: Future>(mut future: Pin<Box<F>>) -> F::Output {
    let task = Arc::<SelfWoken>::default();
    let own = Waker::from(Arc::clone(&task));
    poll_fn(|context| task.poll(context.waker(), &own, future.as_mut())).await
}

/// A task, as the future in it wakes it.
#[derive(Debug, Default)]
struct SelfWoken(Mutex<WakeState>);

#[derive(Debug, Default)]
struct WakeState {
    phase: WakePhase,
    /// The waker of tokio's task.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WakePhase {
    /// The future waits.
    #[default]
    Waiting,
    /// The future is being polled.
    Polled,
    /// The future is being polled, and was woken meanwhile.
    Woken,
}

impl SelfWoken {
    fn poll<F: Future>(
        &self,
        waker: &Waker,
        own: &Waker,
        mut future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        for _ in 0..POLLS_MAX {
            self.begin(waker);
            let polled = future.as_mut().poll(&mut Context::from_waker(own));
            if self.end() == WakePhase::Polled || polled.is_ready() {
                return polled;
            }
        }
        waker.wake_by_ref();
        Poll::Pending
    }

    fn begin(&self, waker: &Waker) {
        let mut state = self.state();
        state.phase = WakePhase::Polled;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Ends a poll. Wakes go to the task from then on.
    fn end(&self) -> WakePhase {
        std::mem::take(&mut self.state().phase)
    }

    fn state(&self) -> MutexGuard<'_, WakeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for SelfWoken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        if state.phase != WakePhase::Waiting {
            state.phase = WakePhase::Woken;
            return;
        }
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use futures_util::task::noop_waker_ref;
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::time::timeout;

    use super::*;

    /// A waker that counts.
    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a future once that wakes itself with each of its first polls. Returns the number of
    /// its polls, and of the wakes of its task.
    fn polled(wakes_itself: usize) -> (usize, usize) {
        let polls = AtomicUsize::new(0);
        let future = poll_fn(|context| {
            if polls.fetch_add(1, Ordering::Relaxed) < wakes_itself {
                context.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        let counter = Arc::<Counter>::default();
        let waker = Waker::from(Arc::clone(&counter));
        let again = polled_again(Box::pin(future));
        let mut again = Box::pin(again);
        let is_pending = again
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending();
        assert!(is_pending);
        drop(again);
        (polls.into_inner(), counter.0.load(Ordering::Relaxed))
    }

    #[test]
    fn a_task_that_wakes_itself_is_polled_again_at_once() {
        assert_eq!(polled(0), (1, 0));
        assert_eq!(polled(2), (3, 0));
    }

    #[test]
    fn a_task_that_wakes_itself_all_the_time_makes_way_for_others() {
        assert_eq!(polled(1_000), (POLLS_MAX, 1));
    }

    #[test]
    fn a_task_that_has_ended_may_be_woken() {
        let mut wakers = Vec::new();
        let future = poll_fn(|context| {
            wakers.push(context.waker().clone());
            Poll::Ready(7)
        });
        let mut again = Box::pin(polled_again(Box::pin(future)));
        let mut context = Context::from_waker(noop_waker_ref());
        assert_eq!(again.as_mut().poll(&mut context), Poll::Ready(7));
        drop(again);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes come from other threads before, during and after each poll.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        const MESSAGES: usize = 100_000;
        let (sender, mut messages) = unbounded_channel();
        let receiving = tokio::spawn(polled_again(Box::pin(async move {
            let mut count = 0;
            while messages.recv().await.is_some() {
                count += 1;
            }
            count
        })));
        let sending = thread::spawn(move || {
            for number in 0..MESSAGES {
                sender.send(number).unwrap();
                if number % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
        let count = timeout(Duration::from_mins(1), receiving).await;
        assert_eq!(count.unwrap().unwrap(), MESSAGES);
        sending.join().unwrap();
    }
}
