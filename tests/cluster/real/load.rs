//! Clients and proxies that go on whatever happens to the cluster behind a balancer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::real::caller::{Caller, Failure, Reply};
use crate::real::notes::{Client, ClientEnd, Notes, Outcome, Poll, SentAnswer};
use crate::real::{now, until};
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};

/// The time that a proxy takes to answer, in milliseconds.
const ANSWER_AFTER: std::ops::Range<u64> = 100..500;
/// The time after which a proxy whose poll has failed polls again.
const AFTER_FAILURE: Duration = Duration::from_millis(200);
/// What follows the names in offers and answers: nothing of it may be seen by strangers.
pub(crate) const SECRETS: [&str; 3] = ["203.0.113.7", "a=candidate", "\"sdp\""];
const CANDIDATE: &str = "a=candidate:1 1 udp 1 203.0.113.7 5000 typ host";

/// The load. Dropping it ends it at once.
pub(crate) struct Load {
    name: &'static str,
    notes: Arc<Mutex<Notes>>,
    proxies: Crowd,
    clients: Crowd,
}

/// Tasks that end when they are told to.
#[derive(Default)]
struct Crowd {
    tasks: JoinSet<()>,
    ending: CancellationToken,
}

impl Crowd {
    async fn end(&mut self) {
        self.ending.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

impl Load {
    /// A load of which nobody has come yet. The name is that of its clients and proxies.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            notes: Arc::default(),
            proxies: Crowd::default(),
            clients: Crowd::default(),
        }
    }

    /// Starts proxies that poll all the time, and clients, of which one comes after this time on
    /// average.
    pub(crate) fn start(
        name: &'static str,
        front: SocketAddr,
        proxies: usize,
        every: Duration,
    ) -> Self {
        let mut load = Self::new(name);
        load.add_proxies(front, proxies);
        load.add_clients(front, every);
        load
    }

    pub(crate) fn add_proxies(&mut self, front: SocketAddr, count: usize) {
        for number in 0..count {
            let name = format!("{}-proxy-{number}", self.name);
            let notes = Arc::clone(&self.notes);
            let ending = self.proxies.ending.clone();
            let proxy = poll_again_and_again(name, front, notes, ending);
            self.proxies.tasks.spawn(proxy);
        }
    }

    pub(crate) fn add_clients(&mut self, front: SocketAddr, every: Duration) {
        let (name, notes) = (self.name, Arc::clone(&self.notes));
        let ending = self.clients.ending.clone();
        self.clients.tasks.spawn(async move {
            let mut tasks = JoinSet::new();
            for number in 0_u64.. {
                let pause = sleep(every.mul_f64(2.0 * fastrand::f64()));
                if ending.run_until_cancelled(pause).await.is_none() {
                    break;
                }
                let name = format!("{name}-client-{number}");
                tasks.spawn(ask(name, front, Arc::clone(&notes)));
            }
            tasks.join_all().await;
        });
    }

    /// The observations so far.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }

    /// Waits until the observations are so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Notes) -> bool) {
        until(what, async || is_so(&self.notes.lock().unwrap())).await;
    }

    /// Waits until this many more clients have their answers.
    pub(crate) async fn serves(&self, more: u64) {
        let wanted = self.notes().clients(Client::is_answered) + more;
        self.until("clients are served", |notes| {
            notes.clients(Client::is_answered) >= wanted
        })
        .await;
    }

    /// Waits until a proxy that polled this node has an offer and has not answered it.
    pub(crate) async fn until_mid_match(&self, node: &str) {
        self.until("an offer is with a proxy", |notes| {
            notes.polls(|poll| poll.is_of(Some(node)) && poll.got_offer() && poll.answer.is_none())
                > 0
        })
        .await;
    }

    /// Lets the proxies poll no more.
    pub(crate) async fn end_proxies(&mut self) {
        self.proxies.end().await;
    }

    /// Lets everybody finish, and returns what they saw.
    pub(crate) async fn end(mut self) -> Notes {
        self.clients.end().await;
        self.proxies.end().await;
        self.notes()
    }
}

async fn poll_again_and_again(
    name: String,
    front: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    ending: CancellationToken,
) {
    let mut caller = Caller::new(front);
    for number in 0_u64.. {
        if ending.is_cancelled() {
            return;
        }
        let sid = format!("{name}-{number}");
        if !serve_one(&mut caller, &sid, &notes).await {
            sleep(AFTER_FAILURE).await;
        }
    }
}

/// One poll, and the answer if it gets an offer. Returns false if the poll failed.
async fn serve_one(caller: &mut Caller, sid: &str, notes: &Mutex<Notes>) -> bool {
    let reply = caller.post("/proxy", proxy_poll(sid, "open")).await;
    let client = reply.body.map(|body| offered(&body));
    let poll = Poll {
        node: reply.node,
        client: client.clone(),
        answer: None,
    };
    notes.lock().unwrap().polls.insert(sid.to_owned(), poll);
    let Ok(Some(client)) = client else {
        return client.is_ok();
    };
    sleep(Duration::from_millis(fastrand::u64(ANSWER_AFTER))).await;
    let answer = proxy_answer(sid, &format!("{client} {sid}\r\n{CANDIDATE}"));
    let reply = caller.post("/answer", answer).await;
    let answer = SentAnswer {
        node: reply.node,
        succeeded: reply.body.map(|body| body["Status"] == "success"),
    };
    let mut notes = notes.lock().unwrap();
    notes.polls.get_mut(sid).unwrap().answer = Some(answer);
    true
}

/// The client whose offer is in a reply to a poll.
fn offered(reply: &Value) -> Option<String> {
    let is_match = reply["Status"] == "client match";
    assert!(is_match || reply["Status"] == "no match", "{reply}");
    is_match.then(|| first_line(&reply["Offer"]))
}

async fn ask(name: String, front: SocketAddr, notes: Arc<Mutex<Notes>>) {
    let came = now();
    let client = Client { came, end: None };
    notes.lock().unwrap().clients.insert(name.clone(), client);
    let poll = client_poll(&format!("{name}\r\n{CANDIDATE}"), "restricted");
    let Reply { node, body } = Caller::new(front).post("/client", poll).await;
    let outcome = body.map_or_else(Outcome::Failed, |body| outcome(&name, &body));
    let at = now();
    let mut notes = notes.lock().unwrap();
    notes.clients.get_mut(&name).unwrap().end = Some(ClientEnd { outcome, at, node });
}

fn outcome(name: &str, reply: &Value) -> Outcome {
    if !reply["answer"].is_string() {
        return match reply["error"].as_str() {
            Some("timed out waiting for answer!") => Outcome::TimedOut,
            Some("no snowflake proxies currently available") => Outcome::Denied,
            _ => panic!("{reply}"),
        };
    }
    let answer = first_line(&reply["answer"]);
    match answer.split_once(' ') {
        Some((client, sid)) if client == name => Outcome::Answered(sid.to_owned()),
        _ => Outcome::Crossed(answer),
    }
}

/// The first line of a session description.
fn first_line(description: &Value) -> String {
    let description: Value = serde_json::from_str(description.as_str().unwrap()).unwrap();
    let lines = description["sdp"].as_str().unwrap().lines();
    lines.take(1).collect()
}

impl Outcome {
    /// Returns true if the balancer found no node that took the request.
    pub(crate) fn is_unserved(&self) -> bool {
        matches!(self, Self::Failed(Failure::Refused | Failure::Status(503)))
    }
}
