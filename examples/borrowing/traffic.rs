//! Proxies that poll one broker, and clients that poll one or the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::messages::{AnswerResponse, ClientResponse, Messages, PollResponse, ProxyKind};

/// The size of a browser's offer, in bytes.
const SDP_BYTES: usize = 2_400;
/// A type and NAT with which every proxy can serve every client.
const KIND: ProxyKind<'_> = ProxyKind {
    proxy_type: "standalone",
    nat: "unrestricted",
};
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// The polling proxies, and the state for sending clients. Both end on drop.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    _proxies: JoinSet<()>,
}

struct Shared {
    http: Client<HttpConnector, Full<Bytes>>,
    messages: Messages,
    next_tag: AtomicU64,
}

/// The outcomes of the clients of one or several rounds.
pub(crate) struct Round {
    /// Latency of answered clients, in microseconds.
    latency: Histogram<u64>,
    pub(crate) failed: u64,
    /// CPU time of all brokers.
    pub(crate) cpu: Duration,
}

impl Traffic {
    pub(crate) fn start(proxies_at: SocketAddr, proxies: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            http: Client::builder(TokioExecutor::new()).build(connector),
            messages: Messages::new(SDP_BYTES),
            next_tag: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..proxies {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                loop {
                    if shared.serve_one(proxies_at).await.is_err() {
                        sleep(PAUSE_AFTER_FAILURE).await;
                    }
                }
            });
        }
        Self {
            shared,
            _proxies: tasks,
        }
    }

    /// Sends clients to a broker at a steady rate, and waits for their replies.
    pub(crate) async fn round(
        &self,
        asks: SocketAddr,
        rate: u32,
        length: Duration,
    ) -> Result<Round> {
        let interval = Duration::from_secs(1) / rate;
        let (start, mut due) = (Instant::now(), Instant::now());
        let mut clients = JoinSet::new();
        while due < start + length {
            sleep_until(due.into()).await;
            let shared = Arc::clone(&self.shared);
            clients.spawn(async move {
                shared.ask(asks).await?;
                anyhow::Ok(due.elapsed())
            });
            due += interval;
        }
        let mut round = Round::new()?;
        while let Some(client) = clients.join_next().await {
            match client.context("a client panicked")? {
                Ok(took) => round.latency.record(u64::try_from(took.as_micros())?)?,
                Err(_) => round.failed += 1,
            }
        }
        Ok(round)
    }
}

impl Shared {
    /// Sends one poll, and an answer if the poll gets an offer.
    async fn serve_one(&self, at: SocketAddr) -> Result<()> {
        let sid = format!("{:032x}", fastrand::u128(..));
        let poll = Messages::proxy_poll(&sid, KIND);
        let polled: PollResponse = self.post(at, "/proxy", poll).await?;
        if polled.status == "no match" {
            return Ok(());
        }
        let tag = self.messages.tag_of(&polled.offer).context("no offer")?;
        let answer = self.messages.proxy_answer(&sid, tag);
        let answered: AnswerResponse = self.post(at, "/answer", answer).await?;
        ensure!(answered.status == "success", "{}", answered.status);
        Ok(())
    }

    /// Sends one client, which must get the answer to its own offer.
    async fn ask(&self, at: SocketAddr) -> Result<()> {
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        let poll = self.messages.client_poll(tag, "restricted");
        let reply: ClientResponse = self.post(at, "/client", poll).await?;
        let answer = reply.answer.context("no answer")?;
        ensure!(self.messages.is_answer_to(tag, &answer), "another answer");
        Ok(())
    }

    async fn post<T: DeserializeOwned>(
        &self,
        at: SocketAddr,
        path: &str,
        body: Bytes,
    ) -> Result<T> {
        let request = Request::post(format!("http://{at}{path}")).body(Full::from(body))?;
        let response = self.http.request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Round {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            latency: Histogram::new(3)?,
            failed: 0,
            cpu: Duration::ZERO,
        })
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.latency.add(&other.latency)?;
        self.failed += other.failed;
        self.cpu += other.cpu;
        Ok(())
    }

    pub(crate) fn answered(&self) -> u64 {
        self.latency.len()
    }

    /// A quantile of the latency, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "nothing takes 2^52 us")]
    pub(crate) fn latency(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// CPU a match, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 clients")]
    pub(crate) fn cpu_a_match(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered().max(1) as f64
    }
}
