//! The families of private pools. Everything else that is counted is of the public broker.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::families::{PrivatePoolClientLabels, PrivatePoolLabels, PrivatePoolPollLabels, add};
use super::labels::{ClientOutcome, PollOutcome, PrivatePoolName};
use super::recent::Totals;

/// The state of a private pool at a scrape.
#[derive(Clone, Debug)]
pub struct PrivatePoolFigures {
    /// The name.
    pub name: PrivatePoolName,
    /// Parked polls.
    pub parked: usize,
    /// Queued clients.
    pub queued: usize,
    /// The polls since the pool was created.
    pub totals: Totals,
}

#[derive(Debug)]
pub(super) struct PrivatePoolFamilies {
    parked: Family<PrivatePoolLabels, Gauge>,
    queued: Family<PrivatePoolLabels, Gauge>,
    proxy_polls: Family<PrivatePoolPollLabels, Counter>,
    client_polls: Family<PrivatePoolClientLabels, Counter>,
    incomplete_urls: Counter,
}

impl PrivatePoolFamilies {
    #[rustfmt::skip]
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            parked: add(r, "snowflake_broker_private_pool_parked_polls", "Parked polls of a private pool", Family::default()),
            queued: add(r, "snowflake_broker_private_pool_queued_clients", "Clients of a private pool that wait for a proxy", Family::default()),
            proxy_polls: add(r, "snowflake_broker_private_pool_proxy_polls", "Polls of proxies of a private pool, by outcome", Family::default()),
            client_polls: add(r, "snowflake_broker_private_pool_client_polls", "Polls of clients of a private pool, by outcome", Family::default()),
            incomplete_urls: add(r, "snowflake_broker_private_pool_incomplete_urls", "Requests to which the URL of a private pool leads if its last slash is missing", Counter::default()),
        }
    }

    /// Shows these pools, and no other.
    pub(super) fn show(&self, pools: &[PrivatePoolFigures]) {
        self.parked.clear();
        self.queued.clear();
        self.proxy_polls.clear();
        self.client_polls.clear();
        for pool in pools {
            self.show_one(pool);
        }
    }

    fn show_one(&self, pool: &PrivatePoolFigures) {
        let labels = PrivatePoolLabels::new(pool.name.clone());
        self.parked.get_or_create(&labels).set(gauge(pool.parked));
        self.queued.get_or_create(&labels).set(gauge(pool.queued));
        for (outcome, count) in PollOutcome::ALL.iter().zip(pool.totals.proxy_outcomes) {
            let labels = PrivatePoolPollLabels::new(pool.name.clone(), *outcome);
            set(&self.proxy_polls.get_or_create(&labels), count);
        }
        for (outcome, count) in ClientOutcome::ALL.iter().zip(pool.totals.client_outcomes) {
            let labels = PrivatePoolClientLabels::new(pool.name.clone(), *outcome);
            set(&self.client_polls.get_or_create(&labels), count);
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

impl Metrics {
    /// Counts a request with an incomplete URL of a private pool.
    pub fn incomplete_pool_url(&self) {
        self.private_pools.incomplete_urls.inc();
    }

    /// All polls since the start.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.counting.lock().counters)
    }
}
