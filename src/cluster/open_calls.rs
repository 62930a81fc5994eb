//! The calls that wait for replies of other nodes.

use tokio::sync::watch;

use crate::metrics::labels::PeerName;
use crate::peers::Ended;
use crate::wire::session_description::SessionDescription;

/// The progress of a call. It never goes back, however messages are doubled and reordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallProgress {
    /// The node has said nothing yet.
    Asked,
    /// A proxy has the offer.
    Taken,
    /// The call has ended.
    Ended(Result<SessionDescription, Ended>),
}

/// An offer at another node, as its replies find it.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) node: PeerName,
    pub(super) progress: watch::Sender<CallProgress>,
}

impl OpenCall {
    /// Handles a reply of the node.
    pub(super) fn advance(&self, reply: CallProgress) {
        self.progress.send_if_modified(|progress| {
            let is_news = matches!(
                (&*progress, &reply),
                (
                    CallProgress::Asked,
                    CallProgress::Taken | CallProgress::Ended(_)
                ) | (CallProgress::Taken, CallProgress::Ended(_))
            );
            if is_news {
                *progress = reply;
            }
            is_news
        });
    }
}
