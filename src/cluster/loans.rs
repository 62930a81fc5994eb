//! Offers of other nodes' clients at this node.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::broker::loan::{LoanRequest, NotLent};
use crate::broker::{Broker, clock};
use crate::metrics::Metrics;
use crate::metrics::labels::{DroppedMessage, LoanOutcome, LoanRefusal, PeerName};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;

use super::Cluster;
use super::convert;
use super::members::Sender;
use super::nodes_of_pool::broker_of;

/// The longest time that an offer may have left.
const TIME_LEFT_MAX: Duration = Duration::from_mins(1);

/// An accepted offer, which is carried out by [`NodeLoan::run`].
pub(super) struct NodeLoan {
    cluster: Arc<Cluster>,
    broker: Arc<Broker>,
    node: PeerName,
    id: u64,
    request: LoanRequest,
    reserve: usize,
    cancelled: CancellationToken,
}

/// Counts the outcome of an offer on drop.
struct CountedLoan<'a> {
    metrics: &'a Metrics,
    outcome: LoanOutcome,
}

impl Drop for CountedLoan<'_> {
    fn drop(&mut self) {
        self.metrics.node_offer_received(self.outcome);
    }
}

impl Cluster {
    /// Accepts another node's offer, or says that it is not taken.
    pub(super) fn accept(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        sender: Sender<'_>,
        offer: v1::Offer,
    ) -> Result<Option<NodeLoan>, DroppedMessage> {
        let now = clock::now();
        let id = offer.id;
        let node = PeerName::from(sender.node);
        let mut state = self.state();
        let age = state.members.age(now, sender).ok_or(DroppedMessage::Late)?;
        let given = Duration::from_millis(offer.deadline_ms.saturating_sub(sender.sent_at_ms));
        let left = given.saturating_sub(age).min(TIME_LEFT_MAX);
        if left.is_zero() {
            return Err(DroppedMessage::Late);
        }
        let deadline = now + left;
        let key = (node.clone(), sender.incarnation, id);
        let begun = state.loans.begin(key, deadline);
        drop(state);
        let refuse = |reason| {
            self.metrics.node_offer_received(LoanOutcome::Refused);
            self.say_not_taken(&node, id, NotLent::Refused(reason));
        };
        let cancelled = begun.inspect_err(|reason| {
            if *reason == DroppedMessage::Overloaded {
                refuse(LoanRefusal::Overloaded);
            }
        })?;
        let private_pool = offer.private_pool.clone();
        let Some(request) = convert::loan_request(offer, now, deadline) else {
            refuse(LoanRefusal::Malformed);
            return Err(DroppedMessage::Malformed);
        };
        let Some(broker) = broker_of(broker, &private_pool) else {
            self.metrics.node_offer_received(LoanOutcome::Refused);
            self.say_not_taken(&node, id, NotLent::NoProxies);
            return Ok(None);
        };
        Ok(Some(NodeLoan {
            cluster: Arc::clone(self),
            broker,
            node,
            id,
            request,
            reserve: self.reserve_of(&private_pool),
            cancelled,
        }))
    }

    /// A private pool has no reserve: it may have few proxies, and its clients come to any node.
    fn reserve_of(&self, private_pool: &str) -> usize {
        if private_pool.is_empty() {
            self.reserve
        } else {
            0
        }
    }

    fn say_not_taken(&self, node: &PeerName, id: u64, not_lent: NotLent) {
        let reason = convert::reason(not_lent).into();
        self.reply(node, Body::NotTaken(v1::NotTaken { id, reason }));
    }

    /// Sends a reply. If it gets lost, the other node asks elsewhere or gives up in time.
    pub(super) fn reply(&self, node: &PeerName, body: Body) {
        drop(self.send_to(node.as_str(), body));
    }
}

impl NodeLoan {
    /// Hands the offer to a proxy, and replies to the node.
    pub(super) async fn run(self) {
        let cluster = &self.cluster;
        let mut counted = CountedLoan {
            metrics: &cluster.metrics,
            outcome: LoanOutcome::Cancelled,
        };
        let mut lending = pin!(self.broker.lend_to_node(self.request, self.reserve));
        let at_once = poll_fn(|context| Poll::Ready(lending.as_mut().poll(context)));
        let lent = match at_once.await {
            Poll::Ready(Err(not_lent)) => {
                counted.outcome = not_lent.outcome();
                cluster.say_not_taken(&self.node, self.id, not_lent);
                return;
            }
            Poll::Ready(lent) => lent,
            Poll::Pending => {
                cluster.reply(&self.node, Body::Taken(v1::Taken { id: self.id }));
                tokio::select! {
                    lent = lending => lent,
                    () = self.cancelled.cancelled() => return,
                }
            }
        };
        let id = self.id;
        let reply = match lent {
            Ok(answer) => {
                counted.outcome = LoanOutcome::Answered;
                let answer = answer.text();
                Body::Answer(v1::Answer { id, answer })
            }
            Err(not_lent) => {
                counted.outcome = not_lent.outcome();
                Body::Gone(v1::Gone { id })
            }
        };
        cluster.reply(&self.node, reply);
    }
}
