//! The bucket: NATS in the program, anything in tests.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;

/// A future of a request to the bucket.
pub type BucketCall<'a, T> = Pin<Box<dyn Future<Output = Result<T, NotWritten>> + Send + 'a>>;

/// Keys and values that all nodes see, each value with a revision. Revisions only grow.
pub trait Bucket: fmt::Debug + Send + Sync + 'static {
    /// Writes a value if the last revision of the key is this one, 0 if it has none. Returns
    /// the new revision. Whoever gives up waiting does not know whether it was written.
    fn write(&self, key: String, expected: u64, value: Bytes) -> BucketCall<'_, u64>;

    /// Reads the last value of a key and its revision; an empty value was deleted. It may be
    /// outdated.
    fn read(&self, key: String) -> BucketCall<'_, Option<(u64, Bytes)>>;

    /// Removes a key, or all of a pattern with `*`, and tells nobody. They are as if they had
    /// never been written.
    fn erase(&self, keys: String) -> BucketCall<'_, ()>;
}

/// The reason why a value was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The key has another revision.
    #[error("somebody else has written the value")]
    Changed,
    /// The bucket cannot be reached, or refuses.
    #[error("the bucket takes no value: {0}")]
    Refused(String),
}

/// An event of the watched bucket.
#[derive(Clone, Debug)]
pub enum BucketEvent {
    /// The watch begins, with all that is in the bucket.
    Began,
    /// A key has this value now.
    Written {
        /// The key.
        key: String,
        /// The revision.
        revision: u64,
        /// The sealed value; empty if it was deleted.
        value: Bytes,
    },
    /// All that was in the bucket has been told.
    Complete,
    /// The watch has ended, for a reason that is told in one short line.
    Ended(String),
}
