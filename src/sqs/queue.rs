//! The operations of SQS that the broker needs.

use std::fmt;
use std::time::Duration;

use crate::metrics::labels::QueueCall;

use super::ClientId;

/// The time for which a call waits for messages. SQS allows 20 s, but at shutdown the
/// call must be allowed to end, within the broker's grace period.
pub const LONG_POLL: Duration = Duration::from_secs(3);

/// The queue that clients write to, and their reply queues in the same account and
/// region. Every call has a time-out.
pub trait Queue: Send + Sync + 'static {
    /// Finds the queue or creates it.
    fn open(&self) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Waits for messages, at most [`LONG_POLL`], and receives up to `most` of them. They
    /// stay invisible to other receivers for the time `hidden`.
    fn receive(
        &self,
        most: usize,
        hidden: Duration,
    ) -> impl Future<Output = Result<Vec<QueueMessage>, CallError>> + Send;

    /// Deletes a message.
    fn delete(&self, receipt: &Receipt) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Creates or finds the reply queue of a client.
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

    /// A page of all reply queues: the first page, or the one after a token.
    fn reply_queues(
        &self,
        after: Option<String>,
    ) -> impl Future<Output = Result<ReplyQueues, CallError>> + Send;

    /// The time since a reply queue was created or changed. Messages do not change it.
    fn age(&self, queue: &ReplyQueue) -> impl Future<Output = Result<Duration, CallError>> + Send;

    /// Deletes a reply queue.
    fn delete_reply_queue(
        &self,
        queue: &ReplyQueue,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// A message from a client. `Debug` does not show its content.
pub struct QueueMessage {
    /// The client's poll, not yet validated.
    pub body: String,
    /// The attribute `ClientID`.
    pub client_id: Option<String>,
    /// The time since the message was sent.
    pub age: Duration,
    /// The handle for deleting it.
    pub receipt: Receipt,
}

/// The handle for deleting a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt(pub String);

/// The URL of a reply queue. `Debug` does not show it, since it identifies a client.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyQueue(pub String);

/// A page of reply queues.
pub struct ReplyQueues {
    /// The queues.
    pub queues: Vec<ReplyQueue>,
    /// The token for the next page, if there is one.
    pub next: Option<String>,
}

/// A failed call. Only the error code of the service is kept: the message may quote a
/// client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {cause}")]
pub struct CallError {
    /// The call.
    pub call: QueueCall,
    /// The cause of the failure.
    pub cause: Cause,
}

/// The cause of a call's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The queue does not exist.
    #[error("the queue does not exist")]
    NoSuchQueue,
    /// No credentials are available.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// The credentials are invalid or insufficient; with the error code.
    #[error("not permitted ({0})")]
    NotPermitted(String),
    /// The service refused the call for another reason; with the error code.
    #[error("refused with {0}")]
    Refused(String),
    /// There is no connection to the service; with the innermost cause.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The service did not reply in time.
    #[error("no reply in time")]
    TimedOut,
    /// The reply was invalid.
    #[error("the reply cannot be understood")]
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
