//! The tracker of the server's tasks. If a task ends that must not end before the server,
//! the program stops and names it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks, and watches those that must not end.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// The first task that ended although it must not.
    ended: Arc<watch::Sender<Option<&'static str>>>,
}

impl Supervisor {
    /// Spawns a task that must not end before [`Self::stop`]. The name is a noun phrase.
    pub(super) fn keep(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let watched = self.watch(name, task);
        self.tasks.spawn(async move {
            tokio::select! {
                () = watched => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Spawns a task that may end.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Wraps a task spawned elsewhere that must not end before [`Self::stop`].
    pub(super) fn watch<F: Future>(
        &self,
        name: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let ended = EndedTask {
            name,
            supervisor: self.clone(),
        };
        async move {
            // Also dropped if the task panics.
            let _ended = ended;
            task.await
        }
    }

    /// A child token: cancelled on its own or with all tasks.
    pub(super) fn child_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Waits until a task ends that must not, and returns its name.
    pub(super) async fn failed(&self) -> &'static str {
        let mut ended = self.ended.subscribe();
        // The sender is in `self`, so this cannot fail.
        let name = ended.wait_for(Option::is_some).await;
        name.map_or(None, |name| *name).unwrap_or("a task")
    }

    /// Ends all spawned tasks, and returns once they have ended.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Notes on drop that a task has ended.
struct EndedTask {
    name: &'static str,
    supervisor: Supervisor,
}

impl Drop for EndedTask {
    fn drop(&mut self) {
        if !self.supervisor.stop.is_cancelled() {
            let first = |ended: &mut Option<_>| {
                let is_first = ended.is_none();
                ended.get_or_insert(self.name);
                is_first
            };
            self.supervisor.ended.send_if_modified(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::panic::panic_any;

    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;

    /// Lets the other tasks run.
    async fn settle() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_and_must_not_is_named() {
        let supervisor = Supervisor::default();
        supervisor.keep("one that goes on", pending());
        supervisor.spawn(ready(()));
        settle().await;
        assert_eq!(supervisor.failed().now_or_never(), None);
        supervisor.keep("the driver", ready(()));
        assert_eq!(supervisor.failed().await, "the driver");
        supervisor.keep("a later one", ready(()));
        settle().await;
        assert_eq!(supervisor.failed().await, "the driver");
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let supervisor = Supervisor::default();
        supervisor.keep("the reloader", async { panic_any("a fault of this test") });
        assert_eq!(supervisor.failed().await, "the reloader");
    }

    #[tokio::test]
    async fn a_task_of_somebody_else_is_named() {
        let supervisor = Supervisor::default();
        let task = tokio::spawn(supervisor.watch("the listener", async { 7 }));
        assert_eq!(supervisor.failed().await, "the listener");
        assert_eq!(task.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn at_the_end_all_end_and_none_has_failed() {
        let supervisor = Supervisor::default();
        supervisor.keep("one", pending());
        supervisor.spawn(pending());
        supervisor.stop().await;
        assert_eq!(supervisor.failed().now_or_never(), None);
    }
}
