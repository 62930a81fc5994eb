//! The handling of a message, from receipt to deletion.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join;
use tokio::time::sleep;

use crate::broker::{Broker, Caller, RequestOrigin, clock};
use crate::metrics::labels::{Refusal, Rendezvous};
use crate::rendezvous;

use super::{
    CallError, Cause, ClientId, InvalidClientId, Queue, QueueFront, QueueMessage, ReplyQueue,
};

/// The maximum size of a poll in bytes, as with HTTP.
const MOST_BYTES: usize = 100_000;

/// A new queue may not exist for up to a second after its creation.
const PAUSE: Duration = Duration::from_millis(300);
const TRIES: usize = 5;

/// A message that is deleted without asking for a proxy.
#[derive(Debug, thiserror::Error)]
enum Undeliverable {
    #[error(transparent)]
    Client(#[from] InvalidClientId),
    #[error("the message is too large")]
    TooLarge,
    #[error("the message came after its client had stopped waiting")]
    Stale,
    #[error("there is no private pool of the name that the queue has, or it has ended")]
    NoPool,
}

impl Undeliverable {
    fn reason(&self) -> Refusal {
        match self {
            Self::Client(_) | Self::TooLarge | Self::NoPool => Refusal::BadRequest,
            Self::Stale => Refusal::Stale,
        }
    }
}

impl<Q: Queue> QueueFront<Q> {
    /// Answers the client and deletes its message. If dropped earlier, the message
    /// becomes visible again.
    pub(super) async fn handle(&self, message: QueueMessage) {
        let way = Rendezvous::Sqs;
        let now = clock::now();
        let caller = Caller {
            arrived: now.checked_sub(message.age).unwrap_or(now),
            address: None,
            origin: RequestOrigin::Queue,
        };
        self.broker.metrics().queue_message_received(message.age);
        match self.examine(message.client_id, message.body.len(), message.age) {
            Ok((broker, client)) => {
                let response =
                    rendezvous::exchange(&broker, caller, way, message.body.into(), || false);
                // Without a reply queue, the message is left, and is too old when it
                // becomes visible again.
                let Some((to, response)) = self.with_reply_queue(&client, response).await else {
                    return;
                };
                self.reply(&to, response).await;
            }
            Err(undeliverable) => {
                let reason = undeliverable.reason();
                rendezvous::refuse(&self.broker, caller, way, reason, &undeliverable);
            }
        }
        self.noted(self.queue.delete(&message.receipt).await);
    }

    /// The sender of the message, and the broker that it is for.
    fn examine(
        &self,
        client_id: Option<String>,
        length: usize,
        age: Duration,
    ) -> Result<(Arc<Broker>, ClientId), Undeliverable> {
        let client = ClientId::parse(client_id)?;
        if length > MOST_BYTES {
            return Err(Undeliverable::TooLarge);
        }
        if age >= self.broker.client_timeout() {
            return Err(Undeliverable::Stale);
        }
        let broker = self.broker_of_clients().ok_or(Undeliverable::NoPool)?;
        Ok((broker, client))
    }

    /// A client's reply queue, and the response to send to it. The queue is created while
    /// proxies are asked, so that the client does not wait for one after the other. If
    /// the last creation failed, the queue is created first, so that no proxy is asked in
    /// vain.
    async fn with_reply_queue(
        &self,
        client: &ClientId,
        response: impl Future<Output = Vec<u8>>,
    ) -> Option<(ReplyQueue, Vec<u8>)> {
        if !self.are_reply_queues_created.load(Ordering::Relaxed) {
            let to = self.reply_queue(client).await?;
            return Some((to, response.await));
        }
        let created = async { self.reply_queue(client).await.ok_or(()) };
        let response = async { Ok(response.await) };
        try_join(created, response).await.ok()
    }

    async fn reply_queue(&self, client: &ClientId) -> Option<ReplyQueue> {
        let created = self.noted(self.queue.create_reply_queue(client).await);
        let is_created = created.is_some();
        self.are_reply_queues_created
            .store(is_created, Ordering::Relaxed);
        created
    }

    async fn reply(&self, to: &ReplyQueue, response: Vec<u8>) {
        // The response is JSON.
        let response = String::from_utf8_lossy(&response).into_owned();
        for attempt in 1..=TRIES {
            match self.queue.reply(to, response.clone()).await {
                Err(error) if error.cause == Cause::NoSuchQueue && attempt < TRIES => {
                    sleep(PAUSE).await;
                }
                done => {
                    self.noted(done);
                    return;
                }
            }
        }
    }

    /// The successful result; a failure is counted and logged.
    pub(super) fn noted<T>(&self, done: Result<T, CallError>) -> Option<T> {
        done.inspect_err(|error| self.failures.report(error, self.broker.metrics()))
            .ok()
    }
}
