//! Twenty restarts under load behind one socket, one right after the other: the
//! successor starts when its predecessor has ended, as under systemd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use snowflake_broker::broker::clock;
use tokio::time::sleep;

use crate::restart::broker::{Program, Socket};
use crate::restart::load::{Client, Load, Outcome};

const RESTARTS: usize = 20;
const PROXIES: u64 = 1000;
const CLIENTS_A_SECOND: u64 = 20;
/// How many clients may be denied because of one restart: a hundredth of those
/// that come in a minute.
const DENIED_MAX: usize = 12;

/// A short grace and polls that come sooner than by default, as this test has
/// no minutes for each restart.
const SETTINGS: [(&str, &str); 2] = [
    ("matching.drain_grace", "1s"),
    ("poll_interval.open", "10s"),
];

/// How long the load goes on before the first restart.
const BEFORE: Duration = Duration::from_secs(4);
/// How long it goes on after the last: `client_timeout` and some more.
const AFTER: Duration = Duration::from_secs(6);
/// How long a broker runs between two restarts.
const BETWEEN: Duration = Duration::from_secs(1);
/// `drain_grace`, `client_timeout` and a second; and some for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(7 + 1);

/// When a broker was told to stop, and how long it took.
struct Stop {
    told: Instant,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_restarts_under_load_lose_nobody() {
    let socket = Socket::open();
    let mut broker = Program::start(&socket, "http", &SETTINGS);
    let load = Load::start(socket.addr(), PROXIES, CLIENTS_A_SECOND);
    sleep(BEFORE).await;
    let mut stops = Vec::new();
    for _ in 0..RESTARTS {
        stops.push(stop(broker).await);
        broker = Program::start(&socket, "http", &SETTINGS);
        sleep(BETWEEN).await;
    }
    let end = clock::now();
    sleep(AFTER).await;

    let notes = load.notes();
    let clients: Vec<&Client> = notes
        .clients
        .values()
        .filter(|client| client.came < end)
        .collect();
    println!("{}", report(&clients, &stops));
    println!("{} requests were sent again", notes.again);
    assert_eq!(notes.proxies_refused, 0);
    assert_eq!(notes.proxies_broken_off, [""; 0]);
    let without_answer: Vec<_> = clients.iter().filter(|client| client.is_lost()).collect();
    assert!(without_answer.is_empty(), "{without_answer:#?}");
    for (index, stop) in stops.iter().enumerate() {
        assert!(stop.took < STOP_MAX, "restart {index}: {:?}", stop.took);
        let denied = denied_by(index, &stops, &clients);
        assert!(denied <= DENIED_MAX, "restart {index}: {denied} denied");
    }
}

async fn stop(broker: Program) -> Stop {
    let told = clock::now();
    broker.send(Signal::TERM);
    let (status, log) = broker.end().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("clients waiting"), "{log}");
    let took = told.elapsed();
    Stop { told, took }
}

/// How many clients were denied that came from this stop to the next.
fn denied_by(index: usize, stops: &[Stop], clients: &[&Client]) -> usize {
    let next = stops.get(index + 1);
    let denied = clients.iter().filter(|client| {
        let is_its =
            client.came >= stops[index].told && next.is_none_or(|next| client.came < next.told);
        is_its && matches!(client.outcome, Some((Outcome::Denied, _)))
    });
    denied.count()
}

/// How everybody fared, for whoever reads it.
fn report(clients: &[&Client], stops: &[Stop]) -> String {
    let took: Vec<u128> = stops.iter().map(|stop| stop.took.as_millis()).collect();
    let denied: Vec<usize> = (0..stops.len())
        .map(|index| denied_by(index, stops, clients))
        .collect();
    let mut report =
        format!("the stops took, in ms: {took:?}\nclients denied from each on: {denied:?}");
    let mut outcomes = BTreeMap::<Outcome, Vec<Duration>>::new();
    for (outcome, took) in clients.iter().filter_map(|client| client.outcome) {
        outcomes.entry(outcome).or_default().push(took);
    }
    for (outcome, took) in &mut outcomes {
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
        let [half, most, all] = [50, 90, 100].map(at);
        let count = took.len();
        write!(
            report,
            "\n{outcome:?}: {count}; 50 % after {half} ms, 90 % after {most} ms, all after {all} ms"
        )
        .unwrap();
    }
    report
}
