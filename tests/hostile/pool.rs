//! Proxies waiting for clients, which a stranger tries to take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::Broker;
use crate::network::{connect, somebody};
use crate::support::messages::{proxy_answer, proxy_poll};
use crate::support::peer::Peer;
use crate::until;

/// The number of the first address; healthy pairs use those before it.
const FIRST: u16 = 2_000;

/// Proxies behind a strict NAT, each with its own address, that poll until they get a
/// client and are busy from then on. Healthy pairs are in another pool.
pub(crate) struct Pool {
    _proxies: JoinSet<()>,
    taken: Arc<AtomicUsize>,
}

impl Pool {
    /// Parks this many proxies, which answer `answer_after` after they got an offer.
    pub(crate) async fn park(broker: &Broker, count: u16, answer_after: Duration) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut proxies = JoinSet::new();
        for number in FIRST..FIRST + count {
            proxies.spawn(proxy(number, answer_after, Arc::clone(&taken)));
        }
        until("they are parked", async || {
            broker.count("parked_polls", &[]).await >= u64::from(count)
        })
        .await;
        Self {
            _proxies: proxies,
            taken,
        }
    }

    /// The number of proxies that got a client.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn proxy(number: u16, answer_after: Duration, taken: Arc<AtomicUsize>) {
    let sid = format!("healthy-pool-{number}");
    let mut proxy = Peer::http1_over(connect(somebody(number)).await.unwrap()).await;
    loop {
        let poll = proxy.try_post("/proxy", proxy_poll(&sid, "strict")).await;
        // The broker has ended if the test has failed.
        let Ok((_, poll)) = poll else { return };
        if poll.contains("client match") {
            break;
        }
    }
    taken.fetch_add(1, Ordering::Relaxed);
    sleep(answer_after).await;
    let answer = proxy_answer(&sid, "hi");
    proxy.try_post("/answer", answer).await.ok();
}
