//! Proxies and clients that go on whatever the broker does, like those behind a CDN: over
//! kept-alive connections, and new ones if there are none. A request on an idle
//! connection that closes is sent again, once, as browsers and CDNs do.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use snowflake_broker::broker::clock;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::messages::{client_poll, proxy_answer, proxy_poll};

/// One in this many proxies does not answer.
const SILENT_ONE_IN: u64 = 8;
/// The time that the others take, in milliseconds.
const ANSWER_AFTER: std::ops::Range<u64> = 300..2500;

/// An answer may cross the news that the client's time is up.
const JUST_TOO_LATE: Duration = Duration::from_millis(500);

/// The outcome for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Answered,
    TimedOut,
    Denied,
    /// The connection was refused.
    Refused,
    /// The connection broke before there was a response.
    Broken,
}

/// The outcome for a client and its offer.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) came: Instant,
    pub(crate) outcome: Option<(Outcome, Duration)>,
    /// The number of proxies that got its offer.
    pub(crate) offered: usize,
    /// The time at which the first of them answered.
    pub(crate) answered: Option<Instant>,
}

impl Client {
    /// Returns true if the client has no answer although a proxy sent one in time, if it
    /// was said to be matched although no proxy has its offer, or if it has no reply at
    /// all.
    pub(crate) fn is_lost(&self) -> bool {
        match self.outcome {
            Some((Outcome::Answered | Outcome::Denied, _)) => false,
            Some((Outcome::TimedOut, took)) => {
                let in_time = |at| at + JUST_TOO_LATE < self.came + took;
                self.offered == 0 || self.answered.is_some_and(in_time)
            }
            Some((Outcome::Refused | Outcome::Broken, _)) | None => true,
        }
    }
}

/// All observations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) clients: HashMap<String, Client>,
    /// Proxies' requests whose connection was refused, and the reasons why others had no
    /// response.
    pub(crate) proxies_refused: usize,
    pub(crate) proxies_broken_off: Vec<String>,
    /// The number of requests that were sent again.
    pub(crate) again: usize,
}

/// The load. Dropping it ends it.
pub(crate) struct Load {
    notes: Arc<Mutex<Notes>>,
    _tasks: JoinSet<()>,
}

impl Load {
    /// Starts this many proxies, and this many clients per second.
    pub(crate) fn start(addr: SocketAddr, proxies: u64, clients: u64) -> Self {
        let notes = Arc::<Mutex<Notes>>::default();
        let mut tasks = JoinSet::new();
        for number in 0..proxies {
            tasks.spawn(proxy(addr, number, Arc::clone(&notes)));
        }
        tasks.spawn(all_clients(addr, clients, Arc::clone(&notes)));
        Self {
            notes,
            _tasks: tasks,
        }
    }

    /// The observations so far.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }
}

async fn proxy(addr: SocketAddr, number: u64, notes: Arc<Mutex<Notes>>) {
    let mut lots = Lots(number);
    let http = http();
    sleep(Duration::from_millis(lots.below(3000))).await;
    for poll in 0_u64.. {
        let sid = format!("proxy {number}, poll {poll}");
        let reply = post(&http, addr, "/proxy", proxy_poll(&sid, "open"), &notes).await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(failed) => {
                note_failure(&notes, failed);
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let next_poll = Duration::from_millis(reply["NextPoll"].as_u64().unwrap());
        let polled = clock::now();
        if reply["Status"] == "client match" {
            let offer: Value = serde_json::from_str(reply["Offer"].as_str().unwrap()).unwrap();
            let client = offer["sdp"].as_str().unwrap().to_owned();
            note_offer(&notes, &client);
            if lots.below(SILENT_ONE_IN) > 0 {
                let span = ANSWER_AFTER.end - ANSWER_AFTER.start;
                sleep(Duration::from_millis(ANSWER_AFTER.start + lots.below(span))).await;
                answer(&http, addr, &sid, &client, &notes).await;
            }
        }
        sleep(next_poll.saturating_sub(polled.elapsed())).await;
    }
}

async fn answer(
    http: &Http<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
    sid: &str,
    client: &str,
    notes: &Mutex<Notes>,
) {
    // Noted before sending: the answer counts as lost if it does not arrive.
    if let Some(client) = notes.lock().unwrap().clients.get_mut(client) {
        client.answered.get_or_insert_with(clock::now);
    }
    let reply = post(http, addr, "/answer", proxy_answer(sid, client), notes).await;
    if let Err(failed) = reply {
        note_failure(notes, failed);
    }
}

async fn all_clients(addr: SocketAddr, a_second: u64, notes: Arc<Mutex<Notes>>) {
    let http = http();
    let mut tasks = JoinSet::new();
    let mut ticks =
        tokio::time::interval(Duration::from_secs(1) / u32::try_from(a_second).unwrap());
    for number in 0_u64.. {
        ticks.tick().await;
        tasks.spawn(client(http.clone(), addr, number, Arc::clone(&notes)));
        while tasks.try_join_next().is_some() {}
    }
}

async fn client(
    http: Http<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
    number: u64,
    notes: Arc<Mutex<Notes>>,
) {
    let name = format!("client {number}");
    let came = clock::now();
    let client = Client {
        came,
        outcome: None,
        offered: 0,
        answered: None,
    };
    notes.lock().unwrap().clients.insert(name.clone(), client);
    let outcome = match post(&http, addr, "/client", client_poll(&name, "strict"), &notes).await {
        Ok(reply) if reply["answer"].is_string() => Outcome::Answered,
        Ok(reply) if reply["error"] == "timed out waiting for answer!" => Outcome::TimedOut,
        Ok(_) => Outcome::Denied,
        Err(Failed::Refused) => Outcome::Refused,
        Err(Failed::Closed(_) | Failed::Broken(_)) => Outcome::Broken,
    };
    let mut notes = notes.lock().unwrap();
    notes.clients.get_mut(&name).unwrap().outcome = Some((outcome, came.elapsed()));
}

fn note_offer(notes: &Mutex<Notes>, client: &str) {
    let mut notes = notes.lock().unwrap();
    notes.clients.get_mut(client).unwrap().offered += 1;
}

fn note_failure(notes: &Mutex<Notes>, failed: Failed) {
    let mut notes = notes.lock().unwrap();
    match failed {
        Failed::Refused => notes.proxies_refused += 1,
        Failed::Closed(why) | Failed::Broken(why) => notes.proxies_broken_off.push(why),
    }
}

#[derive(Debug)]
enum Failed {
    Refused,
    /// The connection was closed before any part of a response.
    Closed(String),
    Broken(String),
}

fn http() -> Http<HttpConnector, Full<Bytes>> {
    Http::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build_http()
}

async fn post(
    http: &Http<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
    path: &str,
    body: String,
    notes: &Mutex<Notes>,
) -> Result<Value, Failed> {
    match post_once(http, addr, path, body.clone()).await {
        Err(Failed::Closed(_)) => {
            notes.lock().unwrap().again += 1;
            post_once(http, addr, path, body).await
        }
        reply => reply,
    }
}

async fn post_once(
    http: &Http<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
    path: &str,
    body: String,
) -> Result<Value, Failed> {
    let request = Request::post(format!("http://{addr}{path}"));
    let request = request.body(Full::from(body)).unwrap();
    let response = http.request(request).await.map_err(|error| {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        if error.is_connect() {
            Failed::Refused
        } else if cause.is_some_and(hyper::Error::is_incomplete_message) {
            Failed::Closed(format!("{path}: {error:?}"))
        } else {
            Failed::Broken(format!("{path}: {error:?}"))
        }
    })?;
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| Failed::Broken(format!("{path}: {error:?}")))?;
    Ok(serde_json::from_slice(&body.to_bytes()).unwrap())
}

/// A reproducible sequence of pseudorandom numbers (`SplitMix64`).
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut lot = self.0;
        lot = (lot ^ (lot >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        lot = (lot ^ (lot >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (lot ^ (lot >> 31)) % bound
    }
}
