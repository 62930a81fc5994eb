//! A bucket in memory, with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use snowflake_broker::cluster::shared::{Bucket, BucketCall, BucketEvent, NotWritten};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

/// The bucket that all nodes share.
#[derive(Clone, Debug)]
pub(crate) struct Vault(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    values: BTreeMap<String, (u64, Bytes)>,
    revision: u64,
    watchers: BTreeMap<String, UnboundedSender<BucketEvent>>,
    /// Nodes that do not reach it.
    cut_off: BTreeSet<String>,
    /// The probability with which a write succeeds, and its writer does not hear of it.
    silence: f64,
    rng: Rng,
    /// All that was ever written, by key.
    pub(crate) written: Vec<(String, Bytes)>,
}

/// One node's side of the bucket.
#[derive(Debug)]
pub(crate) struct NodeVault {
    vault: Vault,
    node: String,
}

impl Vault {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            values: BTreeMap::new(),
            revision: 0,
            watchers: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            silence: 0.0,
            rng: Rng::with_seed(seed),
            written: Vec::new(),
        })))
    }

    /// Connects a node, which is told what there is.
    pub(crate) fn connect(&self, node: &str) -> (NodeVault, UnboundedReceiver<BucketEvent>) {
        let (sender, events) = unbounded_channel();
        let mut state = self.state();
        state.watchers.insert(node.to_owned(), sender);
        state.tell_all(node);
        let vault = NodeVault {
            vault: self.clone(),
            node: node.to_owned(),
        };
        (vault, events)
    }

    /// Makes writes succeed in silence with this probability.
    pub(crate) fn be_silent(&self, probability: f64) {
        self.state().silence = probability;
    }

    /// Removes all values, and tells nobody.
    pub(crate) fn empty(&self) {
        self.state().values.clear();
    }

    /// Puts an empty bucket in its place, which counts anew.
    pub(crate) fn replace(&self) {
        let mut state = self.state();
        state.values.clear();
        state.revision = 0;
        let nodes: Vec<_> = state.watchers.keys().cloned().collect();
        for node in nodes {
            state.tell(&node, BucketEvent::Ended("a test replaced it".to_owned()));
            state.tell_all(&node);
        }
    }

    /// Cuts a node off, which it notices.
    pub(crate) fn cut_off(&self, node: &str) {
        let mut state = self.state();
        state.cut_off.insert(node.to_owned());
        state.tell(node, BucketEvent::Ended("a test cut it off".to_owned()));
    }

    /// Lets a node reach the bucket again.
    pub(crate) fn reconnect(&self, node: &str) {
        let mut state = self.state();
        state.cut_off.remove(node);
        state.tell_all(node);
    }

    /// The keys that there are.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state().values.keys().cloned().collect()
    }

    /// The revision of a key.
    pub(crate) fn revision(&self, key: &str) -> u64 {
        self.state().values[key].0
    }

    /// All that was ever written under keys with this beginning.
    pub(crate) fn written(&self, beginning: &str) -> Vec<Bytes> {
        let state = self.state();
        let written = state.written.iter();
        let written = written.filter(|(key, _)| key.starts_with(beginning));
        written.map(|(_, value)| value.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn tell(&self, node: &str, event: BucketEvent) {
        if let Some(watcher) = self.watchers.get(node) {
            drop(watcher.send(event));
        }
    }

    fn tell_all(&self, node: &str) {
        self.tell(node, BucketEvent::Began);
        for (key, (revision, value)) in &self.values {
            self.tell(
                node,
                BucketEvent::Written {
                    key: key.clone(),
                    revision: *revision,
                    value: value.clone(),
                },
            );
        }
        self.tell(node, BucketEvent::Complete);
    }

    fn write(&mut self, key: &str, expected: u64, value: &Bytes) -> Result<u64, NotWritten> {
        let last = self.values.get(key).map_or(0, |(revision, _)| *revision);
        if last != expected {
            return Err(NotWritten::Changed);
        }
        self.revision += 1;
        let revision = self.revision;
        self.written.push((key.to_owned(), value.clone()));
        self.values
            .insert(key.to_owned(), (revision, value.clone()));
        let reached = self.watchers.keys();
        for node in reached.filter(|node| !self.cut_off.contains(*node)) {
            let event = BucketEvent::Written {
                key: key.to_owned(),
                revision,
                value: value.clone(),
            };
            self.tell(node, event);
        }
        Ok(revision)
    }
}

fn unreachable() -> NotWritten {
    NotWritten::Refused("a test cut it off".to_owned())
}

impl Bucket for NodeVault {
    fn write(&self, key: String, expected: u64, value: Bytes) -> BucketCall<'_, u64> {
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            let mut state = self.vault.state();
            if state.cut_off.contains(&self.node) {
                return Err(unreachable());
            }
            let written = state.write(&key, expected, &value);
            let silence = state.silence;
            if state.rng.f64() < silence {
                return Err(unreachable());
            }
            written
        })
    }

    fn read(&self, key: String) -> BucketCall<'_, Option<(u64, Bytes)>> {
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            let state = self.vault.state();
            if state.cut_off.contains(&self.node) {
                return Err(unreachable());
            }
            Ok(state.values.get(&key).cloned())
        })
    }

    fn erase(&self, keys: String) -> BucketCall<'_, ()> {
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            let mut state = self.vault.state();
            if state.cut_off.contains(&self.node) {
                return Err(unreachable());
            }
            let is_meant = |key: &str| match keys.strip_suffix('*') {
                Some(beginning) => key.starts_with(beginning),
                None => key == keys,
            };
            state.values.retain(|key, _| !is_meant(key));
            Ok(())
        })
    }
}
