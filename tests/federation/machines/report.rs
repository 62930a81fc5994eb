//! The summary of a test's clients, and conditions that all of them must meet.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::machines::brokers::{A, B, C, Name};
use crate::machines::load::{Client, Outcome};

/// A client has 5 s at the broker; the rest is for a busy machine.
const CLIENT_TIME: Duration = Duration::from_secs(8);
/// A peer should be back in use within 5 s; three times that is a failure.
const BACK_IN_USE: Duration = Duration::from_secs(15);

/// Checks that each client had a reply in time, that no answer went to another client,
/// and that none was lost between brokers that are `healthy` to each other. Returns the
/// counts.
pub(crate) fn check(clients: &[Client], healthy: impl Fn(Name, Name) -> bool) -> Result<String> {
    let longest = clients
        .iter()
        .filter_map(Client::took)
        .max()
        .unwrap_or_default();
    for client in clients {
        let is_lost = client.is_lost(|at| healthy(client.asks, at));
        ensure!(!is_lost, "lost: {client:?}");
        ensure!(client.outcome() != Some(Outcome::Crossed), "{client:?}");
    }
    ensure!(longest < CLIENT_TIME, "a client waited {longest:?}");
    let [a, b, c] = [A, B, C].map(|name| counts(clients, name));
    Ok(format!(
        "{a}; {b}; {c}; the longest wait {} ms",
        longest.as_millis()
    ))
}

/// Checks that a peer was back in use soon, and reports the time.
pub(crate) fn back_in_use(what: &str, after: Duration) -> Result<String> {
    ensure!(after < BACK_IN_USE, "{what} after {after:?}");
    Ok(format!("{what} after {} ms", after.as_millis()))
}

fn counts(clients: &[Client], name: Name) -> String {
    let asked: Vec<_> = clients
        .iter()
        .filter(|client| client.asks == name)
        .collect();
    let count = |outcome| {
        let ended = asked
            .iter()
            .filter(|client| client.outcome() == Some(outcome));
        ended.count()
    };
    format!(
        "{} had {} clients: {} answered, {} not, {} refused, {} broken off",
        name.name,
        asked.len(),
        count(Outcome::Answered),
        count(Outcome::NotAnswered),
        count(Outcome::Refused),
        count(Outcome::Broken),
    )
}
