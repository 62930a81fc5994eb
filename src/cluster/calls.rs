//! Offers of our clients at other nodes: one is asked after the other.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use crate::broker::clock;
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted};
use crate::matching::PeerReply;
use crate::metrics::labels::{LoanOutcome, PeerName};
use crate::peers::{Ended, Need};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

use super::Cluster;
use super::convert::{self, LENGTH_MAX};
use super::open_calls::{CallProgress, OpenCall};

/// The time for which a node may say nothing to an offer before the next one is asked.
const SILENT_AFTER: Duration = Duration::from_millis(50);

/// A call to a node, withdrawn when dropped early.
struct NodeCall<'a> {
    cluster: &'a Cluster,
    node: PeerName,
    id: u64,
    need: Need,
    began: Instant,
    progress: watch::Receiver<CallProgress>,
    ended: Ended,
}

impl Overflow for Cluster {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        let need = Need { class, fingerprint };
        let now = clock::now();
        let state = self.state();
        state.echo.is_heard(now) && state.members.has_supply(now, need)
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        Box::pin(async move {
            loop {
                let heard = self.heard_of_supply.notified();
                if self.has_supply(class, fingerprint) {
                    return;
                }
                heard.await;
            }
        })
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(self.ask_nodes(wanted))
    }

    /// Nodes are no peers.
    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }
}

impl Cluster {
    /// Asks one node after the other while there is time.
    async fn ask_nodes(&self, wanted: Wanted) -> PeerReply {
        let mut reply = PeerReply::NotAsked;
        if wanted.want.offer.text().len() > LENGTH_MAX {
            return reply;
        }
        while clock::now() <= wanted.ask.last_call {
            let Some(mut call) = self.begin_call(&wanted) else {
                break;
            };
            match call.ask(&wanted).await {
                Ok(answer) => {
                    let since_asked = call.took();
                    return PeerReply::Answered {
                        answer,
                        since_asked,
                    };
                }
                Err(NotAnswered { was_offered: true }) => reply = PeerReply::Unanswered,
                Err(_) if reply == PeerReply::NotAsked => reply = PeerReply::NoProxy,
                Err(_) => {}
            }
        }
        reply
    }

    fn begin_call(&self, wanted: &Wanted) -> Option<NodeCall<'_>> {
        let need = Need {
            class: NatClass::of(wanted.want.nat),
            fingerprint: wanted.want.fingerprint,
        };
        let now = clock::now();
        let mut asked = wanted.asked.names();
        let mut state = self.state();
        if !state.echo.is_heard(now) {
            return None;
        }
        let draws = [state.rng.f64(), state.rng.f64()];
        let node = state.members.choose(now, need, &asked, draws)?;
        asked.insert(node.clone());
        let id = state.next_id();
        let (sender, progress) = watch::channel(CallProgress::Asked);
        let open = OpenCall {
            node: node.clone(),
            progress: sender,
        };
        state.calls.insert(id, open);
        Some(NodeCall {
            cluster: self,
            node,
            id,
            need,
            began: now,
            progress,
            ended: Ended::Cancelled,
        })
    }
}

/// The end of a call without an answer.
struct NotAnswered {
    /// True if a proxy may have had the offer.
    was_offered: bool,
}

impl NodeCall<'_> {
    async fn ask(&mut self, wanted: &Wanted) -> Result<SessionDescription, NotAnswered> {
        let deadline = wanted.ask.deadline;
        let offer = convert::offer(self.id, self.cluster.millis(deadline), wanted);
        let sent = self.cluster.send_to(self.node.as_str(), Body::Offer(offer));
        if sent.is_err() {
            self.ended = Ended::Failed;
            return Err(NotAnswered { was_offered: false });
        }
        let replied = |progress: &CallProgress| *progress != CallProgress::Asked;
        if timeout(SILENT_AFTER, self.progress.wait_for(replied))
            .await
            .is_err()
        {
            self.ended = Ended::Failed;
            return Err(NotAnswered { was_offered: true });
        }
        let has_ended = |progress: &CallProgress| matches!(progress, CallProgress::Ended(_));
        let ended = timeout_at(deadline.into(), self.progress.wait_for(has_ended)).await;
        let ended = match ended {
            Ok(Ok(progress)) => progress.clone(),
            Ok(Err(_)) | Err(_) => CallProgress::Taken,
        };
        match ended {
            CallProgress::Ended(Ok(answer)) => {
                self.ended = Ended::Answered;
                Ok(answer)
            }
            CallProgress::Ended(Err(ended)) => {
                self.ended = ended;
                let was_offered = !matches!(ended, Ended::NoProxies | Ended::Refused(_));
                Err(NotAnswered { was_offered })
            }
            CallProgress::Asked | CallProgress::Taken => {
                self.ended = Ended::Failed;
                Err(NotAnswered { was_offered: true })
            }
        }
    }

    fn took(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }
}

impl Drop for NodeCall<'_> {
    fn drop(&mut self) {
        let (cluster, took) = (self.cluster, self.took());
        let mut state = cluster.state();
        state.calls.remove(&self.id);
        let jitter = state.rng.f64();
        let end = (took, self.ended);
        state
            .members
            .ended(clock::now(), &self.node, self.need, end, jitter);
        drop(state);
        cluster.metrics.node_offer_sent(outcome(self.ended));
        match self.ended {
            Ended::Answered => cluster.metrics.node_answered(took),
            // The node may still have the offer.
            Ended::Failed | Ended::Cancelled => {
                let cancel = Body::Cancel(v1::Cancel { id: self.id });
                // If it is not sent, the node gives up at the offer's deadline.
                drop(cluster.send_to(self.node.as_str(), cancel));
            }
            Ended::NoProxies | Ended::TimedOut | Ended::Refused(_) => {}
        }
    }
}

fn outcome(ended: Ended) -> LoanOutcome {
    match ended {
        Ended::Answered => LoanOutcome::Answered,
        Ended::NoProxies => LoanOutcome::NoProxies,
        Ended::TimedOut => LoanOutcome::TimedOut,
        Ended::Refused(_) => LoanOutcome::Refused,
        Ended::Failed => LoanOutcome::Failed,
        Ended::Cancelled => LoanOutcome::Cancelled,
    }
}
