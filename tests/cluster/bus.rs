//! A bus in memory, with faults.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use snowflake_broker::cluster::{Bus, BusEvent, BusMessage, NotSent, Subjects};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

/// The bus that all nodes share.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    listeners: Vec<Listener>,
    rng: Rng,
    faults: Faults,
    sent: Vec<BusMessage>,
}

#[derive(Debug)]
struct Listener {
    node: String,
    subjects: [String; 3],
    sender: UnboundedSender<BusEvent>,
}

/// The faults of the bus.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The probability with which a message gets lost on its way to a listener.
    pub(crate) loss: f64,
    /// The probability with which it arrives twice.
    pub(crate) doubling: f64,
    /// The shortest and the longest delay, in milliseconds. Messages overtake each other.
    pub(crate) delay: [u64; 2],
    /// Nodes whose server hangs: what they send is taken and lost, and they hear nothing.
    pub(crate) hung: BTreeSet<String>,
    /// Nodes without a connection: they can send nothing.
    pub(crate) cut_off: BTreeSet<String>,
}

/// One node's side of the bus.
#[derive(Debug)]
pub(crate) struct HubBus {
    hub: Hub,
    node: String,
}

impl Faults {
    /// A bus that works: every message takes a millisecond.
    pub(crate) fn none() -> Self {
        Self {
            loss: 0.0,
            doubling: 0.0,
            delay: [1, 1],
            hung: BTreeSet::new(),
            cut_off: BTreeSet::new(),
        }
    }

    fn is_away(&self, node: &str) -> bool {
        self.hung.contains(node) || self.cut_off.contains(node)
    }
}

impl Hub {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            listeners: Vec::new(),
            rng: Rng::with_seed(seed),
            faults: Faults::none(),
            sent: Vec::new(),
        })))
    }

    /// Connects a node. Its earlier connection is gone.
    pub(crate) fn connect(
        &self,
        cluster: &str,
        node: &str,
    ) -> (HubBus, UnboundedReceiver<BusEvent>) {
        let (sender, events) = unbounded_channel();
        let mut state = self.state();
        state.listeners.retain(|listener| listener.node != node);
        state.listeners.push(Listener {
            node: node.to_owned(),
            subjects: Subjects::new(cluster, node).listened(),
            sender,
        });
        let bus = HubBus {
            hub: self.clone(),
            node: node.to_owned(),
        };
        (bus, events)
    }

    /// Changes the faults.
    pub(crate) fn with_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Cuts a node off, which it notices.
    pub(crate) fn cut_off(&self, node: &str) {
        let mut state = self.state();
        state.faults.cut_off.insert(node.to_owned());
        let mut listeners = state.listeners.iter();
        if let Some(listener) = listeners.find(|listener| listener.node == node) {
            drop(listener.sender.send(BusEvent::Disconnected));
        }
    }

    /// All messages that were sent.
    pub(crate) fn sent(&self) -> Vec<BusMessage> {
        self.state().sent.clone()
    }

    /// Sends a message as somebody who is no node.
    pub(crate) fn inject(&self, message: &BusMessage) {
        let mut state = self.state();
        state.deliver(message);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn deliver(&mut self, message: &BusMessage) {
        for listener in &self.listeners {
            if !listener.listens_to(&message.subject) || self.faults.is_away(&listener.node) {
                continue;
            }
            let mut copies = 1 + usize::from(self.rng.f64() < self.faults.doubling);
            if self.rng.f64() < self.faults.loss {
                copies = 0;
            }
            for _ in 0..copies {
                let [least, most] = self.faults.delay;
                let delay = Duration::from_millis(self.rng.u64(least..=most));
                let (sender, message) = (listener.sender.clone(), message.clone());
                tokio::spawn(async move {
                    sleep(delay).await;
                    drop(sender.send(BusEvent::Message(message)));
                });
            }
        }
    }
}

impl Listener {
    fn listens_to(&self, subject: &str) -> bool {
        let is_meant = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => subject.starts_with(beginning),
            None => pattern == subject,
        };
        self.subjects.iter().any(is_meant)
    }
}

impl Bus for HubBus {
    fn send(&self, subject: String, payload: Bytes) -> Result<(), NotSent> {
        let mut state = self.hub.state();
        if state.faults.cut_off.contains(&self.node) {
            return Err(NotSent);
        }
        let message = BusMessage { subject, payload };
        state.sent.push(message.clone());
        if !state.faults.hung.contains(&self.node) {
            state.deliver(&message);
        }
        Ok(())
    }

    fn reconnect(&self) {}
}
