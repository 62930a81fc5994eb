//! Nodes over a bus that loses, doubles, delays and reorders messages, that hangs and comes
//! back. Events are drawn from a seed. Whatever happens:
//!
//! - a client has one reply, in time;
//! - its answer is to its own offer, from a proxy that had that offer;
//! - a proxy serves one client, and a client has one proxy whose answer was delivered;
//! - in the end nothing is left in any table.
//!
//! Run a failing seed alone with `SIMULATION_SEED=<seed>`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use snowflake_broker::broker::NoAnswer;
use snowflake_broker::broker::{Broker, clock};
use snowflake_broker::matching;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bus::Hub;
use crate::node::Node;
use crate::support::in_process::{answer, ask, poll};
use crate::support::messages::client_poll;

/// The seeds of the simulations.
const SEEDS: Range<u64> = 0..24;
/// The number of nodes.
const NODES: usize = 4;
/// The time for which clients and proxies come, and faults happen.
const SPAN: Duration = Duration::from_secs(40);
/// The time after which everything must have ended: polls and closed polls are remembered
/// for half a minute.
const UNTIL_EMPTY: Duration = Duration::from_mins(2);
/// The tolerance for the time of a reply: the precision of timers.
const SLACK: Duration = Duration::from_millis(20);

/// The history of one simulation.
#[derive(Clone, Default)]
struct History(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    /// The client whose offer a proxy had.
    offers: BTreeMap<String, String>,
    /// The proxy whose answer each client got.
    answers: BTreeMap<String, String>,
    /// The clients to which proxies' answers were delivered, as these were told.
    delivered: BTreeMap<String, Vec<String>>,
    wrong: Vec<String>,
    denied: usize,
    timed_out: usize,
    left: usize,
    from_elsewhere: usize,
}

#[test]
fn whatever_the_bus_does_each_client_has_its_own_answer_or_none_in_time() {
    let seeds = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => SEEDS,
    };
    let is_whole = seeds == SEEDS;
    let mut sums = [0; 4];
    for seed in seeds {
        let records = simulate(seed);
        assert!(
            records.wrong.is_empty(),
            "seed {seed}: {:#?}",
            records.wrong
        );
        let counts = [
            records.answers.len(),
            records.from_elsewhere,
            records.timed_out + records.denied,
            records.left,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    // Everything that can happen has happened.
    assert!(!is_whole || sums.iter().all(|sum| *sum > 100), "{sums:?}");
}

/// Runs one simulation, in paused time.
fn simulate(seed: u64) -> Records {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let history = History::default();
    runtime.block_on(run(seed, history.clone()));
    drop(runtime);
    std::mem::take(&mut *history.0.lock().unwrap())
}

async fn run(seed: u64, history: History) {
    let hub = Hub::new(seed);
    let nodes: Vec<_> = (0..NODES)
        .map(|number| Node::start(&hub, &number.to_string()))
        .collect();
    let brokers: Vec<_> = nodes.iter().map(|node| Arc::clone(&node.broker)).collect();
    let mut rng = Rng::with_seed(seed);
    let mut tasks = JoinSet::new();
    let faults = change_faults(hub.clone(), rng.fork());
    let arrivals = arrive(brokers, history.clone(), rng.fork(), &mut tasks);
    let both = async { tokio::join!(faults, arrivals) };
    drop(timeout(SPAN, both).await);
    hub.with_faults(|faults| *faults = crate::bus::Faults::none());
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    sleep(UNTIL_EMPTY).await;
    for node in &nodes {
        let snapshot = node.broker.control().snapshot();
        let is_empty = snapshot == matching::Snapshot::default();
        history.check(is_empty && node.cluster.is_idle(), || {
            format!("something is left at node {}: {snapshot:?}", node.name)
        });
    }
    history.check_proxies();
}

/// Changes the faults of the bus again and again.
async fn change_faults(hub: Hub, mut rng: Rng) {
    loop {
        sleep(Duration::from_millis(rng.u64(100..3_000))).await;
        let node = rng.usize(..NODES).to_string();
        let kind = rng.usize(..7);
        let longest = [5, 80, 400][rng.usize(..3)];
        let share = rng.f64() * 0.3;
        match kind {
            0 => hub.with_faults(|faults| faults.loss = share),
            1 => hub.with_faults(|faults| faults.doubling = share),
            2 => hub.with_faults(|faults| faults.delay = [1, longest]),
            3 => hub.with_faults(|faults| {
                faults.hung.insert(node);
            }),
            4 => hub.cut_off(&node),
            _ => hub.with_faults(|faults| *faults = crate::bus::Faults::none()),
        }
    }
}

/// Sends clients and proxies to any node.
async fn arrive(
    brokers: Vec<Arc<Broker>>,
    history: History,
    mut rng: Rng,
    tasks: &mut JoinSet<()>,
) {
    for number in 0.. {
        sleep(Duration::from_millis(rng.u64(10..150))).await;
        let [here, there] = [(); 2].map(|()| rng.usize(..NODES));
        let [broker, other] = [here, there].map(|node| Arc::clone(&brokers[node]));
        let (history, rng) = (history.clone(), rng.fork());
        if number % 2 == 0 {
            tasks.spawn(history.proxy([broker, other], format!("{here}.{number}"), rng));
        } else {
            tasks.spawn(history.client(broker, format!("{here}.{number}"), rng));
        }
    }
}

impl History {
    /// A client, some of which leave.
    async fn client(self, broker: Arc<Broker>, name: String, mut rng: Rng) {
        let poll = client_poll(
            &name,
            ["restricted", "unrestricted", "unknown"][rng.usize(..3)],
        );
        let patience = if rng.f64() < 0.15 {
            Duration::from_millis(rng.u64(..3_000))
        } else {
            Duration::from_hours(1)
        };
        let began = clock::now();
        let reply = timeout(patience, ask(&broker, &poll)).await;
        let took = clock::now() - began;
        let longest = broker.client_timeout() + SLACK;
        self.check(took <= longest || patience < took, || {
            format!("{name} waited {took:?}")
        });
        let mut records = self.0.lock().unwrap();
        match reply {
            Ok(Ok(answer)) => {
                let (proxy, client) = names(&answer);
                if client != name {
                    records
                        .wrong
                        .push(format!("{name} got the answer to {client}"));
                }
                if records.offers.get(&proxy) != Some(&name) {
                    records
                        .wrong
                        .push(format!("{proxy} never had the offer of {name}"));
                }
                records.from_elsewhere += usize::from(proxy.get(..1) != name.get(..1));
                records.answers.insert(name, proxy);
            }
            Ok(Err(NoAnswer::NoProxies)) => records.denied += 1,
            Ok(Err(NoAnswer::TimedOut)) => records.timed_out += 1,
            Ok(Err(other)) => records.wrong.push(format!("{name} was told: {other}")),
            Err(_) => records.left += 1,
        }
    }

    /// A proxy that polls at one broker and answers at another, some of them twice, late or
    /// never.
    async fn proxy(self, [here, there]: [Arc<Broker>; 2], sid: String, mut rng: Rng) {
        let nat = ["open", "unrestricted", "restricted"][rng.usize(..3)];
        let Some(offer) = poll(&here, &sid, nat).await else {
            return;
        };
        let client = offer_name(&offer);
        self.note(|records| {
            records.offers.insert(sid.clone(), client.clone());
        });
        let (delay, times) = match rng.usize(..10) {
            0..7 => (rng.u64(..1_000), rng.usize(1..3)),
            7 => (rng.u64(1_500..6_000), 1),
            _ => return,
        };
        sleep(Duration::from_millis(delay)).await;
        for broker in [there, here].iter().take(times) {
            let status = answer(broker, &sid, &format!("{sid} to {client}")).await;
            if status == AnswerStatus::Success {
                self.note(|records| {
                    let delivered = records.delivered.entry(sid.clone()).or_default();
                    delivered.push(client.clone());
                });
            }
        }
    }

    fn note(&self, event: impl FnOnce(&mut Records)) {
        event(&mut self.0.lock().unwrap());
    }

    fn check(&self, is_right: bool, problem: impl FnOnce() -> String) {
        if !is_right {
            self.0.lock().unwrap().wrong.push(problem());
        }
    }

    /// No proxy was told twice that its answer was delivered, and no two served one client.
    fn check_proxies(&self) {
        let mut records = self.0.lock().unwrap();
        let twice = records.delivered.iter();
        let twice = twice.filter(|(_, clients)| clients.len() > 1);
        let mut wrong: Vec<_> = twice
            .map(|(proxy, clients)| format!("{proxy} served {clients:?}"))
            .collect();
        records.wrong.append(&mut wrong);
    }
}

/// The client in the text of an offer.
fn offer_name(offer: &str) -> String {
    sdp(offer)
}

/// The proxy and the client in the text of an answer.
fn names(answer: &str) -> (String, String) {
    let sdp = sdp(answer);
    let names = sdp.lines().next().unwrap();
    let (proxy, client) = names.split_once(" to ").unwrap();
    (proxy.to_owned(), client.to_owned())
}

fn sdp(description: &str) -> String {
    let description: Value = serde_json::from_str(description).unwrap();
    description["sdp"].as_str().unwrap().to_owned()
}
