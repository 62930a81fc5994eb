//! Servers and nodes that are killed, and others that hang, under a load.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use crate::real::balanced::{EVERY, NODES, PROXIES};
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::Load;
use crate::real::notes::{Client, Poll};
use crate::real::site::Site;
use crate::real::{now, tell};

/// The time for which something hangs: a client's time, and more.
const HANGS: Duration = Duration::from_secs(6);
/// The time in which nodes notice that their server hangs, and connect to another, though they
/// may try the same one again before.
const UNTIL_ELSEWHERE: Duration = Duration::from_secs(6);

/// While a node connects anew, it serves on its own. An answer that comes to another node than
/// its poll is lost meanwhile, and a client may lose both of its proxies so.
#[tokio::test]
async fn servers_that_die_or_hang_are_left_for_others() {
    let (mut site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;

    let server = site.servers.of_node("a").await;
    let killed = now();
    site.servers.kill(server);
    load.serves(60).await;
    site.servers.start_again(server).await;

    load.serves(30).await;
    let server = site.servers.of_node("a").await;
    let stopped = now();
    site.servers.signal(server, Signal::STOP);
    sleep(HANGS).await;
    site.servers.signal(server, Signal::CONT);
    load.serves(30).await;
    site.all_know_all().await;

    let notes = load.end().await;
    notes.assert_sound(|_| false);
    let is_meanwhile = |client: &Client| {
        let during = |from: Instant| client.was_there(from, from + UNTIL_ELSEWHERE);
        during(killed) || during(stopped)
    };
    notes.assert_answered("while all were connected", |client| !is_meanwhile(client));
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    let lost = notes.clients(|client| is_meanwhile(client) && !client.is_answered());
    let meanwhile = notes.clients(is_meanwhile);
    tell(&format!(
        "{}; {lost} of the {meanwhile} clients in the outages were not served",
        notes.figures()
    ));
    site.assert_logs_are_clean();
}

/// Its own clients lose the match, and others wait for their second proxy.
#[tokio::test]
async fn a_killed_node_costs_its_clients_one_match_and_others_none() {
    let (mut site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;

    load.until_mid_match("b").await;
    let killed = now();
    let place = site.kill("b");
    load.serves(60).await;
    let started = now();
    site.start_again(place).await;
    site.all_know_all().await;
    load.until("the node serves again", |notes| {
        let serves = |poll: &Poll| poll.is_of(Some("b")) && poll.succeeded();
        notes.clients(|client| client.is_of(Some("b")) && client.came > started) > 0
            && notes.polls(serves) > 0
    })
    .await;

    let notes = load.end().await;
    let is_its_own = |client: &Client| client.is_of(Some("b")) && client.was_there(killed, started);
    notes.assert_sound(|_| false);
    notes.assert_answered("at other nodes", |client| !is_its_own(client));
    let books = Books::read(&site).await;
    for node in NODES.into_iter().filter(|node| *node != "b") {
        books.assert_balanced(Some(node), &notes);
    }
    let lost = notes.clients(|client| is_its_own(client) && !client.is_answered());
    tell(&format!(
        "{}; {lost} clients of the killed node lost their match",
        notes.figures()
    ));
    site.assert_logs_are_clean();
}

/// The balancer leaves it out after a second, the nodes do after five offers.
#[tokio::test]
async fn a_node_that_hangs_costs_nobody_else_anything() {
    let (site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;

    load.until_mid_match("c").await;
    let stopped = now();
    site.node("c").signal(Signal::STOP);
    sleep(HANGS).await;
    site.node("c").signal(Signal::CONT);
    let continued = now();
    site.all_know_all().await;
    load.until("it serves again", |notes| {
        notes.clients(|client| {
            client.is_of(Some("c")) && client.came > continued && client.is_answered()
        }) > 0
    })
    .await;

    let notes = load.end().await;
    let is_its_own =
        |client: &Client| client.is_of(Some("c")) && client.was_there(stopped, continued);
    notes.assert_sound(is_its_own);
    notes.assert_answered("at other nodes", |client| !is_its_own(client));
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    let lost = notes.clients(|client| is_its_own(client) && !client.is_answered());
    tell(&format!(
        "{}; {lost} clients of the node that hung were not served",
        notes.figures()
    ));
    site.assert_logs_are_clean();
}
