//! In-memory queues that behave as SQS documents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use snowflake_broker::broker::clock;
use snowflake_broker::metrics::labels::QueueCall;
use snowflake_broker::sqs::{
    CallError, Cause, ClientId, LONG_POLL, Queue, QueueMessage, Receipt, ReplyQueue, ReplyQueues,
};
use tokio::time::sleep;

use crate::service::Service;

const PAUSE: Duration = Duration::from_millis(10);
/// SQS itself has pages of a thousand.
const PAGE: usize = 2;

/// The queues; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The queue that clients write to, if it exists.
    written: Option<Vec<Written>>,
    pub(crate) reply_queues: BTreeMap<String, Replies>,
    receipts: usize,
    /// Calls fail with this cause, if it is set.
    pub(crate) outage: Option<Cause>,
    /// True if no reply queue can be created.
    pub(crate) no_reply_queues: bool,
    /// The duration of calls that wait for messages or create a reply queue.
    pub(crate) round_trip: Duration,
    /// The number of calls that are waiting for messages.
    pub(crate) receiving: usize,
    /// All calls, in order.
    pub(crate) calls: Vec<QueueCall>,
}

#[derive(Debug)]
struct Written {
    body: String,
    client_id: Option<String>,
    sent: Instant,
    hidden_until: Instant,
    receipt: String,
}

#[derive(Debug)]
pub(crate) struct Replies {
    pub(crate) created: Instant,
    responses: Vec<String>,
}

impl Replies {
    /// An empty queue that was created at this time.
    pub(crate) fn since(created: Instant) -> Self {
        let responses = Vec::new();
        Self { created, responses }
    }
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn call<T>(
        &self,
        call: QueueCall,
        act: impl FnOnce(&mut State) -> Option<T>,
    ) -> Result<T, CallError> {
        let mut state = self.state();
        state.calls.push(call);
        let cause = match state.outage.clone() {
            Some(outage) => outage,
            None => match act(&mut state) {
                Some(done) => return Ok(done),
                None => Cause::NoSuchQueue,
            },
        };
        Err(CallError { call, cause })
    }

    async fn round_trip(&self) {
        let round_trip = self.state().round_trip;
        sleep(round_trip).await;
    }

    async fn wait_for_messages(
        &self,
        most: usize,
        hidden: Duration,
    ) -> Result<Vec<QueueMessage>, CallError> {
        self.round_trip().await;
        let end = clock::now() + LONG_POLL;
        loop {
            let taken = self.call(QueueCall::ReceiveMessage, |state| state.take(most, hidden))?;
            if !taken.is_empty() || clock::now() >= end {
                return Ok(taken);
            }
            sleep(PAUSE).await;
        }
    }
}

impl State {
    fn take(&mut self, most: usize, hidden: Duration) -> Option<Vec<QueueMessage>> {
        let now = clock::now();
        let mut taken = Vec::new();
        for written in self.written.as_mut()? {
            if taken.len() < most.min(10) && written.hidden_until <= now {
                self.receipts += 1;
                written.hidden_until = now + hidden;
                written.receipt = self.receipts.to_string();
                taken.push(QueueMessage {
                    body: written.body.clone(),
                    client_id: written.client_id.clone(),
                    age: now - written.sent,
                    receipt: Receipt(written.receipt.clone()),
                });
            }
        }
        Some(taken)
    }
}

impl Queue for Memory {
    async fn open(&self) -> Result<(), CallError> {
        self.call(QueueCall::CreateQueue, |state| {
            state.written.get_or_insert_default();
            Some(())
        })
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<QueueMessage>, CallError> {
        self.state().receiving += 1;
        let taken = self.wait_for_messages(most, hidden).await;
        self.state().receiving -= 1;
        taken
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), CallError> {
        self.call(QueueCall::DeleteMessage, |state| {
            let written = state.written.as_mut()?;
            written.retain(|written| written.receipt != receipt.0);
            Some(())
        })
    }

    async fn create_reply_queue(&self, client: &ClientId) -> Result<ReplyQueue, CallError> {
        self.round_trip().await;
        self.call(QueueCall::CreateQueue, |state| {
            if state.no_reply_queues {
                return None;
            }
            let name = client.reply_queue();
            let queues = &mut state.reply_queues;
            queues
                .entry(name.clone())
                .or_insert_with(|| Replies::since(clock::now()));
            Some(ReplyQueue(name))
        })
    }

    async fn reply(&self, to: &ReplyQueue, response: String) -> Result<(), CallError> {
        self.call(QueueCall::SendMessage, |state| {
            state.reply_queues.get_mut(&to.0)?.responses.push(response);
            Some(())
        })
    }

    async fn reply_queues(&self, after: Option<String>) -> Result<ReplyQueues, CallError> {
        self.call(QueueCall::ListQueues, |state| {
            let names = state.reply_queues.keys();
            let mut rest =
                names.skip_while(|name| after.as_ref().is_some_and(|after| *name <= after));
            let page: Vec<String> = rest.by_ref().take(PAGE).cloned().collect();
            let next = page.last().cloned();
            Some(ReplyQueues {
                next: next.filter(|_| rest.next().is_some()),
                queues: page.into_iter().map(ReplyQueue).collect(),
            })
        })
    }

    async fn age(&self, queue: &ReplyQueue) -> Result<Duration, CallError> {
        self.call(QueueCall::GetQueueAttributes, |state| {
            Some(clock::now() - state.reply_queues.get(&queue.0)?.created)
        })
    }

    async fn delete_reply_queue(&self, queue: &ReplyQueue) -> Result<(), CallError> {
        self.call(QueueCall::DeleteQueue, |state| {
            state.reply_queues.remove(&queue.0).map(drop)
        })
    }
}

impl Service for Memory {
    type Queue = Self;

    fn queue(&self) -> Self {
        self.clone()
    }

    async fn write(&self, client: Option<&str>, body: &str) {
        let now = clock::now();
        let written = Written {
            body: body.to_owned(),
            client_id: client.map(ToOwned::to_owned),
            sent: now,
            hidden_until: now,
            receipt: String::new(),
        };
        self.state().written.get_or_insert_default().push(written);
    }

    async fn take_response(&self, client: &str) -> Option<String> {
        let name = format!("snowflake-client-{client}");
        self.state().reply_queues.get_mut(&name)?.responses.pop()
    }

    async fn has_reply_queue(&self, client: &str) -> bool {
        let name = format!("snowflake-client-{client}");
        self.state().reply_queues.contains_key(&name)
    }

    async fn undeleted(&self) -> usize {
        self.state().written.as_ref().map_or(0, Vec::len)
    }

    async fn delete_queue(&self) {
        self.state().written = None;
    }
}
