//! Offers of our clients at other nodes: one is asked after the other.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use crate::broker::clock;
use crate::broker::overflow::Wanted;
use crate::matching::PeerReply;
use crate::metrics::labels::{PeerName, PrivatePoolName};
use crate::peers::{Ended, Need};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;
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
    need: &'a Need,
    began: Instant,
    progress: watch::Receiver<CallProgress>,
    ended: Ended,
}

impl Cluster {
    /// Returns true if a node can be asked for such a proxy.
    pub(super) fn has_supply(&self, need: &Need) -> bool {
        let now = clock::now();
        let state = self.state();
        state.echo.is_heard(now) && state.members.has_supply(now, need)
    }

    /// Asks one node after the other while there is time.
    pub(super) async fn ask_nodes(
        &self,
        private_pool: Option<PrivatePoolName>,
        wanted: Wanted,
    ) -> PeerReply {
        let mut reply = PeerReply::NotAsked;
        let deadline_ms = self.millis(wanted.ask.deadline);
        let offer = convert::offer(deadline_ms, private_pool.as_ref(), &wanted);
        let need = Need {
            private_pool,
            class: NatClass::of(wanted.want.nat),
            fingerprint: wanted.want.fingerprint,
        };
        if offer.offer.len() > LENGTH_MAX {
            return reply;
        }
        while clock::now() <= wanted.ask.last_call {
            let Some(mut call) = self.begin_call(&need, &wanted) else {
                break;
            };
            match call.ask(wanted.ask.deadline, offer.clone()).await {
                Ok(answer) => {
                    let since_asked = call.took();
                    return PeerReply::Answered {
                        answer,
                        since_asked,
                    };
                }
                Err(without_answer) => reply = reply.followed_by(without_answer),
            }
            // It has said that it has none, and may have one later.
            if call.ended == Ended::NoProxies {
                wanted.asked.names().remove(&call.node);
            }
        }
        reply
    }

    fn begin_call<'a>(&'a self, need: &'a Need, wanted: &Wanted) -> Option<NodeCall<'a>> {
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

impl NodeCall<'_> {
    /// Sends the offer, and waits for its end. Without an answer, returns whether a proxy may
    /// have had it. A node that has said nothing is not assumed to have given it to one: if that
    /// counted as an attempt, a node that hangs would cost clients the second proxy.
    async fn ask(
        &mut self,
        deadline: Instant,
        offer: v1::Offer,
    ) -> Result<SessionDescription, PeerReply> {
        let id = self.id;
        let offer = Body::Offer(v1::Offer { id, ..offer });
        if self.cluster.send_to(self.node.as_str(), offer).is_err() {
            self.ended = Ended::Failed;
            return Err(PeerReply::NoProxy);
        }
        let ended = self.end(deadline).await;
        self.ended = match &ended {
            Ok(_) => Ended::Answered,
            Err(ended) => *ended,
        };
        let is_silent = *self.progress.borrow() == CallProgress::Asked;
        ended.map_err(|ended| match ended {
            Ended::Failed if is_silent => PeerReply::NoProxy,
            ended => ended.without_answer(),
        })
    }

    /// Waits for the first word of the node, and then for the last.
    async fn end(&mut self, deadline: Instant) -> Result<SessionDescription, Ended> {
        let replied = |progress: &CallProgress| *progress != CallProgress::Asked;
        let is_silent = timeout(SILENT_AFTER, self.progress.wait_for(replied))
            .await
            .is_err();
        if is_silent {
            return Err(Ended::Failed);
        }
        let has_ended = |progress: &CallProgress| matches!(progress, CallProgress::Ended(_));
        let last = timeout_at(deadline.into(), self.progress.wait_for(has_ended)).await;
        match last {
            Ok(Ok(progress)) => match &*progress {
                CallProgress::Ended(ended) => ended.clone(),
                CallProgress::Asked | CallProgress::Taken => Err(Ended::Failed),
            },
            Ok(Err(_)) => Err(Ended::Failed),
            // It has said that a proxy has the offer, so it is the proxy that was silent. The
            // node gives up at the same time, and its word of that may come too late.
            Err(_) => Err(Ended::TimedOut),
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
        cluster.metrics.node_offer_sent(self.ended.outcome());
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
