//! The part of SQS that the broker needs.

use std::fmt;
use std::time::Duration;

use crate::metrics::labels::QueueCall;

use super::ClientId;

/// The time for which a call waits for messages. SQS allows 20 s, but whoever stops has
/// to let such a call end: this fits into the grace of a broker that does.
pub const LONG_POLL: Duration = Duration::from_secs(3);

/// The queue that clients write to, and their reply queues in the same account
/// and region. Every call ends in its time.
pub trait Queue: Send + Sync + 'static {
    /// Finds the queue, or creates it.
    fn open(&self) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Waits for messages, [`LONG_POLL`] at most, and takes up to ten of them.
    /// Nobody else sees those for as long as they are `hidden`.
    fn receive(
        &self,
        most: usize,
        hidden: Duration,
    ) -> impl Future<Output = Result<Vec<QueueMessage>, CallError>> + Send;

    /// Deletes a message.
    fn delete(&self, receipt: &Receipt) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Creates the reply queue of a client, or finds it.
    fn create_reply_queue(
        &self,
        client: &ClientId,
    ) -> impl Future<Output = Result<ReplyQueue, CallError>> + Send;

    /// Sends a response.
    fn reply(
        &self,
        to: &ReplyQueue,
        response: String,
    ) -> impl Future<Output = Result<(), CallError>> + Send;

    /// A page of all reply queues: the first one, or that after another.
    fn reply_queues(
        &self,
        after: Option<String>,
    ) -> impl Future<Output = Result<ReplyQueues, CallError>> + Send;

    /// The time since a reply queue was created or changed. Messages change none.
    fn age(&self, queue: &ReplyQueue) -> impl Future<Output = Result<Duration, CallError>> + Send;

    /// Deletes a reply queue.
    fn delete_reply_queue(
        &self,
        queue: &ReplyQueue,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// A message of a client's. `Debug` shows nothing of it.
pub struct QueueMessage {
    /// A client's poll, if it is what it should be.
    pub body: String,
    /// The attribute `ClientID`.
    pub client_id: Option<String>,
    /// The time since it was sent.
    pub age: Duration,
    /// The handle by which it is deleted.
    pub receipt: Receipt,
}

/// The handle by which a message is deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt(pub String);

/// A reply queue, by its URL. `Debug` does not show it, for it names a client.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyQueue(pub String);

/// A page of reply queues.
pub struct ReplyQueues {
    /// The queues.
    pub queues: Vec<ReplyQueue>,
    /// The token to ask for the next page with, if there is one.
    pub next: Option<String>,
}

/// A call that failed. What the service said is not repeated but for its code:
/// it may quote what a client sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {cause}")]
pub struct CallError {
    /// The call.
    pub call: QueueCall,
    /// The cause of its failure.
    pub cause: Cause,
}

/// The cause of a call's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// There is no such queue.
    #[error("there is no such queue")]
    NoSuchQueue,
    /// There are no credentials to call with.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// The credentials do not permit it, or are not valid; with the code.
    #[error("not permitted ({0})")]
    NotPermitted(String),
    /// The service refused it for another reason, of which this is the code.
    #[error("refused with {0}")]
    Refused(String),
    /// There is no connection to the service; with the innermost reason.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// There was no reply in time.
    #[error("no reply in time")]
    TimedOut,
    /// The reply made no sense.
    #[error("the reply makes no sense")]
    BadReply,
}

impl fmt::Debug for QueueMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("QueueMessage(..)")
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Receipt(..)")
    }
}

impl fmt::Debug for ReplyQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReplyQueue(..)")
    }
}

impl fmt::Debug for ReplyQueues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReplyQueues({})", self.queues.len())
    }
}
