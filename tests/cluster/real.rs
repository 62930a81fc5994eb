//! Real nodes: the program, and three NATS servers in a cluster, on the loopback.

mod access;
mod balanced;
mod books;
mod caller;
mod clocks;
mod debian;
mod failures;
mod halves;
mod haproxy;
mod load;
mod machine;
mod nats;
mod notes;
mod restarts;
mod shared;
mod site;
mod strangers;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::closing;
use crate::support::messages::answer;

use access::Access;
use site::{Site, post_as_client};

/// Longer than anything that is waited for.
const FOREVER: Duration = Duration::from_mins(1);

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (started, mut pause) = (now(), Duration::from_millis(50));
    while !is_so().await {
        assert!(started.elapsed() < FOREVER, "waited too long until {what}");
        sleep(pause).await;
        // What takes longer is looked at less often.
        pause = (pause + pause / 2).min(Duration::from_millis(250));
    }
}

/// Tells what a test has measured.
#[expect(clippy::print_stdout, reason = "times are measured, not judged")]
fn tell(figures: &str) {
    println!("{figures}");
}

#[expect(clippy::disallowed_methods, reason = "real programs take real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn polls_offers_and_answers_land_on_any_node_also_of_a_private_pool() {
    let site = Site::start(Access::Open, &["a", "b", "c"]).await;
    for [client, poll, answered] in [
        ["a", "b", "c"],
        ["b", "b", "a"],
        ["c", "a", "a"],
        ["a", "a", "a"],
    ] {
        let [client, poll, answered] = [client, poll, answered].map(|name| site.node(name));
        let sid = format!("{}-{}-{}", client.name, poll.name, answered.name);
        let proxy = poll.proxy_answering_at(answered, &sid);
        site.all_see(&poll.name, 1).await;
        assert!(
            client
                .client("c")
                .await
                .contains(&site::shown(&answer(&sid)))
        );
        assert!(proxy.await.unwrap().contains("success"));
        site.all_see(&poll.name, 0).await;
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| site.node(name));
    let _of_all = b.proxy_answering_at(c, "all");
    let proxy = b.pool_proxy_answering_at(c, "own");
    b.parks_in_pool().await;
    b.parks(1).await;
    assert!(
        a.pool_client("c")
            .await
            .contains(&site::shown(&answer("own")))
    );
    assert!(proxy.await.unwrap().contains("success"));
}

/// With TLS, by which NATS proves itself, too.
#[tokio::test]
async fn nodes_prove_themselves_by_nkeys() {
    serves_with(Access::Nkeys).await;
}

#[tokio::test]
async fn nodes_prove_themselves_by_certificates() {
    serves_with(Access::Certificates).await;
}

#[tokio::test]
async fn nodes_prove_themselves_by_jwt() {
    serves_with(Access::Jwt).await;
}

/// Checks that nodes serve together, and may use their bucket.
async fn serves_with(access: Access) {
    let site = Site::start(access, &["a", "b"]).await;
    let [a, b] = ["a", "b"].map(|name| site.node(name));
    let proxy = b.proxy_answering_at(a, "p");
    site.all_see("b", 1).await;
    assert!(a.client("c").await.contains(&site::shown(&answer("p"))));
    assert!(proxy.await.unwrap().contains("success"));
    until("the bucket is there", async || {
        let nodes = a.admin("nodes").await;
        nodes.contains("the metrics log of all is written by")
    })
    .await;
}

/// Its node takes another one.
#[tokio::test]
async fn a_killed_server_costs_no_more_than_the_time_to_connect_elsewhere() {
    let mut site = Site::start(Access::Open, &["a", "b"]).await;
    let server = site.servers.of_node("a").await;
    site.servers.kill(server);
    // Long before that, the node without a server serves on its own.
    sleep(Duration::from_secs(3)).await;
    let [a, b] = ["a", "b"].map(|name| site.node(name));
    let proxy = b.proxy_answering_at(b, "p");
    site.all_see("b", 1).await;
    assert!(a.client("c").await.contains(&site::shown(&answer("p"))));
    assert!(proxy.await.unwrap().contains("success"));
}

/// A server that is stopped keeps its connections, and takes what is sent.
#[tokio::test]
async fn a_server_that_hangs_is_left_for_another() {
    let mut site = Site::start(Access::Open, &["a", "b"]).await;
    let server = site.servers.of_node("a").await;
    site.servers.signal(server, Signal::STOP);
    let [a, b] = ["a", "b"].map(|name| site.node(name));
    // Both serve meanwhile, each on its own.
    for node in [a, b] {
        let proxy = node.proxy_answering_at(node, "own");
        node.parks(1).await;
        assert!(
            node.client("c")
                .await
                .contains(&site::shown(&answer("own")))
        );
        assert!(proxy.await.unwrap().contains("success"));
    }
    // Otherwise A may still see the one before.
    site.all_see("b", 0).await;
    site.all_know_all().await;
    let proxy = b.proxy_answering_at(a, "p");
    site.all_see("b", 1).await;
    assert!(a.client("c").await.contains(&site::shown(&answer("p"))));
    assert!(proxy.await.unwrap().contains("success"));
    site.servers.signal(server, Signal::CONT);
}

/// A server that hangs takes connections, and says nothing. The library may try it first.
#[tokio::test]
async fn a_server_that_says_nothing_is_soon_given_up() {
    let mut site = Site::start(Access::Open, &["a"]).await;
    for server in 0..3 {
        site.servers.kill(server);
    }
    let mut silent = None;
    until("the killed server's port is free", async || {
        silent = TcpListener::bind(site.servers.address(0)).await.ok();
        silent.is_some()
    })
    .await;
    let silent = silent.unwrap();
    let (mut connection, _) = silent.accept().await.unwrap();
    let began = now();
    closing::read_to_end(&mut connection).await;
    assert!(began.elapsed() < Duration::from_secs(4));
    drop(silent);
    for server in 0..3 {
        site.servers.start_again(server).await;
    }
    site.all_know_all().await;
}

#[tokio::test]
async fn a_killed_node_is_left_out_and_one_that_stops_says_so() {
    let mut site = Site::start(Access::Open, &["a", "b", "c"]).await;
    let killed = site.node("b").proxy_answering_at(site.node("b"), "lost");
    site.all_see("b", 1).await;
    killed.abort();
    site.kill("b");
    until("A no longer knows B", async || {
        !site.node("a").knows("b").await
    })
    .await;
    site.stop("c").await;
    let stopped = now();
    until("A no longer knows C", async || {
        !site.node("a").knows("c").await
    })
    .await;
    // A node that says nothing is known for 3 s.
    assert!(
        stopped.elapsed() < Duration::from_secs(2),
        "it said nothing"
    );
    let a = site.node("a");
    let proxy = a.proxy_answering_at(a, "own");
    a.parks(1).await;
    assert!(a.client("c").await.contains(&site::shown(&answer("own"))));
    assert!(proxy.await.unwrap().contains("success"));
}

#[tokio::test]
async fn without_nats_a_node_starts_and_serves_on_its_own() {
    let mut site = Site::start(Access::Open, &["a"]).await;
    for server in 0..3 {
        site.servers.kill(server);
    }
    site.kill("a");
    site.start_node("a").await;
    let a = site.node("a");
    let proxy = a.proxy_answering_at(a, "own");
    a.parks(1).await;
    let started = now();
    assert!(
        post_as_client(a, "c")
            .await
            .contains(&site::shown(&answer("own")))
    );
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(proxy.await.unwrap().contains("success"));
    site.logs("a", "this node serves on its own").await;
    site.logs("a", "a problem with NATS").await;
    let ready = site.node("a").readiness().await;
    assert!(ready.ends_with("ok, on its own\n"), "{ready}");
    let nodes = site.node("a").admin("nodes").await;
    assert!(
        nodes.contains("a of snowflake: not connected to NATS, serves on its own"),
        "{nodes}"
    );
}
