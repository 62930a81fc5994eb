//! Rendezvous through Amazon SQS: a client writes its poll into the broker's queue, which
//! censors do not see, and reads the response from a reply queue of its own.
//!
//! A message holds a client's poll. Its attribute `ClientID` names the reply queue,
//! `snowflake-client-<ClientID>`. The [`QueueFront`]
//!
//! - waits for messages with one long-polling call at a time, and handles each message in
//!   a task of its own, so that no slow answer, slow deletion or broken reply queue delays
//!   the next message;
//! - creates the reply queue before it asks for a proxy, since a client looks for the
//!   queue a second after writing;
//! - deletes a message after answering it. If handling is interrupted, the message becomes
//!   visible again after a while, but is too old by then.
//!
//! Only [`QueueFront::sweep`] deletes reply queues. The trait [`Queue`] is the broker's
//! view of SQS.

#[cfg(feature = "sqs")]
pub mod aws;
mod client_id;
mod failure_log;
mod front;
mod handling;
mod queue;
mod settings;
mod sweep;

pub use client_id::{ClientId, InvalidClientId, REPLY_QUEUES};
pub use front::{QueueFront, QueueOptions};
pub use queue::{
    CallError, Cause, LONG_POLL, Queue, QueueMessage, Receipt, ReplyQueue, ReplyQueues,
};
pub use settings::{QueueSettings, Settings};
