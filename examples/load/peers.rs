//! The proxies and clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, sleep_until};

use crate::connections::{Connections, Dialer};
use crate::messages::{AnswerResponse, ClientResponse, Messages, PollResponse, ProxyKind};
use crate::options::Options;
use crate::schedule::Schedule;
use crate::tally::{Outcome, Tally};

/// Pause of a proxy or client that could not reach the broker.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// The state shared by proxies and clients.
pub(crate) struct Load {
    pub(crate) options: Options,
    pub(crate) messages: Messages,
    pub(crate) tally: Tally,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) proxies: Connections,
    pub(crate) clients: Connections,
    pub(crate) next_tag: AtomicU64,
}

/// Sends polls and answers by the schedule, each time as another proxy.
pub(crate) async fn proxy(load: Arc<Load>, schedule: Arc<Schedule>, index: usize) {
    while let Some(due) = schedule.next() {
        sleep_unless_past(due).await;
        let kind = ProxyKind {
            proxy_type: load.options.proxy_types.draw(),
            nat: load.options.proxy_nat.draw(),
        };
        let sid = format!("{:032x}", fastrand::u128(..));
        let (outcome, tag) = poll(&load, index, &sid, kind).await;
        load.tally.count(outcome);
        match tag {
            Some(_) if fastrand::f64() < load.options.silent => {
                load.tally.count(Outcome::AnswerWithheld);
            }
            Some(tag) => {
                let outcome = answer(&load, index, &sid, tag).await;
                load.tally.count(outcome);
            }
            None if outcome == Outcome::PollIdle => {}
            None => sleep(PAUSE_AFTER_FAILURE).await,
        }
    }
}

async fn sleep_unless_past(due: Instant) {
    if due > Instant::now() {
        sleep_until(due.into()).await;
    }
}

async fn poll(load: &Load, index: usize, sid: &str, kind: ProxyKind<'_>) -> (Outcome, Option<u64>) {
    let _polling = load.tally.begin_poll();
    let body = Messages::proxy_poll(sid, kind);
    let response = load.proxies.post(index, "/proxy", body).await;
    let response: PollResponse = match understand(response) {
        Ok(response) => response,
        Err(Misunderstood::Status) => return (Outcome::PollRefused, None),
        Err(Misunderstood::Failed) => return (Outcome::PollFailed, None),
    };
    match &*response.status {
        "client match" => match load.messages.tag_of(&response.offer) {
            Some(tag) => (Outcome::PollMatched, Some(tag)),
            None => (Outcome::PollDamaged, None),
        },
        "no match" => (Outcome::PollIdle, None),
        _ => (Outcome::PollRefused, None),
    }
}

async fn answer(load: &Load, index: usize, sid: &str, tag: u64) -> Outcome {
    sleep_unless_zero(load.options.answer_delay.draw()).await;
    let _answering = load.tally.begin_answer();
    let body = load.messages.proxy_answer(sid, tag);
    let response = load.proxies.post(index, "/answer", body).await;
    match understand::<AnswerResponse>(response) {
        Ok(response) if response.status == "success" => Outcome::AnswerDelivered,
        Ok(_) => Outcome::AnswerClientGone,
        Err(Misunderstood::Status) => Outcome::AnswerRefused,
        Err(Misunderstood::Failed) => Outcome::AnswerFailed,
    }
}

/// Sleeps unless the time is zero, because even the shortest sleep takes a millisecond.
async fn sleep_unless_zero(span: Duration) {
    if !span.is_zero() {
        sleep(span).await;
    }
}

/// Polls for a proxy repeatedly, by the schedule.
pub(crate) async fn client(load: Arc<Load>, schedule: Arc<Schedule>, index: usize) {
    while let Some(due) = schedule.next() {
        // A client that is late, because the broker kept all clients waiting, starts now;
        // its latency counts from when it was due.
        sleep_unless_past(due).await;
        let outcome = ask(&load, index).await;
        load.tally.count(outcome);
        if due >= schedule.measured_from && outcome == Outcome::ClientMatched {
            load.tally.record_latency(due);
        }
        if outcome == Outcome::ClientFailed {
            sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
}

async fn ask(load: &Load, index: usize) -> Outcome {
    let tag = load.next_tag.fetch_add(1, Ordering::Relaxed);
    let nat = load.options.client_nat.draw();
    let body = load.messages.client_poll(tag, nat);
    let response = load.clients.post(index, "/client", body).await;
    let response: ClientResponse = match understand(response) {
        Ok(response) => response,
        Err(Misunderstood::Status) => return Outcome::ClientRefused,
        Err(Misunderstood::Failed) => return Outcome::ClientFailed,
    };
    match (response.answer, response.error.as_deref()) {
        (Some(answer), None) if load.messages.is_answer_to(tag, &answer) => Outcome::ClientMatched,
        (Some(_), None) => Outcome::ClientCrossed,
        (None, Some("timed out waiting for answer!")) => Outcome::ClientTimedOut,
        (None, Some("no snowflake proxies currently available")) => Outcome::ClientDenied,
        (None, Some(_)) => Outcome::ClientRefused,
        _ => Outcome::ClientFailed,
    }
}

enum Misunderstood {
    /// The status is not 200.
    Status,
    /// There is no response, or it is not JSON.
    Failed,
}

fn understand<T: DeserializeOwned>(
    response: anyhow::Result<(StatusCode, Bytes)>,
) -> Result<T, Misunderstood> {
    let (status, body) = response.map_err(|_| Misunderstood::Failed)?;
    if status != StatusCode::OK {
        return Err(Misunderstood::Status);
    }
    serde_json::from_slice(&body).map_err(|_| Misunderstood::Failed)
}
