//! The interface to the other nodes of a cluster, as far as they are more than peers: an
//! answer may come to another node than the poll.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::matching::AnswerOutcome;
use crate::metrics::labels::{PeerName, PrivatePoolName, Request, StrayAnswerFate};
use crate::wire::nat::NatClass;
use crate::wire::proxy::Sid;
use crate::wire::session_description::SessionDescription;

use super::Broker;
use super::caller::Caller;
use super::clock;
use super::limits::MALFORMED;
use super::overflow::Overflow;
use super::sid_digests::{SidDigest, SidDigests, SidKey};
use super::sources_elsewhere::{SourceTallies, TOLD_MAX};

/// The other nodes of this broker's cluster, which also have proxies to borrow.
pub trait OtherNodes: Overflow {
    /// Passes on an answer for whose Sid this broker knows no offer, `None` if the proxy
    /// says that it cannot answer. Completes when the node with the offer has replied, or
    /// all that live, or time is up.
    fn pass_on(&self, sid: Sid, answer: Option<SessionDescription>) -> PassingOn<'_>;

    /// The state of the cluster.
    fn status(&self) -> ClusterStatus;

    /// The same nodes, for the clients and proxies of a private pool.
    fn of_private_pool(&self, name: &PrivatePoolName) -> Arc<dyn OtherNodes>;
}

/// The state of a cluster, as one of its nodes sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The name of the cluster.
    pub name: String,
    /// The name of this node.
    pub node: String,
    /// True if messages of this node come back from the bus.
    pub is_connected: bool,
    /// True if what all nodes share can be reached.
    pub has_bucket: bool,
    /// The node that writes for all, if one is known to.
    pub lease_holder: Option<String>,
    /// The other nodes that are heard of, by name.
    pub others: Vec<NodeStatus>,
}

/// The state of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The name of the node.
    pub name: PeerName,
    /// The version of its program.
    pub version: String,
    /// The proxies that it has for the clients of others, by pool.
    pub supply: [usize; NatClass::ALL.len()],
    /// The time since it was last heard of.
    pub silent_for: Duration,
    /// The time that its last message took beyond its fastest one of late.
    pub lag: Duration,
    /// True if it is about to stop.
    pub is_draining: bool,
    /// The number of our offers that wait for its answer.
    pub offers_sent: usize,
    /// The recent average time of its answers.
    pub latency: Option<Duration>,
}

/// A future with the outcome of a stray answer.
pub type PassingOn<'a> = Pin<Box<dyn Future<Output = StrayAnswerFate> + Send + 'a>>;

impl Broker {
    /// Adds the other nodes of a cluster, which know Sids by their digests under any of
    /// these keys.
    #[must_use]
    pub fn in_cluster(mut self, others: Arc<dyn OtherNodes>, keys: Vec<SidKey>) -> Self {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.sid_digests = SidDigests::new(keys);
        self.others = Some(others);
        self
    }

    /// Lets a private pool's broker have the other nodes of the public one's cluster.
    pub(super) fn in_cluster_of(self, public: &Self, name: &PrivatePoolName) -> Self {
        let Some(others) = &public.others else {
            return self;
        };
        let keys = public.lock().sid_digests.keys();
        self.in_cluster(others.of_private_pool(name), keys)
    }

    /// Accepts an answer that came to another node; `None` if its proxy says that it cannot
    /// answer.
    pub fn stray_answer(
        &self,
        digest: SidDigest,
        answer: Option<SessionDescription>,
    ) -> StrayAnswerFate {
        let outcome = self.step(|state, now| {
            let sid = state.sid_digests.find(digest)?;
            let matcher = &mut state.matcher;
            Some(match answer {
                Some(answer) => matcher.handle_answer(now, &sid, answer),
                None => matcher.handle_decline(now, &sid),
            })
        });
        match outcome {
            None => StrayAnswerFate::Unknown,
            Some(AnswerOutcome::Delivered | AnswerOutcome::Declined) => StrayAnswerFate::Delivered,
            Some(_) => StrayAnswerFate::ClientGone,
        }
    }

    /// The busiest sources here, for the other nodes of a cluster.
    pub fn source_tallies(&self) -> SourceTallies {
        self.step(|state, now| {
            let busiest = state.matcher.busiest_sources(TOLD_MAX);
            let sources = state.sources.as_mut().filter(|_| !busiest.is_empty());
            sources.map(|sources| sources.tallies(now, busiest))
        })
        .unwrap_or_default()
    }

    /// Notes what another node of the cluster has said of its sources. What has not been said
    /// again for 3 s no longer counts.
    pub fn hear_source_tallies(&self, node: &PeerName, tallies: SourceTallies) {
        let mut state = self.lock();
        if let Some(sources) = &mut state.sources {
            sources.heard(clock::now(), node, tallies);
        }
    }

    /// Passes on an answer if no poll here has its Sid; `None` if it is for this broker, or no
    /// node knows the Sid. Such a Sid costs its sender as much as a malformed request: it
    /// has cost all nodes a message. That is taken before, so that nobody sends many at once.
    pub(super) async fn pass_on(
        &self,
        caller: Caller,
        sid: Sid,
        answer: Option<&SessionDescription>,
    ) -> Option<StrayAnswerFate> {
        let others = self.others.as_deref()?;
        if self.lock().matcher.knows(&sid) {
            return None;
        }
        let price = MALFORMED - 1;
        let charged = self.charge(Request::ProxyAnswer, caller.origin, None, price);
        let fate = others.pass_on(sid, answer.cloned()).await;
        self.metrics.stray_answer(fate);
        if fate == StrayAnswerFate::Unknown {
            return None;
        }
        self.refund(charged.as_ref());
        Some(fate)
    }
}
