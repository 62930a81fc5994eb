//! The link to one peer: a connection, and the stream of the peer's supply reports. After
//! a failure, the link reconnects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::backoff::Backoff;
use crate::broker::clock;
use crate::metrics::labels::PeerName;
use crate::peers::{LinkId, SupplyReport};
use crate::proto::federation::v1;
use crate::proto::federation::v1::federation_client::FederationClient;

use super::convert::report;
use super::dial::{DialTarget, Dialed};
use super::error::LinkError;
use super::state::Federation;

/// The time-out of connecting, including handshakes. A lost packet is sent again after a
/// second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// The delay after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest delay. With the time to connect, it is under 5 s, the time within which a
/// peer must be back in use.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const PAUSES: Backoff = Backoff::doubling(FIRST_PAUSE, LONGEST_PAUSE);
/// The delay for a discovered broker that we do not borrow from: ourselves, a stranger,
/// or a peer connected by another address.
const NOBODY_PAUSE: Duration = Duration::from_mins(1);
/// The minimum duration of a connection that resets the failure count.
const LASTING: Duration = Duration::from_secs(5);
/// The interval of pings.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The time-out of a ping: a dead link is detected within 4.5 s.
const PING_TIMEOUT: Duration = Duration::from_millis(2_500);
/// The longest silence of a peer, which should send a report every 5 s.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// The maximum size of a report, in bytes: 40,000 bridges.
const REPORT_MAX: usize = 1 << 20;
/// The maximum size of a response's head, in bytes.
const HEAD_MAX: u32 = 16 * 1024;

/// The links, one task each. They end when dropped.
#[derive(Debug, Default)]
struct Links {
    tasks: JoinSet<()>,
    by_target: BTreeMap<DialTarget, AbortHandle>,
}

impl Links {
    /// Starts and ends links so that they match `wanted`.
    fn set(&mut self, federation: &Arc<Federation>, wanted: BTreeSet<DialTarget>) {
        self.by_target.retain(|target, task| {
            let stays = wanted.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        for target in wanted {
            self.by_target.entry(target.clone()).or_insert_with(|| {
                let federation = Arc::clone(federation);
                self.tasks
                    .spawn(async move { federation.keep_link(target).await })
            });
        }
        // Removes the tasks that have ended.
        while self.tasks.try_join_next().is_some() {}
    }
}

/// A connected peer; disconnected on drop.
struct Link<'a> {
    federation: &'a Federation,
    peer: PeerName,
    id: LinkId,
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        let mut state = self.federation.state();
        if state.peers.disconnected(&self.peer, self.id) {
            state.channels.remove(&self.peer);
        }
    }
}

impl Federation {
    /// Maintains a link to each peer. Never returns.
    pub async fn run(self: Arc<Self>) {
        let mut targets = self.targets.subscribe();
        let mut links = Links::default();
        loop {
            let wanted = targets.borrow_and_update().clone();
            links.set(&self, wanted);
            if targets.changed().await.is_err() {
                return;
            }
        }
    }

    /// Connects again and again. Never returns.
    async fn keep_link(&self, target: DialTarget) {
        let mut failures = 0;
        loop {
            let mut peer = target.peer.clone();
            let problem = self.link(&target, &mut peer, &mut failures).await;
            if target.peer.is_none() && problem.is_of_nobody() {
                sleep(NOBODY_PAUSE).await;
                continue;
            }
            self.note_problem(peer.as_ref(), "no connection", &problem.problem());
            failures += 1;
            let jitter = self.state().rng.f64();
            sleep(PAUSES.delay(failures, jitter)).await;
        }
    }

    /// Runs one connection from beginning to end. Sets `peer` to the identified peer if
    /// it was not known.
    async fn link(
        &self,
        target: &DialTarget,
        peer: &mut Option<PeerName>,
        failures: &mut u32,
    ) -> LinkError {
        let dialed = match timeout(CONNECT_TIMEOUT, self.dial.dial(target)).await {
            Ok(Ok(dialed)) => dialed,
            Ok(Err(error)) => return LinkError::Dial(error),
            Err(_) => return LinkError::TooSlow,
        };
        let Some(name) = self.who_is(target, &dialed.names) else {
            return LinkError::OtherNames(dialed.names);
        };
        *peer = Some(name.clone());
        let channel = match timeout(CONNECT_TIMEOUT, channel(dialed)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return error.into(),
            Err(_) => return LinkError::TooSlow,
        };
        let Some(link) = self.connected(name) else {
            return LinkError::NotWanted;
        };
        match self.listen(&link, channel, failures).await {
            Ok(()) => LinkError::Ended,
            Err(problem) => problem,
        }
    }

    /// Receives the peer's reports until they end.
    async fn listen(
        &self,
        link: &Link<'_>,
        channel: Channel,
        failures: &mut u32,
    ) -> Result<(), LinkError> {
        let mut client =
            FederationClient::new(channel.clone()).max_decoding_message_size(REPORT_MAX);
        let watching = client.watch_supply(v1::WatchSupplyRequest {});
        let mut reports = timeout(SILENCE_MAX, watching)
            .await
            .map_err(|_| LinkError::Silent)??
            .into_inner();
        let began = clock::now();
        loop {
            let heard = timeout(SILENCE_MAX, reports.message()).await;
            let Some(supply) = heard.map_err(|_| LinkError::Silent)?? else {
                return Ok(());
            };
            let now = clock::now();
            if now.saturating_duration_since(began) >= LASTING {
                *failures = 0;
            }
            if self.report(now, link, report(supply), &channel) {
                self.log_connected(&link.peer);
            }
            self.reported.notify_waiters();
        }
    }

    /// Records the peer's report. Returns true if it is the first of the connection.
    fn report(
        &self,
        now: Instant,
        link: &Link<'_>,
        report: SupplyReport,
        channel: &Channel,
    ) -> bool {
        let mut state = self.state();
        let is_heard = state.peers.reported(now, &link.peer, link.id, report);
        let is_first = is_heard && !state.channels.contains_key(&link.peer);
        if is_first {
            state.channels.insert(link.peer.clone(), channel.clone());
        }
        is_first
    }

    fn log_connected(&self, peer: &PeerName) {
        if let Some(suppressed) = self.troubles.admit(peer.as_str(), clock::now()) {
            tracing::info!(%peer, suppressed, "federation: connected to a peer");
        }
    }

    fn connected(&self, peer: PeerName) -> Option<Link<'_>> {
        let id = self.state().peers.connected(&peer)?;
        Some(Link {
            federation: self,
            peer,
            id,
        })
    }

    /// The peer with these names, if it may be at this target.
    fn who_is(&self, target: &DialTarget, names: &[String]) -> Option<PeerName> {
        if let Some(peer) = &target.peer {
            let is_there = names.iter().any(|name| name == peer.as_str());
            return is_there.then(|| peer.clone());
        }
        let state = self.state();
        let peers = state.configured.peers.iter();
        let mut discovered = peers.filter(|peer| peer.is_discovered());
        let peer = discovered.find(|peer| names.contains(&peer.name))?;
        Some(peer.id())
    }
}

/// An HTTP/2 channel over one connection. It does not reconnect by itself.
async fn channel(dialed: Dialed) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(TokioIo::new(dialed.stream));
    let connector = service_fn(move |_| {
        let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
        std::future::ready(stream.map_err(std::io::Error::from))
    });
    // The connection is already encrypted, and nothing reads the name in this URL.
    Endpoint::from_static("http://peer")
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEAD_MAX)
        .connect_with_connector(connector)
        .await
}
