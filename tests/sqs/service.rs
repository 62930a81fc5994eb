//! SQS as its two sides see it.

use serde_json::Value;
use snowflake_broker::sqs::Queue;

/// A service with one queue that clients write to.
pub(crate) trait Service {
    type Queue: Queue;

    /// The broker's side.
    fn queue(&self) -> Self::Queue;

    /// A client of this id, or one that has none, writes its poll.
    async fn write(&self, client: Option<&str>, body: &str);

    /// Takes what is in the reply queue of a client; `None` as long as there is no
    /// queue or nothing in it.
    async fn take_response(&self, client: &str) -> Option<String>;

    /// Returns true if the reply queue of a client is there.
    async fn has_reply_queue(&self, client: &str) -> bool;

    /// The number of messages that nobody has deleted.
    async fn undeleted(&self) -> usize;

    /// Deletes the queue that clients write to.
    async fn delete_queue(&self);
}

/// Waits for a client's response.
pub(crate) async fn response(service: &impl Service, client: &str) -> Value {
    let taken = crate::support::wait::until("a response", async || {
        Ok(service.take_response(client).await)
    });
    serde_json::from_str(&taken.await.unwrap()).unwrap()
}
