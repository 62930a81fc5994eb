//! Streams of an HTTP/2 connection that can be ended individually. If a peer does not
//! read a response, hyper stops polling its body, and would keep it as long as the
//! connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::sync::Notify;

/// The state of one stream, from its request on.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    end: Notify,
    /// True if hyper has finished and only h2 still holds data.
    is_done: AtomicBool,
}

impl StreamWatch {
    /// Ends the stream. Returns true if hyper had not finished with it.
    pub(super) fn end(&self) -> bool {
        self.end.notify_one();
        !self.is_done.load(Ordering::Acquire)
    }
}

/// Spawns the streams of one connection. hyper spawns a stream right after calling the
/// service for its request.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamExecutor(Arc<Mutex<Option<Arc<StreamWatch>>>>);

impl StreamExecutor {
    /// Watches the next stream.
    pub(super) fn watch_next(&self) -> Arc<StreamWatch> {
        let watch = Arc::<StreamWatch>::default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&watch));
        watch
    }

    fn take_next(&self) -> Option<Arc<StreamWatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Empty for hyper's other tasks.
        let watch = self.take_next().unwrap_or_default();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stream => watch.is_done.store(true, Ordering::Release),
                // Dropping the stream resets it.
                () = watch.end.notified() => {}
            }
        });
    }
}
