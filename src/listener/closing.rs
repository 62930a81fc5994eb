//! The shutdown of a server in stages.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::yield_now;

use super::keep_open::KeepOpen;

/// The stages of a server's shutdown. Each stage includes the earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClosingStage {
    /// The server is not closing.
    #[default]
    Serving,
    /// With HTTP/1, each response is the last of its connection, unless the connection is
    /// held open.
    Retiring,
    /// No new connections are accepted, and connections that are not held open end.
    Leaving,
    /// Every connection ends after its current requests.
    Closing,
}

/// The shutdown stage, shared between a server and everything that depends on it.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<watch::Sender<ClosingStage>>);

impl Closing {
    /// Advances to a stage; never goes back.
    pub fn advance(&self, stage: ClosingStage) {
        self.0.send_if_modified(|current| {
            let is_later = stage > *current;
            *current = stage.max(*current);
            is_later
        });
    }

    /// Returns true if the current response of a connection is its last.
    pub(super) fn is_last_response(&self, keep_open: &KeepOpen) -> bool {
        *self.0.borrow() >= ClosingStage::Retiring && !keep_open.is_held()
    }

    /// Returns once every connection ends.
    pub async fn ended(self) {
        self.reached(ClosingStage::Closing).await;
    }

    pub(super) async fn reached(&self, stage: ClosingStage) {
        // An error means that the sender is gone, but `self` holds it.
        drop(self.0.subscribe().wait_for(|at| *at >= stage).await);
    }

    /// Returns when a connection must end.
    pub(super) async fn farewell(&self, keep_open: &KeepOpen) {
        self.reached(ClosingStage::Retiring).await;
        // Boxed, so that state needed only at shutdown uses no memory in each connection
        // before.
        Box::pin(self.end_of_keep_open(keep_open)).await;
    }

    async fn end_of_keep_open(&self, keep_open: &KeepOpen) {
        let leaving = async {
            self.reached(ClosingStage::Leaving).await;
            keep_open.released().await;
            // Reads a request that has already arrived before the connection is closed as
            // idle.
            yield_now().await;
        };
        tokio::select! {
            () = leaving => {}
            () = self.reached(ClosingStage::Closing) => {}
            () = keep_open.expire() => {}
        }
    }
}
