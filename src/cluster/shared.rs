//! The bucket of keys and values that all nodes share, kept by NATS (`JetStream`).
//!
//! A value is only written over the revision that its writer has seen (compare and set), so
//! that of several writers one wins. Nothing else is relied on: not on reads, which may be
//! stale, and not on the lifetimes of keys. What a node sees of the bucket is what it has
//! been told by watching it. It only reads to learn over what it has to write, if that is none
//! of the cluster's values.
//!
//! Nothing that a client or proxy waits for depends on the bucket. While it is away, windows
//! last longer, and are completed once it is back.

mod administration;
mod bucket;
mod changes;
mod lease;
mod parts;
mod replica;
mod revision;
mod state;
mod window_share;
mod windows;
mod work;

pub use bucket::{Bucket, BucketCall, BucketEvent, NotWritten};
pub use changes::{PRIVATE_POOL, SharedChange};
pub(super) use state::SharedState;
pub use window_share::{WindowRandom, WindowShare};
pub use work::SharedBlock;
