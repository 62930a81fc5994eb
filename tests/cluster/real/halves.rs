//! Two halves of a cluster, each with nodes, servers, clients, proxies and a balancer of its
//! own, between which nothing passes for half a minute.

use std::time::Duration;

use tokio::time::sleep;

use crate::real::access::Access;
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::Load;
use crate::real::machine::{LEFT, Machine, RIGHT, make_halves, part_halves, rejoin_halves};
use crate::real::nats::Servers;
use crate::real::notes::{Client, Outcome};
use crate::real::site::Site;
use crate::real::{now, tell, until};
use crate::support::namespace;
use crate::support::wait::LONG_ENOUGH;

const NAME: &str = "real::halves::halves_that_part_both_serve_and_join_again";
const PARTED_FOR: Duration = Duration::from_secs(30);
/// The time after which each node has a server that it reaches. Two seconds go by until it
/// looks for one, and at each one that it does not reach.
const UNTIL_SETTLED: Duration = Duration::from_secs(10);
/// The nodes and their halves.
const NODES: [(&str, Machine); 5] = [
    ("a", LEFT),
    ("b", LEFT),
    ("c", RIGHT),
    ("d", RIGHT),
    ("e", RIGHT),
];

#[tokio::test]
async fn halves_that_part_both_serve_and_join_again() {
    if namespace::entered() {
        return part_and_join().await;
    }
    let output = namespace::run_inside_for(NAME, LONG_ENOUGH).await;
    let output = output.unwrap_or_else(|error| panic!("{error:#}"));
    for line in output.lines().filter(|line| line.contains("clients:")) {
        tell(line);
    }
}

async fn start() -> Site {
    make_halves().await;
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::start_on(folder.path(), Access::Open, [LEFT, RIGHT, RIGHT]).await;
    let mut site = Site::without_nodes(folder, servers);
    for (name, machine) in NODES {
        let place = site.place(machine, name);
        site.start_again(place.under_load()).await;
    }
    site.all_know_all().await;
    site
}

async fn part_and_join() {
    let site = start().await;
    let [left, right] = [LEFT, RIGHT].map(|half| site.balancer(half, Balance::Requests));
    let (left, right) = (left.await, right.await);
    let every = Duration::from_millis(120);
    let of_left = Load::start("left", left.address, 20, every);
    let mut of_right = Load::start("right", right.address, 20, every);
    of_left.serves(20).await;
    of_right.serves(20).await;

    let parted = now();
    part_halves().await;
    sleep(UNTIL_SETTLED).await;
    each_half_is_a_cluster_of_its_own(&site).await;
    sleep(PARTED_FOR.saturating_sub(parted.elapsed())).await;
    rejoin_halves().await;
    let rejoined = now();
    site.all_know_all().await;
    let took = rejoined.elapsed();

    // Now the clients of one half have no proxies but those of the other.
    of_right.end_proxies().await;
    let mut late = Load::new("late");
    late.add_clients(right.address, every);
    late.serves(20).await;
    let late = late.end().await;
    let is_of_left =
        |outcome: &Outcome| matches!(outcome, Outcome::Answered(sid) if sid.starts_with("left-"));
    let across = late.clients(|client| client.outcome().is_some_and(is_of_left));
    assert!(across >= 20, "{}", late.figures());

    let mut notes = of_right.end().await;
    notes.add(of_left.end().await);
    notes.add(late);
    notes.assert_sound(|_| false);
    notes.assert_answered("in a half that is settled", |client| {
        client.came > parted + UNTIL_SETTLED && !client.was_there(rejoined, now())
    });
    notes.assert_answered("before", |client: &Client| !client.was_there(parted, now()));
    let books = Books::read(&site).await;
    for (node, _) in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    let meanwhile = parted + UNTIL_SETTLED;
    let lost = notes.clients(|client| client.was_there(parted, meanwhile) && !client.is_answered());
    tell(&format!(
        "{}; {lost} of the first 10 s of the cut were not served; joined again after \
         {} ms",
        notes.figures(),
        took.as_millis()
    ));
    site.assert_logs_are_clean();
}

async fn each_half_is_a_cluster_of_its_own(site: &Site) {
    for (name, machine) in NODES {
        let half = NODES.iter().filter(|(_, of)| of.front == machine.front);
        let nodes = format!("snowflake_broker_cluster_nodes {}\n", half.count());
        until("a node knows its half", async || {
            let page = site.node(name).page().await;
            page.contains(&nodes) && page.contains("snowflake_broker_cluster_connected 1\n")
        })
        .await;
    }
}
