//! Rendezvous through Amazon SQS: a client writes its poll into a queue that it
//! may write to without being seen, and reads the response from one of its own.
//!
//! A message holds a client's poll and says by its attribute `ClientID` which
//! queue the response goes to, `snowflake-client-<ClientID>`. The [`QueueFront`]
//!
//! - waits for messages, with one call at a time that returns when there are some,
//!   and handles each on a task of its own: no answer that takes its time, no slow
//!   deletion and no broken reply queue keeps the next one waiting;
//! - creates the reply queue before it asks for a proxy, as a client looks for it
//!   a second after it has written;
//! - deletes a message after it was answered. One whose handling was cut off is
//!   seen again once it is no longer hidden, and is too old by then.
//!
//! Nobody deletes reply queues but [`QueueFront::sweep`]. What SQS itself looks like
//! from here is the trait [`Queue`].

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
