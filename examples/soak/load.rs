//! The load: everybody who comes to A and to the others, until it ends.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::caller::Front;
use crate::configs::POOL;
use crate::messages::Messages;
use crate::tally::Tally;
use crate::{Options, clients, hostile, proxies};

/// The size of a browser's offer, in bytes.
const SDP_BYTES: usize = 2_400;
/// Proxies of the private pool, and of each of the other brokers.
const POOL_PROXIES: u16 = 4;
const OTHER_PROXIES: u16 = 12;
/// Clients that come to each of the other brokers, a second.
const OTHER_CLIENTS: f64 = 1.0;
/// Clients that keep their connections, by the way that they come.
const KEPT: usize = 6;

/// What all parts of the load share.
pub(crate) struct World {
    pub(crate) messages: Messages,
    pub(crate) tally: Tally,
    /// Cancelled when the load shall end.
    pub(crate) ending: CancellationToken,
    next_tag: AtomicU64,
    /// Parts that have panicked.
    failed: AtomicU64,
}

impl World {
    /// A client's poll, and the tag of its offer.
    pub(crate) fn client_poll(&self) -> (u64, Bytes) {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        let nat = ["restricted", "restricted", "unrestricted"][fastrand::usize(..3)];
        (tag, self.messages.client_poll(tag, nat))
    }

    /// Waits for a random time in milliseconds. Returns false at once if the load ends.
    pub(crate) async fn pause(&self, range: Range<u64>) -> bool {
        let pause = sleep(Duration::from_millis(fastrand::u64(range)));
        self.ending.run_until_cancelled(pause).await.is_some()
    }

    /// Forgets tasks that are over, and counts those that panicked.
    pub(crate) fn note_panics(&self, tasks: &mut JoinSet<()>) {
        while let Some(ended) = tasks.try_join_next() {
            self.note(&ended);
        }
    }

    /// Waits until all tasks are over.
    pub(crate) async fn finish(&self, mut tasks: JoinSet<()>) {
        while let Some(ended) = tasks.join_next().await {
            self.note(&ended);
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn note(&self, ended: &Result<(), JoinError>) {
        if ended.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The load, while it runs.
pub(crate) struct Load {
    pub(crate) world: Arc<World>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(options: &Options) -> Result<Self> {
        let tally = Tally::default();
        let world = Arc::new(World {
            messages: Messages::new(SDP_BYTES),
            tally: tally.clone(),
            ending: CancellationToken::new(),
            next_tag: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let mut load = Self {
            world,
            tasks: JoinSet::new(),
        };
        let a = Front::of_a(tally)?;
        load.add_proxies(&a, 0..options.proxies, "");
        load.add_clients(&a, options.clients);
        for number in 0..KEPT {
            let (world, http2) = (Arc::clone(&load.world), number % 2 == 0);
            let path = if number % 3 == 0 { POOL } else { "" };
            let client = clients::come_back(world, a.clone(), http2, path);
            load.tasks.spawn(client);
        }
        let mut first = options.proxies;
        load.add_proxies(&a, first..first + POOL_PROXIES, POOL);
        first += POOL_PROXIES;
        for other in Front::of_others() {
            load.add_proxies(&other, first..first + OTHER_PROXIES, "");
            first += OTHER_PROXIES;
            load.add_clients(&other, OTHER_CLIENTS);
        }
        for number in 0..hostile::AT_ONCE {
            let (world, a) = (Arc::clone(&load.world), a.clone());
            load.tasks.spawn(hostile::attack(world, a, number));
        }
        Ok(load)
    }

    /// Ends the load: nobody comes any more, and those who are there wait for their replies.
    pub(crate) async fn end(self) -> Arc<World> {
        self.world.ending.cancel();
        self.world.finish(self.tasks).await;
        self.world
    }

    fn add_proxies(&mut self, front: &Front, numbers: Range<u16>, path: &'static str) {
        for number in numbers {
            let (world, front) = (Arc::clone(&self.world), front.clone());
            let proxy = proxies::poll_again_and_again(world, front, number, path);
            self.tasks.spawn(proxy);
        }
    }

    fn add_clients(&mut self, front: &Front, rate: f64) {
        let world = Arc::clone(&self.world);
        self.tasks.spawn(clients::come(world, front.clone(), rate));
    }
}
