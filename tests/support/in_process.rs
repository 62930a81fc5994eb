//! Clients and proxies of a broker in the same process, whose time may be paused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use snowflake_broker::broker::{Broker, Caller, NoAnswer, OverLimit, RequestOrigin, clock};
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::answer::{AnswerStatus, ProxyAnswer};
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::proxy::{PollStatus, ProxyPoll, ProxyTypes};
use tokio::task::JoinHandle;

use crate::support::messages::{client_poll, proxy_answer, proxy_poll};

/// Measures the broker's time.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(clock::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        clock::now() - self.0
    }
}

/// Somebody on this machine, who calls now.
pub(crate) fn caller() -> Caller {
    Caller {
        arrived: clock::now(),
        address: None,
        origin: RequestOrigin::Local,
    }
}

/// Polls as a proxy. Returns the offer that it gets, if it gets one.
pub(crate) async fn poll(broker: &Broker, sid: &str, nat: &str) -> Option<String> {
    poll_as(broker, caller(), sid, nat).await
}

/// Polls as a proxy that is this caller.
pub(crate) async fn poll_as(
    broker: &Broker,
    caller: Caller,
    sid: &str,
    nat: &str,
) -> Option<String> {
    let poll = proxy_poll(sid, nat);
    let mut poll = ProxyPoll::decode(poll.as_bytes(), &ProxyTypes::default()).unwrap();
    let polled = broker.proxy_poll(caller, &mut poll).await.unwrap();
    match polled.response.status {
        PollStatus::ClientMatch { offer, .. } => Some(offer.text()),
        _ => None,
    }
}

/// Answers as a proxy, with an answer of this name.
pub(crate) async fn answer(broker: &Broker, sid: &str, name: &str) -> AnswerStatus {
    answer_as(broker, caller(), sid, name).await.unwrap()
}

/// Answers as a proxy that is this caller.
pub(crate) async fn answer_as(
    broker: &Broker,
    caller: Caller,
    sid: &str,
    name: &str,
) -> Result<AnswerStatus, OverLimit> {
    let answer = proxy_answer(sid, name);
    let answer = ProxyAnswer::decode(answer.as_bytes()).unwrap();
    broker.proxy_answer(caller, answer).await
}

/// Polls as a proxy, in the background, which does not answer.
pub(crate) fn begin_poll(broker: &Arc<Broker>, sid: &str) -> JoinHandle<Option<String>> {
    let (broker, sid) = (Arc::clone(broker), sid.to_owned());
    tokio::spawn(async move { poll(&broker, &sid, "open").await })
}

/// Asks for an answer as a client with this name, in the background.
pub(crate) fn begin_client(
    broker: &Arc<Broker>,
    name: &str,
) -> JoinHandle<Result<String, NoAnswer>> {
    let (broker, poll) = (Arc::clone(broker), client_poll(name, "restricted"));
    tokio::spawn(async move { ask(&broker, &poll).await })
}

/// Asks for an answer as a client, by this poll.
pub(crate) async fn ask(broker: &Broker, poll: &str) -> Result<String, NoAnswer> {
    let poll = ClientPoll::decode(poll.as_bytes()).unwrap();
    let answer = broker
        .client_poll(caller(), Rendezvous::Http, poll, || false)
        .await;
    answer.map(|answer| answer.text())
}
