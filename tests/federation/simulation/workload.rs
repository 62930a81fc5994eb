//! Clients and proxies of one broker.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use snowflake_broker::broker::Broker;
use tokio::time::{sleep, timeout};

use crate::simulation::invariants::{Invariants, answer_name, now};
use crate::simulation::plan::MENDED;
use crate::support::in_process::{answer, ask, poll};
use crate::support::messages::client_poll;

/// The arrivals at one broker, from one start to the next.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) broker: Arc<Broker>,
    pub(crate) invariants: Invariants,
    pub(crate) name: String,
    /// The share of proxies among arrivals.
    pub(crate) proxies: f64,
}

/// The behavior of a polling proxy.
enum Proxy {
    /// It answers an offer after a delay, a number of times.
    Answers(Duration, usize),
    /// It never answers.
    Silent,
    /// It leaves if it has no offer by then.
    Leaves(Duration),
}

impl Workload {
    /// Sends clients and proxies until the end.
    pub(crate) async fn run(self, mut rng: Rng) {
        let start = rng.u32(..);
        for number in 0.. {
            sleep(millis(&mut rng, 50, 500)).await;
            if now() >= MENDED {
                return;
            }
            let name = format!("{}.{start:x}.{number}", self.name);
            let is_proxy = rng.f64() < self.proxies;
            let (workload, rng) = (self.clone(), rng.fork());
            if is_proxy {
                tokio::spawn(async move { workload.proxy(&name, rng).await });
            } else {
                tokio::spawn(async move { workload.client(&name, rng).await });
            }
        }
    }

    async fn client(&self, name: &str, mut rng: Rng) {
        let nat = ["restricted", "unrestricted", "unknown"][rng.usize(..3)];
        let patience = if rng.f64() < 0.15 {
            millis(&mut rng, 0, 3_000)
        } else {
            Duration::MAX
        };
        let poll = client_poll(name, nat);
        self.invariants.client_came(name, &self.name);
        match timeout(patience, ask(&self.broker, &poll)).await {
            Ok(reply) => self.invariants.client_replied(name, reply),
            Err(_) => self.invariants.client_left(name),
        }
    }

    async fn proxy(&self, sid: &str, mut rng: Rng) {
        let nat = ["open", "unrestricted", "restricted"][rng.usize(..3)];
        self.invariants.proxy_came(sid, &self.name);
        let (patience, answers) = match Proxy::any(&mut rng) {
            Proxy::Answers(after, times) => (Duration::MAX, Some((after, times))),
            Proxy::Silent => (Duration::MAX, None),
            Proxy::Leaves(after) => (after, None),
        };
        let polled = timeout(patience, poll(&self.broker, sid, nat)).await;
        self.invariants.poll_ended(sid);
        let Ok(Some(offer)) = polled else {
            return;
        };
        let client = self.invariants.handed_off(sid, &offer);
        let Some((after, times)) = answers else {
            return;
        };
        sleep(after).await;
        for _ in 0..times {
            let status = answer(&self.broker, sid, &answer_name(&client, sid)).await;
            self.invariants.proxy_answered(sid, status);
        }
    }
}

impl Proxy {
    fn any(rng: &mut Rng) -> Self {
        match rng.usize(..10) {
            0..6 => Self::Answers(millis(rng, 0, 1_000), rng.usize(1..3)),
            6 => Self::Answers(millis(rng, 1_500, 6_000), 1),
            7..9 => Self::Silent,
            _ => Self::Leaves(millis(rng, 0, 3_000)),
        }
    }
}

pub(crate) fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}
