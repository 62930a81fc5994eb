//! Five nodes behind Debian's `HAProxy`, which knows nothing of polls and answers.

use std::time::Duration;

use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::Load;
use crate::real::notes::{Notes, Poll};
use crate::real::site::Site;
use crate::real::tell;

pub(crate) const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The load of most tests: proxies that poll all the time, so many that those are enough that
/// are not caught by a fault, and the time between two clients.
pub(crate) const PROXIES: usize = 20;
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// A poll, its answer and its client mostly come to three different nodes. Proxies are so few
/// that a node often has none.
#[tokio::test]
async fn each_request_goes_to_the_next_node() {
    let (site, notes, books) = serve(Balance::Requests, 10, EVERY, 80).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    let strays = notes.polls(came_elsewhere);
    assert!(strays > 0);
    assert_eq!(books.strays(), strays);
    let elsewhere = notes.answered_elsewhere(|asked, polled| asked != polled);
    assert!(elsewhere > 0);
    let [sent, received] = books.answered_elsewhere();
    assert!(
        (elsewhere..=received).contains(&sent),
        "{elsewhere} {sent} {received}"
    );
    tell(&format!(
        "{}; {elsewhere} clients served at another node, {strays} answers that came to another",
        notes.figures()
    ));
    site.assert_logs_are_clean();
}

/// A proxy keeps its connection, so its answers come to the node of its poll. Most nodes have one
/// proxy, which is often busy.
#[tokio::test]
async fn each_connection_goes_to_the_next_node() {
    let (site, notes, books) = serve(Balance::Connections, 7, EVERY * 3 / 4, 80).await;
    assert_eq!(
        books.sum(None, "snowflake_broker_stray_answers_total", &[]),
        0
    );
    let [sent, received] = books.answered_elsewhere();
    assert!(sent > 0);
    assert!(sent <= received, "{sent} {received}");
    tell(&format!(
        "{}; {sent} clients served at another node",
        notes.figures()
    ));
    site.assert_logs_are_clean();
}

/// Every client is served, and the books of all nodes together say so.
async fn serve(
    balance: Balance,
    proxies: usize,
    every: Duration,
    clients: u64,
) -> (Site, Notes, Books) {
    let (site, balancer) = Site::under_load(&NODES, balance).await;
    let load = Load::start("load", balancer.address, proxies, every);
    load.serves(clients).await;
    let notes = load.end().await;
    notes.assert_sound(|_| false);
    notes.assert_answered("without any fault", |_| true);
    let books = Books::read(&site).await;
    books.assert_balanced(None, &notes);
    books.assert_each_is_served_once(&notes);
    (site, notes, books)
}

/// Returns true if a poll's answer was delivered by another node than the poll's.
fn came_elsewhere(poll: &Poll) -> bool {
    let answer = poll.answer.as_ref();
    poll.succeeded() && answer.is_some_and(|answer| answer.node != poll.node)
}
