//! All nodes, or all servers, restart one after the other under a load.

use crate::real::balanced::{EVERY, NODES, PROXIES};
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::Load;
use crate::real::notes::{Notes, Outcome, Poll};
use crate::real::site::Site;
use crate::real::tell;

#[tokio::test]
async fn all_nodes_restart_and_nobody_notices() {
    let (mut site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;
    for node in NODES {
        let place = site.stop(node).await;
        site.start_again(place).await;
        site.all_know_all().await;
        load.serves(10).await;
    }
    let notes = load.end().await;
    assert_nobody_is_lost(&notes);
    tell(&notes.figures());
    site.assert_logs_are_clean();
}

/// An answer is lost if it comes to another node than its poll while one of the two connects to
/// another server. So each client may lose one proxy, if no two restarts fall into its time.
#[tokio::test]
async fn all_servers_restart_and_nobody_is_lost() {
    let (mut site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;
    for server in 0..3 {
        if server == 2 {
            site.servers.restart_as_lame_duck(server).await;
        } else {
            site.servers.restart(server).await;
        }
        load.serves(55).await;
        site.all_know_all().await;
    }
    let notes = load.end().await;
    assert_nobody_is_lost(&notes);
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    tell(&notes.figures());
    site.assert_logs_are_clean();
}

fn assert_nobody_is_lost(notes: &Notes) {
    notes.assert_sound(|_| false);
    let unserved = notes.clients(|client| client.outcome().is_some_and(Outcome::is_unserved));
    assert_eq!(unserved, 0, "no node took a client's connection");
    notes.assert_answered("during a restart", |_| true);
    let failed: Vec<_> = notes
        .polls
        .iter()
        .filter(|(_, poll)| poll.client.is_err())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let is_lost = |poll: &Poll| {
        let answer = poll.answer.as_ref();
        answer.is_some_and(|answer| answer.succeeded.is_err())
    };
    assert_eq!(notes.polls(is_lost), 0, "no node took an answer");
}
