//! The handling of messages from the bus.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::task::JoinSet;

use crate::broker::{Broker, clock};
use crate::metrics::labels::{DroppedMessage, PeerName};
use crate::peers::Ended;
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;
use crate::wire::session_description::SessionDescription;

use super::Cluster;
use super::bus::{BusEvent, BusMessage};
use super::convert;
use super::echo::EchoSubject;
use super::members::{Heard, NodeChange, Sender};
use super::node::HEARTBEAT;
use super::open_calls::CallProgress;
use super::settings::is_name;

impl Cluster {
    /// Handles an event. Returns true if a node has joined, which is to learn of this one at
    /// once.
    pub(super) fn receive(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        event: &BusEvent,
        loans: &mut JoinSet<()>,
    ) -> bool {
        let handled = match event {
            BusEvent::Message(message) => self.handle(broker, message, loans),
            BusEvent::Overrun => Err(DroppedMessage::Overloaded),
            BusEvent::Disconnected => {
                self.state().echo.lost();
                self.beat(clock::now());
                return false;
            }
            BusEvent::Problem(problem) => {
                self.log_problem(problem);
                return false;
            }
        };
        match handled {
            Ok(Some(change)) => {
                self.log_change(&change);
                self.beat(clock::now());
                matches!(change, NodeChange::Joined(_))
            }
            Ok(None) => false,
            Err(reason) => {
                self.metrics.message_dropped(reason);
                false
            }
        }
    }

    fn handle(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        message: &BusMessage,
        loans: &mut JoinSet<()>,
    ) -> Result<Option<NodeChange>, DroppedMessage> {
        let opened = self.keys.open(&message.subject, &message.payload);
        let opened = opened.map_err(|_| DroppedMessage::NotSealed)?;
        let message = v1::NodeMessage::decode(opened.as_slice());
        let message = message.map_err(|_| DroppedMessage::Malformed)?;
        if !is_name(&message.node) {
            return Err(DroppedMessage::Malformed);
        }
        let sender = Sender {
            node: &message.node,
            incarnation: message.incarnation,
            sent_at_ms: message.sent_at_ms,
        };
        if message.node == self.me.node {
            return Ok(self.hear_own_name(broker, sender, message.body));
        }
        match message.body {
            Some(Body::Supply(supply)) => return self.hear_supply(broker, sender, &supply),
            Some(Body::Challenge(challenge)) => self.reply_to_challenge(broker, sender, challenge),
            Some(Body::Offer(offer)) => {
                if let Some(loan) = self.accept(broker, sender, offer)? {
                    loans.spawn(loan.run());
                }
            }
            Some(Body::Cancel(cancel)) => self.state().loans.cancel(sender, cancel.id),
            Some(Body::StrayAnswer(stray)) => self.handle_stray(broker, sender, &stray)?,
            Some(Body::StrayAnswerReply(reply)) => self.state().strays.replied(sender, reply),
            Some(Body::Taken(v1::Taken { id })) => self.progress(sender, id, CallProgress::Taken),
            Some(Body::NotTaken(not_taken)) => {
                let ended = convert::ended(not_taken.reason());
                self.progress(sender, not_taken.id, CallProgress::Ended(Err(ended)));
            }
            Some(Body::Answer(v1::Answer { id, answer })) => {
                let answer = SessionDescription::parse(&answer);
                let answer = answer.map_err(|_| DroppedMessage::Malformed)?;
                self.progress(sender, id, CallProgress::Ended(Ok(answer)));
            }
            Some(Body::Gone(v1::Gone { id })) => {
                self.progress(sender, id, CallProgress::Ended(Err(Ended::TimedOut)));
            }
            // It is for its sender, or a later version says something.
            Some(Body::Echo(_)) | None => {}
        }
        Ok(None)
    }

    /// Handles a message under this node's name.
    fn hear_own_name(
        &self,
        broker: &Broker,
        sender: Sender<'_>,
        body: Option<Body>,
    ) -> Option<NodeChange> {
        if sender.incarnation == self.me.incarnation {
            self.hear_echo(sender, body.as_ref());
            return None;
        }
        match body {
            Some(Body::Supply(supply)) if self.is_proven(clock::now(), &supply) => {
                return Some(NodeChange::SameName(PeerName::from(sender.node)));
            }
            // It may be what an earlier process of ours has said.
            Some(Body::Supply(_)) => self.challenge(sender),
            Some(Body::Challenge(challenge)) => self.reply_to_challenge(broker, sender, challenge),
            _ => {}
        }
        None
    }

    /// Handles a message of our own.
    fn hear_echo(&self, sender: Sender<'_>, body: Option<&Body>) {
        let subject = match body {
            Some(Body::Supply(_)) => EchoSubject::Supply,
            _ => EchoSubject::Node,
        };
        let now = clock::now();
        let age = now.saturating_duration_since(self.me.started);
        let sent = Duration::from_millis(sender.sent_at_ms);
        let mut state = self.state();
        // An old word may come back from a server that has hung.
        if age.saturating_sub(sent) < HEARTBEAT {
            state.echo.came_back(now, subject);
        }
        drop(state);
        self.heard_of_supply.notify_waiters();
    }

    fn hear_supply(
        &self,
        broker: &Broker,
        sender: Sender<'_>,
        supply: &v1::Supply,
    ) -> Result<Option<NodeChange>, DroppedMessage> {
        let now = clock::now();
        let is_proven = self.is_proven(now, supply);
        let heard = self
            .state()
            .members
            .supplied(now, sender, supply, is_proven)?;
        let change = match heard {
            Heard::Supply => None,
            Heard::Change(change) => Some(change),
            Heard::Unproven => {
                self.challenge(sender);
                return Ok(None);
            }
        };
        let is_of_another = matches!(change, Some(NodeChange::SameName(_)));
        let tallies = convert::source_tallies(supply).filter(|_| !is_of_another);
        if let Some(tallies) = tallies {
            broker.hear_source_tallies(&PeerName::from(sender.node), tallies);
        }
        self.heard_of_supply.notify_waiters();
        Ok(change)
    }

    /// Passes a reply on to the call that waits for it. Late and foreign ones find none.
    fn progress(&self, sender: Sender<'_>, id: u64, reply: CallProgress) {
        let state = self.state();
        if let Some(call) = state.calls.get(&id)
            && call.node.as_str() == sender.node
        {
            call.advance(reply);
        }
    }

    /// Logs a problem with the bus, if it is another one than the last.
    fn log_problem(&self, problem: &str) {
        let mut state = self.state();
        let is_news = state.problem.as_deref() != Some(problem);
        state.problem = Some(problem.to_owned());
        drop(state);
        if is_news && let Some(suppressed) = self.changes.admit("NATS", clock::now()) {
            tracing::warn!(problem, suppressed, "cluster: a problem with NATS");
        }
    }

    pub(super) fn log_change(&self, change: &NodeChange) {
        let (NodeChange::Joined(node)
        | NodeChange::Left(node)
        | NodeChange::Lost(node)
        | NodeChange::SameName(node)) = change;
        let Some(suppressed) = self.changes.admit(node.as_str(), clock::now()) else {
            return;
        };
        match change {
            NodeChange::Joined(_) => {
                tracing::info!(%node, suppressed, "cluster: a node has joined");
            }
            NodeChange::Left(_) => tracing::info!(%node, suppressed, "cluster: a node has left"),
            NodeChange::Lost(_) => {
                tracing::warn!(%node, suppressed, "cluster: nothing is heard of a node");
            }
            NodeChange::SameName(_) => tracing::error!(
                %node,
                suppressed,
                "cluster: two nodes have the same name: set cluster.node to another one on each"
            ),
        }
    }
}
