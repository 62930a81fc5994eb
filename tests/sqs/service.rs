//! SQS from the view of its two sides.

use serde_json::Value;
use snowflake_broker::sqs::Queue;

/// A service with one queue that clients write to.
pub(crate) trait Service {
    type Queue: Queue;

    /// The broker's side.
    fn queue(&self) -> Self::Queue;

    /// Writes a poll as a client with this ID, or with none.
    async fn write(&self, client: Option<&str>, body: &str);

    /// Takes the response from a client's reply queue; `None` if there is no queue or no
    /// response.
    async fn take_response(&self, client: &str) -> Option<String>;

    /// Returns true if the reply queue of a client exists.
    async fn has_reply_queue(&self, client: &str) -> bool;

    /// The number of messages that are not deleted.
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
