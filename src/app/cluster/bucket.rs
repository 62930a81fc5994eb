//! The bucket that all nodes share: a key-value bucket of NATS (`JetStream`).

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{
    CreateKeyValueError, CreateStreamError, CreateStreamErrorKind,
};
use async_nats::jetstream::kv::{Config, Entry, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::causes::{short_line, with_causes};
use crate::cluster::shared::{Bucket, BucketCall, BucketEvent, NotWritten};

use crate::app::entropy;

/// The maximum time for a reply of NATS.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// The time without a value after which all that was in the bucket counts as told. Usually
/// NATS says which value is the last one; of an empty bucket it does not.
const QUIET: Duration = Duration::from_secs(1);
/// The pauses between attempts to reach the bucket.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(10));
/// The maximum number of events that wait to be read.
pub(super) const EVENTS_MAX: usize = 64;
/// Room for the parts of 64 busy nodes: one that has seen 100,000 proxies takes some 2 MB.
const BUCKET_MAX: i64 = 256 << 20;

/// The bucket, once it is reached.
#[derive(Default)]
pub(super) struct NatsBucket {
    store: OnceLock<Store>,
}

impl fmt::Debug for NatsBucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NatsBucket").finish_non_exhaustive()
    }
}

impl Bucket for NatsBucket {
    fn write(&self, key: String, expected: u64, value: Bytes) -> BucketCall<'_, u64> {
        Box::pin(async move {
            let store = self.store()?;
            let written = store.update(key, value, expected).await;
            written.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => NotWritten::Changed,
                _ => NotWritten::Refused(told(&error)),
            })
        })
    }

    fn read(&self, key: String) -> BucketCall<'_, Option<(u64, Bytes)>> {
        Box::pin(async move {
            let entry = self.store()?.entry(key).await;
            let entry = entry.map_err(|error| NotWritten::Refused(told(&error)))?;
            Ok(entry.map(|entry| (entry.revision, value(entry))))
        })
    }

    fn erase(&self, keys: String) -> BucketCall<'_, ()> {
        Box::pin(async move {
            let store = self.store()?;
            let subject = format!("{}{keys}", store.prefix);
            let erased = store.stream.purge().filter(subject).await;
            let erased = erased.map_err(|error| NotWritten::Refused(told(&error)));
            erased.map(drop)
        })
    }
}

impl NatsBucket {
    fn store(&self) -> Result<&Store, NotWritten> {
        let store = self.store.get();
        store.ok_or_else(|| NotWritten::Refused("it is not reached yet".to_owned()))
    }

    /// Reaches the bucket of this name and watches it, again and again, for as long as
    /// somebody listens.
    pub(super) async fn watch(
        self: Arc<Self>,
        client: Client,
        name: String,
        replicas: usize,
        events: mpsc::Sender<BucketEvent>,
    ) {
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(REPLY_TIMEOUT);
        let mut failures = 0_u32;
        loop {
            let ended = match open(&context, &name, replicas).await {
                Ok(store) => {
                    drop(self.store.set(store.clone()));
                    failures = 0;
                    pass_on(&store, &events).await
                }
                Err(error) => error,
            };
            if events.send(BucketEvent::Ended(ended)).await.is_err() {
                return;
            }
            sleep(PAUSES.delay(failures, entropy::jitter())).await;
            failures = failures.saturating_add(1);
        }
    }
}

/// The bucket, which is made if it is not there yet.
async fn open(context: &Context, name: &str, replicas: usize) -> Result<Store, String> {
    if let Ok(store) = context.get_key_value(name).await {
        return Ok(store);
    }
    let config = |replicas| Config {
        bucket: name.to_owned(),
        description: "What the nodes of a snowflake-broker cluster share".to_owned(),
        max_bytes: BUCKET_MAX,
        num_replicas: replicas,
        ..Config::default()
    };
    match context.create_key_value(config(replicas)).await {
        // A single server.
        Err(error) if is_alone(&error) => context.create_key_value(config(1)).await,
        created => created,
    }
    .map_err(|error| told(&error))
}

/// Returns true if the server is none of a cluster, and so can keep one copy only.
fn is_alone(error: &CreateKeyValueError) -> bool {
    let source = error.source();
    let source = source.and_then(|source| source.downcast_ref::<CreateStreamError>());
    source.is_some_and(|error| match error.kind() {
        CreateStreamErrorKind::JetStream(error) => {
            error.error_code() == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED
        }
        _ => false,
    })
}

/// Passes on what is in the bucket, and every change, until the watch ends. Returns the
/// reason.
async fn pass_on(store: &Store, events: &mpsc::Sender<BucketEvent>) -> String {
    let mut entries = match store.watch_with_history(">").await {
        Ok(entries) => entries,
        Err(error) => return told(&error),
    };
    let mut is_complete = false;
    let mut next = vec![BucketEvent::Began];
    loop {
        for event in next.drain(..) {
            if events.send(event).await.is_err() {
                return String::new();
            }
        }
        let entry = if is_complete {
            entries.next().await
        } else {
            timeout(QUIET, entries.next()).await.unwrap_or(None)
        };
        match entry {
            Some(Ok(entry)) => {
                let was_complete = std::mem::replace(&mut is_complete, entry.seen_current);
                next.push(written(entry));
                if is_complete && !was_complete {
                    next.push(BucketEvent::Complete);
                }
            }
            Some(Err(error)) => return told(&error),
            None if is_complete => return "the watch has ended".to_owned(),
            None => {
                is_complete = true;
                next.push(BucketEvent::Complete);
            }
        }
    }
}

fn written(entry: Entry) -> BucketEvent {
    BucketEvent::Written {
        key: entry.key.clone(),
        revision: entry.revision,
        value: value(entry),
    }
}

fn value(entry: Entry) -> Bytes {
    match entry.operation {
        Operation::Put => entry.value,
        Operation::Delete | Operation::Purge => Bytes::new(),
    }
}

/// An error in one short line.
fn told(error: &(dyn Error + 'static)) -> String {
    short_line(&with_causes(error))
}
