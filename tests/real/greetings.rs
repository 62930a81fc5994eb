//! Clients' greetings to the bridge, each with a number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use snowflake_broker::broker::clock;
use tokio::task::JoinHandle;

use crate::support::relay::Relay;

/// Begins each greeting; its number and a period follow.
const BEGINNING: &str = "greeting-";

/// The greeting of a client.
pub(crate) fn greeting(number: usize) -> String {
    format!("{BEGINNING}{number}.")
}

/// The greetings that have arrived at a bridge. Dropping it ends the wait for more.
pub(crate) struct Greetings {
    arrived: Arc<Mutex<Arrivals>>,
    task: JoinHandle<()>,
}

/// When each greeting first arrived, by number.
type Arrivals = BTreeMap<usize, Instant>;

impl Greetings {
    pub(crate) fn listen(relay: Relay) -> Self {
        let arrived = Arc::<Mutex<Arrivals>>::default();
        let task = tokio::spawn(collect(relay, Arc::clone(&arrived)));
        Self { arrived, task }
    }

    /// The time at which a greeting has arrived.
    pub(crate) fn arrived_at(&self, number: usize) -> Option<Instant> {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.get(&number).copied()
    }
}

impl Drop for Greetings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn collect(mut relay: Relay, arrived: Arc<Mutex<Arrivals>>) {
    while let Ok(stream) = relay.receive(BEGINNING.as_bytes()).await {
        let now = clock::now();
        let text = String::from_utf8_lossy(&stream);
        let rests = text.split(BEGINNING).skip(1);
        let numbers = rests.filter_map(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
        let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            arrived.entry(number).or_insert(now);
        }
    }
}
