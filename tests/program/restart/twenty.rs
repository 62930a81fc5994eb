//! Twenty restarts in a row under load, behind one socket: each successor starts when its
//! predecessor has ended, as under systemd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use snowflake_broker::broker::clock;
use tokio::time::sleep;

use crate::restart::broker::{Program, Socket};
use crate::restart::load::{Client, Load, Outcome};

const RESTARTS: usize = 20;
/// A load that two busy cores can carry, with a program that is not optimised.
const PROXIES: u64 = 500;
const CLIENTS_A_SECOND: u64 = 10;
/// The maximum number of clients denied because of one restart: a hundredth of those that
/// come in a minute.
const DENIED_MAX: usize = 6;

/// Shorter times than by default, since this test does not have minutes for each restart.
const SETTINGS: [(&str, &str); 3] = [
    ("matching.drain_grace", "1s"),
    ("matching.client_timeout", "2s"),
    ("poll_interval.open", "10s"),
];

/// The duration of the load before the first restart.
const BEFORE: Duration = Duration::from_secs(4);
/// The duration of the load after the last restart: `client_timeout` and a bit more.
const AFTER: Duration = Duration::from_secs(3);
/// The time that a broker runs between two restarts.
const BETWEEN: Duration = Duration::from_secs(1);
/// `drain_grace`, `client_timeout` and a second, plus some time for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(4 + 1);

/// The time of a stop signal, and the duration of the stop.
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

/// The number of denied clients that came between this stop and the next.
fn denied_by(index: usize, stops: &[Stop], clients: &[&Client]) -> usize {
    let next = stops.get(index + 1);
    let denied = clients.iter().filter(|client| {
        let is_its =
            client.came >= stops[index].told && next.is_none_or(|next| client.came < next.told);
        is_its && matches!(client.outcome, Some((Outcome::Denied, _)))
    });
    denied.count()
}

/// A report of all outcomes, for the reader of the test's output.
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
