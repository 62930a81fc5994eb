//! The bus between the nodes: NATS in the program, anything in tests.

use std::fmt;

use bytes::Bytes;

/// Sends messages to the nodes that listen to a subject. It may lose, double, delay and
/// reorder them.
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Sends a message, or fails at once. Nothing may wait for a connection: a message that
    /// is sent later than now is late.
    fn send(&self, subject: String, payload: Bytes) -> Result<(), NotSent>;

    /// Connects anew, because the connection seems to be dead.
    fn reconnect(&self);
}

/// The error for a message that was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bus takes no message")]
pub struct NotSent;

/// An event of the bus.
#[derive(Clone, Debug)]
pub enum BusEvent {
    /// A message has come.
    Message(BusMessage),
    /// The connection has ended.
    Disconnected,
    /// There is a problem, told in one short line.
    Problem(String),
    /// Messages were dropped because too many were waiting.
    Overrun,
}

/// A message from the bus.
#[derive(Clone, Debug)]
pub struct BusMessage {
    /// The subject on which it came.
    pub subject: String,
    /// The sealed message.
    pub payload: Bytes,
}

/// The subjects of a cluster.
#[derive(Clone, Debug)]
pub struct Subjects {
    name: String,
    node: String,
}

impl Subjects {
    /// The subjects of a cluster for one of its nodes.
    pub fn new(name: &str, node: &str) -> Self {
        Self {
            name: name.to_owned(),
            node: node.to_owned(),
        }
    }

    /// The name of the cluster.
    pub(super) fn cluster(&self) -> &str {
        &self.name
    }

    /// The subjects to which the node has to listen.
    pub fn listened(&self) -> [String; 3] {
        [
            format!("{}.supply.*", self.name),
            self.of_node(&self.node),
            self.answers(),
        ]
    }

    /// The subject of our supply.
    pub(super) fn supply(&self) -> String {
        format!("{}.supply.{}", self.name, self.node)
    }

    /// The subject of all messages to one node.
    pub(super) fn of_node(&self, node: &str) -> String {
        format!("{}.node.{node}", self.name)
    }

    /// The subject of answers for which a node is sought.
    pub(super) fn answers(&self) -> String {
        format!("{}.answers", self.name)
    }
}
