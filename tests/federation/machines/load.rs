//! Clients and proxies of several brokers, and the outcome for each client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use snowflake_broker::broker::clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::machines::brokers::Name;
use crate::support::wait::LONG_ENOUGH;

/// The time that a proxy takes to answer, in milliseconds.
const ANSWER_AFTER: std::ops::Range<u64> = 300..800;
/// The time after which a client's request counts as hanging. The broker allows it 5 s.
const HANGING: Duration = Duration::from_secs(20);
/// A proxy's answer may cross the news that the client's time is up.
const JUST_TOO_LATE: Duration = Duration::from_millis(500);

/// The outcome for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    NotAnswered,
    /// The broker was not there.
    Refused,
    /// The connection broke before there was a reply.
    Broken,
    /// There was no reply at all.
    Hanging,
    /// The answer was made for another client.
    Crossed,
}

/// An offer in the hands of a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// The broker that the proxy polled.
    pub(crate) at: Name,
    pub(crate) when: Instant,
    /// The time at which the proxy sent its answer.
    pub(crate) answered: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The broker that the client asks.
    pub(crate) asks: Name,
    pub(crate) came: Instant,
    pub(crate) offered: Vec<Offered>,
    pub(crate) end: Option<(Outcome, Instant)>,
}

impl Client {
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.end.map(|(outcome, _)| outcome)
    }

    pub(crate) fn took(&self) -> Option<Duration> {
        self.end.map(|(_, end)| end - self.came)
    }

    /// Returns true if a proxy at this broker has the offer and has not answered.
    pub(crate) fn is_with(&self, lender: Name) -> bool {
        let is_there = |offered: &Offered| offered.at == lender && offered.answered.is_none();
        self.end.is_none() && self.offered.iter().any(is_there)
    }

    /// Returns true if a proxy answered in time, at a broker that `counts`, but the
    /// client has no answer.
    pub(crate) fn is_lost(&self, counts: impl Fn(Name) -> bool) -> bool {
        let (Some((outcome, end)), false) = (self.end, self.outcome() == Some(Outcome::Answered))
        else {
            return self.end.is_none();
        };
        let in_time = |answered: Instant| answered + JUST_TOO_LATE < end;
        let has_answered =
            |offered: &Offered| counts(offered.at) && offered.answered.is_some_and(in_time);
        outcome == Outcome::Hanging || self.offered.iter().any(has_answered)
    }
}

/// All clients. A client's name is its index.
pub(crate) type Clients = Vec<Client>;

/// The load. Dropping it ends it.
#[derive(Default)]
pub(crate) struct Load {
    clients: Arc<Mutex<Clients>>,
    proxies: JoinSet<()>,
    arrivals: JoinSet<()>,
}

impl Load {
    /// Adds proxies that poll this broker continuously.
    pub(crate) fn add_proxies(&mut self, at: Name, count: usize) {
        for number in 0..count {
            let clients = Arc::clone(&self.clients);
            self.proxies.spawn(async move {
                for poll in 0_u64.. {
                    let sid = format!("{}: proxy {number}, poll {poll}", at.name);
                    if serve_one(at, &sid, &clients).await.is_err() {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
    }

    /// Adds clients that ask this broker at an interval.
    pub(crate) fn add_clients(&mut self, asks: Name, every: Duration) {
        let clients = Arc::clone(&self.clients);
        self.arrivals.spawn(async move {
            let mut tasks = JoinSet::new();
            let mut ticks = interval(every);
            loop {
                ticks.tick().await;
                tasks.spawn(ask(asks, Arc::clone(&clients)));
                while tasks.try_join_next().is_some() {}
            }
        });
    }

    /// The clients so far.
    pub(crate) fn clients(&self) -> Clients {
        self.clients.lock().unwrap().clone()
    }

    /// Waits until a client satisfies a condition.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Client) -> bool) -> Result<()> {
        let waited = timeout(LONG_ENOUGH, async {
            while !self.clients.lock().unwrap().iter().any(&is_so) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited
            .await
            .with_context(|| format!("waited too long: {what}"))
    }

    /// The time at which a proxy was first handed an offer of another broker's client,
    /// from a start time on.
    pub(crate) async fn borrowed(
        &self,
        (here, there): (Name, Name),
        after: Instant,
    ) -> Result<Instant> {
        let fits = |offered: &&Offered| offered.at == there && offered.when >= after;
        let first = |client: &Client| client.offered.iter().find(fits).copied();
        let is_so = |client: &Client| client.asks == here && first(client).is_some();
        self.until("an offer is borrowed", is_so).await?;
        let clients = self.clients();
        let mut offered = clients.iter().filter(|client| is_so(client));
        let offered = offered.next().and_then(first).context("it is gone")?;
        Ok(offered.when)
    }

    /// Lets the waiting clients finish, and returns all clients.
    pub(crate) async fn end(mut self) -> Clients {
        // Also ends clients that still wait, which are left out.
        sleep(Duration::from_secs(1)).await;
        self.arrivals.shutdown().await;
        self.proxies.shutdown().await;
        let mut clients = self.clients();
        clients.retain(|client| client.end.is_some());
        clients
    }
}

/// One poll, and the answer if it gets an offer.
async fn serve_one(at: Name, sid: &str, clients: &Mutex<Clients>) -> Result<()> {
    let poll = json!({"Sid": sid, "Version": "1.3", "Type": "standalone", "NAT": "unrestricted", "Clients": 0});
    let reply = post(at.http(), "/proxy", &poll.to_string()).await?;
    if reply["Status"] != "client match" {
        return Ok(());
    }
    let offer: Value = serde_json::from_str(reply["Offer"].as_str().context("no offer")?)?;
    let name = offer["sdp"].as_str().context("no name")?;
    let place: usize = name.parse()?;
    let offered = Offered {
        at,
        when: clock::now(),
        answered: None,
    };
    let turn = {
        let offers = &mut clients.lock().unwrap()[place].offered;
        offers.push(offered);
        offers.len() - 1
    };
    sleep(Duration::from_millis(fastrand::u64(ANSWER_AFTER))).await;
    clients.lock().unwrap()[place].offered[turn].answered = Some(clock::now());
    let answer = json!({"Version": "1.3", "Sid": sid, "Answer": answer_to(name)});
    post(at.http(), "/answer", &answer.to_string()).await?;
    Ok(())
}

async fn ask(asks: Name, clients: Arc<Mutex<Clients>>) {
    let place = {
        let mut clients = clients.lock().unwrap();
        clients.push(Client {
            asks,
            came: clock::now(),
            offered: Vec::new(),
            end: None,
        });
        clients.len() - 1
    };
    let outcome = outcome(asks, place).await;
    clients.lock().unwrap()[place].end = Some((outcome, clock::now()));
}

async fn outcome(asks: Name, place: usize) -> Outcome {
    let offer = json!({"type": "offer", "sdp": place.to_string()}).to_string();
    let poll = format!("1.0\n{}", json!({"offer": offer, "nat": "restricted"}));
    let Ok(reply) = timeout(HANGING, post(asks.http(), "/client", &poll)).await else {
        return Outcome::Hanging;
    };
    match reply {
        Ok(reply) => match reply["answer"].as_str() {
            Some(answer) if answer == answer_to(&place.to_string()) => Outcome::Answered,
            Some(_) => Outcome::Crossed,
            None => Outcome::NotAnswered,
        },
        Err(error) if error.is::<Refused>() => Outcome::Refused,
        Err(_) => Outcome::Broken,
    }
}

fn answer_to(name: &str) -> String {
    json!({"type": "answer", "sdp": format!("{name}\r\na=candidate:1\r\n")}).to_string()
}

/// No broker listens.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

async fn post(at: SocketAddr, path: &str, body: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(at).await.map_err(|_| Refused)?;
    let length = body.len();
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let (head, body) = reply.split_once("\r\n\r\n").context("no reply")?;
    ensure!(head.contains(" 200 "), "{head}");
    Ok(serde_json::from_str(body)?)
}
