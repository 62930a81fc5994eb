//! Others on the bus, who have no key: one listens to everything and sends it again, another
//! sends more than anybody can read.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::real::balanced::{EVERY, NODES, PROXIES};
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::load::{Load, SECRETS};
use crate::real::site::Site;
use crate::real::{now, tell};

/// The time for which messages are sent again and again.
const FLOODED_FOR: Duration = Duration::from_secs(5);
/// The number of messages to each subject at a time. A node keeps 4,096 that it has not read.
const BURST: usize = 8_000;
const PAUSE: Duration = Duration::from_millis(500);
/// The time in which a node has read what waits for it, and hears itself again.
const UNTIL_READ: Duration = Duration::from_secs(4);

/// The beginnings of the subjects of messages between nodes.
const KINDS: [&str; 3] = ["snowflake.supply.", "snowflake.node.", "snowflake.answers"];

type Heard = Vec<(Subject, Bytes)>;

#[tokio::test]
async fn a_stranger_who_listens_and_repeats_learns_and_does_nothing() {
    let (site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let stranger = connect(site.servers.address(0)).await;
    let ending = CancellationToken::new();
    let listening = listen(stranger.clone(), ending.clone()).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(40).await;
    ending.cancel();
    let heard = listening.await.unwrap();
    // All of it again, when it is old.
    for (subject, payload) in heard
        .iter()
        .filter(|(subject, _)| is_between_nodes(subject))
    {
        stranger
            .publish(subject.clone(), payload.clone())
            .await
            .unwrap();
    }
    load.serves(40).await;

    let notes = load.end().await;
    notes.assert_sound(|_| false);
    notes.assert_answered("in spite of a stranger", |_| true);
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    let repeated = books.dropped(None, "repeated");
    assert!(repeated > 0, "nothing was recognized");
    learned_nothing(&heard);
    tell(&format!(
        "{}; {} messages heard and sent again twice, {repeated} dropped as repeated",
        notes.figures(),
        heard.len()
    ));
    site.assert_logs_are_clean();
}

async fn connect(server: SocketAddr) -> Client {
    let options = ConnectOptions::new().no_echo();
    options.connect(format!("nats://{server}")).await.unwrap()
}

/// Listens to everything, and sends each message again at once.
async fn listen(stranger: Client, ending: CancellationToken) -> JoinHandle<Heard> {
    let mut messages = stranger.subscribe(">").await.unwrap();
    stranger.flush().await.unwrap();
    tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(Some(message)) = ending.run_until_cancelled(messages.next()).await {
            let (subject, payload) = (message.subject, message.payload);
            heard.push((subject.clone(), payload.clone()));
            if is_between_nodes(&subject) {
                stranger.publish(subject, payload).await.unwrap();
            }
        }
        heard
    })
}

/// Returns true if messages of nodes to each other come on the subject. The bucket's own keep
/// what is put into them.
fn is_between_nodes(subject: &str) -> bool {
    KINDS.iter().any(|kind| subject.starts_with(kind))
}

/// Asserts that nothing that was heard tells anything of clients and proxies.
fn learned_nothing(heard: &Heard) {
    for kind in KINDS {
        let of_kind = heard
            .iter()
            .filter(|(subject, _)| subject.starts_with(kind));
        assert!(of_kind.count() > 0, "nothing came on {kind}");
    }
    let names = ["load-client-", "load-proxy-"];
    for secret in SECRETS.iter().chain(&names) {
        let secret = secret.as_bytes();
        let tells = |payload: &Bytes| payload.windows(secret.len()).any(|part| part == secret);
        assert!(!heard.iter().any(|(_, payload)| tells(payload)));
    }
}

/// The nodes' messages share the capacity of subscriptions with those of the stranger, so
/// many are lost. Clients are served by other attempts, or hear in time that they are not.
#[tokio::test]
async fn a_flood_of_messages_delays_no_client() {
    let (site, balancer) = Site::under_load(&NODES, Balance::Requests).await;
    let load = Load::start("load", balancer.address, PROXIES, EVERY);
    load.serves(30).await;
    let began = now();
    let sent = flood(site.servers.address(0)).await;
    let ended = now();
    sleep(UNTIL_READ).await;
    site.all_know_all().await;
    let settled = now();
    load.serves(40).await;

    let notes = load.end().await;
    notes.assert_sound(|_| false);
    notes.assert_answered("before and after the flood", |client| {
        client.came > settled || !client.was_there(began, settled)
    });
    let books = Books::read(&site).await;
    for node in NODES {
        books.assert_balanced(Some(node), &notes);
    }
    books.assert_each_is_served_once(&notes);
    let [foreign, overrun] = ["not_sealed", "overloaded"].map(|reason| books.dropped(None, reason));
    assert!(foreign > 0, "no message of the stranger was read");
    assert!(overrun > 0, "no node had more messages than it could keep");
    let lost = notes.clients(|client| client.was_there(began, settled) && !client.is_answered());
    tell(&format!(
        "{}; {sent} messages of a stranger in {} ms, {foreign} read and dropped, {overrun} times \
         too many waited; {lost} clients were not served meanwhile",
        notes.figures(),
        (ended - began).as_millis()
    ));
    site.assert_logs_are_clean();
}

/// Sends to the subjects of all nodes, and returns the number of messages.
async fn flood(server: SocketAddr) -> usize {
    let stranger = connect(server).await;
    let (began, mut sent) = (now(), 0);
    let payload = Bytes::from(vec![1; 200]);
    while began.elapsed() < FLOODED_FOR {
        for subject in [
            "snowflake.node.a",
            "snowflake.answers",
            "snowflake.supply.a",
        ] {
            for _ in 0..BURST {
                stranger.publish(subject, payload.clone()).await.unwrap();
                sent += 1;
            }
        }
        stranger.flush().await.unwrap();
        sleep(PAUSE).await;
    }
    sent
}
