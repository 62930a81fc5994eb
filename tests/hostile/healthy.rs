//! Well-behaved clients and proxies, each pair from its own addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use snowflake_broker::broker::clock;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::network;
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

/// Longer than a rendezvous takes on the slowest machine.
const HANGS: Duration = Duration::from_secs(10);

const NO_PROXY: &str = "no snowflake proxies currently available";

const EVERY: Duration = Duration::from_secs(1);

/// The fewest pairs that say how others fare, however short the attack is.
pub(crate) const PAIRS_MIN: usize = 3;

/// The way in which well-behaved clients and proxies reach the broker.
#[derive(Clone)]
pub(crate) struct Others {
    tls: Option<Arc<ClientConfig>>,
    next: Arc<AtomicU16>,
}

/// The pairs brokered each second until stopped. They have their own thread, so that the
/// attack does not keep them from their work.
pub(crate) struct Pairs {
    thread: JoinHandle<Result<Vec<Duration>>>,
    is_over: Arc<AtomicBool>,
}

impl Others {
    pub(crate) fn new(tls: Option<ClientConfig>) -> Self {
        Self {
            tls: tls.map(Arc::new),
            next: Arc::default(),
        }
    }

    /// The TLS configuration that trusts the broker, if it speaks TLS.
    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref()
    }

    /// Connects from an address that has not been used yet.
    pub(crate) async fn connect(&self) -> Result<Peer> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = network::connect(network::somebody(number)).await?;
        // Both versions, with and without TLS.
        let is_http2 = number & 2 != 0;
        let Some(tls) = &self.tls else {
            return Ok(Self::over(stream, is_http2).await);
        };
        let mut tls = ClientConfig::clone(tls);
        tls.alpn_protocols = vec![if is_http2 { &b"h2"[..] } else { b"http/1.1" }.to_vec()];
        let name = ServerName::try_from("broker.example")?;
        let connector = TlsConnector::from(Arc::new(tls));
        Ok(Self::over(connector.connect(name, stream).await?, is_http2).await)
    }

    async fn over<S>(stream: S, is_http2: bool) -> Peer
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        if is_http2 {
            Peer::http2_over(stream).await
        } else {
            Peer::http1_over(stream).await
        }
    }

    /// Has one pair brokered. Returns the time from connecting to the answer.
    pub(crate) async fn pair(&self) -> Result<Duration> {
        let started = clock::now();
        let pair = timeout(HANGS, Box::pin(self.meet())).await;
        pair.context("no reply within 10 s")??;
        Ok(clock::now() - started)
    }

    async fn meet(&self) -> Result<()> {
        let sid = format!("healthy-{}", self.next.load(Ordering::Relaxed));
        let proxy = async {
            let mut proxy = self.connect().await.context("the proxy cannot connect")?;
            let (status, poll) = proxy.try_post("/proxy", proxy_poll(&sid, "open")).await?;
            ensure!(
                poll.contains("client match"),
                "the proxy got {status} {poll}"
            );
            let (_, reply) = proxy.try_post("/answer", proxy_answer(&sid, &sid)).await?;
            ensure!(reply.contains("success"), "its proxy's answer got {reply}");
            Ok(())
        };
        let client = async {
            let mut client = self.connect().await.context("the client cannot connect")?;
            loop {
                let poll = client_poll("x", "restricted");
                let (status, reply) = client.try_post("/client", poll).await?;
                // The proxy may be late, which counts toward the pair's time.
                if reply.contains(NO_PROXY) {
                    continue;
                }
                let reply: Value = serde_json::from_str(&reply).context(status)?;
                ensure!(reply["answer"] == answer(&sid), "the client got {reply}");
                return Ok(());
            }
        };
        tokio::try_join!(proxy, client)?;
        Ok(())
    }
}

impl Pairs {
    pub(crate) fn start(others: &Others) -> Self {
        let (others, is_over) = (others.clone(), Arc::<AtomicBool>::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = Arc::clone(&is_over);
        let thread = thread::spawn(move || runtime.block_on(broker(&others, &stop)));
        Self { thread, is_over }
    }

    /// Returns the time of each pair, or an error if one was not answered.
    pub(crate) fn stop(self) -> Result<Vec<Duration>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn broker(others: &Others, is_over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) || times.len() < PAIRS_MIN {
        let pair = others.pair().await;
        let took = pair.with_context(|| format!("pair {} after {times:?}", times.len()))?;
        times.push(took);
        sleep(EVERY.saturating_sub(took)).await;
    }
    Ok(times)
}
