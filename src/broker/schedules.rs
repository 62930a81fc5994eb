//! Clients and proxies that come, answer, keep silent and leave in many interleavings of
//! their threads. Each run is a random one; what shuttle prints at a failure repeats it.
//!
//! Time passes only when one of the threads says so, and no timer is set: that thread does
//! what the driver does.

mod lending;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, select};
use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;
use tokio::runtime::{Builder, Runtime};

use crate::matching::Settings;
use crate::metrics::labels::Rendezvous;
use crate::wire::answer::{AnswerStatus, ProxyAnswer};
use crate::wire::client::ClientPoll;
use crate::wire::proxy::{PollStatus, ProxyPoll, ProxyTypes};

use super::in_tests::{caller, new_broker};
use super::{Broker, NoAnswer};

/// The interleavings that are tried.
const RUNS: usize = 2_000;

/// Those who come in a run.
const CLIENTS: usize = 3;
const PROXIES: usize = 3;

/// Turns of the other threads for which somebody waits before leaving.
const PATIENCE: usize = 12;

/// The fate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Left,
    Answered,
    Refused,
}

#[test]
fn everybody_gets_one_reply_and_nothing_is_left() {
    explore(|| {
        let broker = Arc::new(broker());
        let run = run(&broker, &[&broker; PROXIES]);
        run.check_answers();
        check_empty(&[&broker]);
        run.fates
    });
}

/// Repeats a run in all interleavings. It returns the fates of its clients, which have to be
/// of all kinds.
fn explore(run: impl Fn() -> Vec<Fate> + Send + Sync + 'static) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    let run = move || {
        let runtime = paused();
        let _time = runtime.enter();
        all.lock().unwrap().extend(run());
    };
    shuttle::check_random(run, RUNS);
    for fate in [Fate::Left, Fate::Answered, Fate::Refused] {
        let seen = seen.lock().unwrap();
        let count = seen.iter().filter(|had| **had == fate).count();
        assert!(count > RUNS / 10, "{fate:?}: {count} of {}", CLIENTS * RUNS);
    }
}

/// The result of a run.
struct Run {
    fates: Vec<Fate>,
    /// The number of answers that were taken.
    taken: usize,
}

/// Clients come to a broker, and a proxy to each of these.
fn run(broker: &Arc<Broker>, of_proxies: &[&Arc<Broker>; PROXIES]) -> Run {
    let taken = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(CLIENTS + PROXIES));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (broker, running) = (Arc::clone(broker), Arc::clone(&running));
            thread::spawn(move || {
                let fate = block_on(client(&broker, number));
                running.fetch_sub(1, Ordering::SeqCst);
                fate
            })
        })
        .collect();
    let proxies: Vec<_> = of_proxies
        .iter()
        .enumerate()
        .map(|(number, broker)| {
            let (broker, running) = (Arc::clone(broker), Arc::clone(&running));
            let taken = Arc::clone(&taken);
            thread::spawn(move || {
                block_on(proxy(&broker, number, &taken));
                running.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    while running.load(Ordering::SeqCst) > 0 {
        pass(Duration::from_secs(1), of_proxies);
    }
    let fates = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    for proxy in proxies {
        proxy.join().unwrap();
    }
    Run {
        fates,
        taken: taken.load(Ordering::SeqCst),
    }
}

/// A client, which may leave.
async fn client(broker: &Broker, number: usize) -> Fate {
    let offer = serde_json::json!({"type": "offer", "sdp": format!("offer {number}")});
    let poll = serde_json::json!({"offer": offer.to_string(), "nat": "restricted"});
    let poll = ClientPoll::decode(format!("1.0\n{poll}").as_bytes()).unwrap();
    let asking = broker.client_poll(caller(), Rendezvous::Http, poll, || false);
    match or_leave(asking).await {
        None => Fate::Left,
        Some(Ok(answer)) => {
            let answer = answer.text();
            assert!(answer.contains(&format!("to offer {number} ")), "{answer}");
            Fate::Answered
        }
        Some(Err(refusal)) => {
            let is_expected = matches!(refusal, NoAnswer::NoProxies | NoAnswer::TimedOut);
            assert!(is_expected, "{refusal:?}");
            Fate::Refused
        }
    }
}

/// A proxy, which may leave, keep silent, or answer twice.
async fn proxy(broker: &Broker, number: usize, taken: &AtomicUsize) {
    let sid = format!("sid {number}");
    let poll = serde_json::json!({"Sid": sid, "Version": "1.3", "NAT": "unrestricted"});
    let poll = ProxyPoll::decode(poll.to_string().as_bytes(), &ProxyTypes::default());
    let mut poll = poll.unwrap();
    let polled = or_leave(broker.proxy_poll(caller(), &mut poll)).await;
    let Some(Ok(polled)) = polled else {
        return;
    };
    let PollStatus::ClientMatch { offer, .. } = polled.response.status else {
        return;
    };
    let offer: serde_json::Value = serde_json::from_str(&offer.text()).unwrap();
    let sdp = format!("to {} a=candidate:1", offer["sdp"].as_str().unwrap());
    let answer = serde_json::json!({"type": "answer", "sdp": sdp});
    let body = serde_json::json!({"Version": "1.3", "Sid": sid, "Answer": answer.to_string()});
    for _ in 0..thread_rng().gen_range(0..3) {
        let answer = ProxyAnswer::decode(body.to_string().as_bytes()).unwrap();
        if broker.proxy_answer(caller(), answer).await == Ok(AnswerStatus::Success) {
            taken.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Waits for a reply, in one of two runs only for a while.
async fn or_leave<T>(reply: impl Future<Output = T>) -> Option<T> {
    let patience = if thread_rng().gen_bool(0.5) {
        usize::MAX
    } else {
        thread_rng().gen_range(0..PATIENCE)
    };
    let leaving = async {
        for _ in 0..patience {
            yield_now().await;
        }
    };
    match select(Box::pin(reply), Box::pin(leaving)).await {
        Either::Left((reply, _)) => Some(reply),
        Either::Right(_) => None,
    }
}

/// Lets time pass, and serves the timers that are due.
fn pass(time: Duration, brokers: &[&Arc<Broker>]) {
    block_on(tokio::time::advance(time));
    for broker in brokers {
        broker.step(|state, now| state.matcher.handle_timeout(now));
    }
    thread::yield_now();
}

impl Run {
    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|had| **had == fate).count()
    }

    /// Answers that were taken have arrived, but for those of clients that left meanwhile.
    fn check_answers(&self) {
        let (fates, taken) = (&self.fates, self.taken);
        let (answered, left) = (self.count(Fate::Answered), self.count(Fate::Left));
        assert!(answered <= taken, "{fates:?}");
        assert!(taken <= answered + left, "{taken} answers: {fates:?}");
    }
}

/// Nobody is left in these brokers.
fn check_empty(brokers: &[&Arc<Broker>]) {
    for broker in brokers {
        // At once: whoever left is out.
        let snapshot = broker.control().snapshot();
        let clients = snapshot.queued_clients + snapshot.matched_clients;
        assert_eq!((broker.control().parked_polls().len(), clients), (0, 0));
    }
    pass(Duration::from_hours(1), brokers);
    for broker in brokers {
        assert!(broker.lock().matcher.is_empty());
    }
}

fn paused() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap()
}

fn broker() -> Broker {
    new_broker(Settings {
        client_queue_wait: Duration::from_secs(2),
        second_chance_reserve: 0,
        ..Settings::default()
    })
}
