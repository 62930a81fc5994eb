//! Streams of an HTTP/2 connection, each of which can be ended by itself: hyper
//! asks for no more of a response that its peer does not take, and so would keep
//! it for as long as the connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::sync::Notify;

/// One stream, from its request on.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    end: Notify,
    /// hyper has done with it, and what is left is with h2.
    is_done: AtomicBool,
}

impl StreamWatch {
    /// Ends the stream, if hyper has not done with it; whether it has not.
    pub(super) fn end(&self) -> bool {
        self.end.notify_one();
        !self.is_done.load(Ordering::Acquire)
    }
}

/// Spawns the streams of one connection. hyper hands a stream over right after it
/// has called the service for its request.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamExecutor(Arc<Mutex<Option<Arc<StreamWatch>>>>);

impl StreamExecutor {
    /// Watches the stream that comes next.
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
        // None for what hyper does besides.
        let watch = self.take_next().unwrap_or_default();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stream => watch.is_done.store(true, Ordering::Release),
                // Dropped, the stream is reset.
                () = watch.end.notified() => {}
            }
        });
    }
}
