//! The end of a server, step by step.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::yield_now;

use super::keep_open::KeepOpen;

/// The steps of a server on the way to its end. Each stage goes on with what the one
/// before began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClosingStage {
    /// It is not.
    #[default]
    Serving,
    /// Over HTTP/1 each response is the last one of its connection, unless the
    /// connection is held.
    Retiring,
    /// No connection is accepted any more, and those that nobody holds end.
    Leaving,
    /// Every connection ends, after the requests that it is at.
    Closing,
}

/// Tells a server, and whoever wants to know, how far it is.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<watch::Sender<ClosingStage>>);

impl Closing {
    /// On to a stage. There is no way back.
    pub fn advance(&self, stage: ClosingStage) {
        self.0.send_if_modified(|current| {
            let is_later = stage > *current;
            *current = stage.max(*current);
            is_later
        });
    }

    /// Returns true if the response that a connection has now is its last one.
    pub(super) fn is_last_response(&self, keep_open: &KeepOpen) -> bool {
        *self.0.borrow() >= ClosingStage::Retiring && !keep_open.is_held()
    }

    /// Returns once every connection ends.
    pub async fn ended(self) {
        self.reached(ClosingStage::Closing).await;
    }

    pub(super) async fn reached(&self, stage: ClosingStage) {
        // It fails when the sender is gone, and we have it.
        drop(self.0.subscribe().wait_for(|at| *at >= stage).await);
    }

    /// Returns when a connection has to end.
    pub(super) async fn farewell(&self, keep_open: &KeepOpen) {
        self.reached(ClosingStage::Retiring).await;
        // In a box: what is only needed at the end costs no open connection
        // memory before.
        Box::pin(self.end_of_keep_open(keep_open)).await;
    }

    async fn end_of_keep_open(&self, keep_open: &KeepOpen) {
        let leaving = async {
            self.reached(ClosingStage::Leaving).await;
            keep_open.released().await;
            // A request that has come already is read before the connection is
            // closed for being idle.
            yield_now().await;
        };
        tokio::select! {
            () = leaving => {}
            () = self.reached(ClosingStage::Closing) => {}
            () = keep_open.expire() => {}
        }
    }
}
