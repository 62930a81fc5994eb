//! The calls of SQS, by Amazon's names.

use std::fmt;

/// A call of SQS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueCall {
    /// Finds the queue that clients write to.
    GetQueueUrl,
    /// Creates it, or a reply queue.
    CreateQueue,
    /// Waits for messages.
    ReceiveMessage,
    /// Sends a response.
    SendMessage,
    /// Deletes a message that is answered.
    DeleteMessage,
    /// Lists reply queues.
    ListQueues,
    /// Asks how old a reply queue is.
    GetQueueAttributes,
    /// Deletes a reply queue.
    DeleteQueue,
}

impl QueueCall {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::GetQueueUrl,
        Self::CreateQueue,
        Self::ReceiveMessage,
        Self::SendMessage,
        Self::DeleteMessage,
        Self::ListQueues,
        Self::GetQueueAttributes,
        Self::DeleteQueue,
    ];

    /// The name that Amazon gave it, in policies too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetQueueUrl => "GetQueueUrl",
            Self::CreateQueue => "CreateQueue",
            Self::ReceiveMessage => "ReceiveMessage",
            Self::SendMessage => "SendMessage",
            Self::DeleteMessage => "DeleteMessage",
            Self::ListQueues => "ListQueues",
            Self::GetQueueAttributes => "GetQueueAttributes",
            Self::DeleteQueue => "DeleteQueue",
        }
    }
}

impl fmt::Display for QueueCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
