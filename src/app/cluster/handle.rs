//! The files of the cluster, and the node with its connection to NATS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, ensure};
use rustix::system::uname;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::broker::overflow::{InTurn, Overflow};
use crate::broker::{Broker, SidKey, clock};
use crate::cluster::settings::is_name;
use crate::cluster::{Cluster, ClusterKeys, NodeIdentity, Settings};
use crate::metrics::Metrics;
use crate::tls::outgoing;

use crate::app::entropy;
use crate::app::files::{named, read_file, read_pair, read_text};
use crate::app::supervisor::Supervisor;

use super::bucket::{EVENTS_MAX, NatsBucket};
use super::nats::{Nats, NatsBus, NatsCredentials};

/// The random bits of the number of a process.
const RANDOM_BITS: u32 = 24;

/// The files of a cluster, read and checked.
pub(in crate::app) struct ClusterFiles {
    keys: ClusterKeys,
    credentials: NatsCredentials,
    tls: Option<ClientConfig>,
    node: String,
}

/// Reads the files named in the settings; `None` without a cluster. The error names the
/// setting.
pub(in crate::app) fn read(settings: &Settings) -> anyhow::Result<Option<ClusterFiles>> {
    let (true, Some(key_file)) = (settings.is_used(), &settings.key_file) else {
        return Ok(None);
    };
    let keys = read_text("cluster.key_file", key_file)?;
    let keys = ClusterKeys::parse(&keys).with_context(|| named("cluster.key_file", key_file))?;
    Ok(Some(ClusterFiles {
        keys,
        credentials: credentials(settings)?,
        tls: tls(settings)?,
        node: node(settings)?,
    }))
}

fn credentials(settings: &Settings) -> anyhow::Result<NatsCredentials> {
    if let Some(path) = &settings.credentials_file {
        let text = read_text("cluster.credentials_file", path)?;
        return NatsCredentials::with_jwt(text)
            .with_context(|| named("cluster.credentials_file", path));
    }
    if let Some(path) = &settings.nkey_file {
        let text = read_text("cluster.nkey_file", path)?;
        return NatsCredentials::with_nkey(&text).with_context(|| named("cluster.nkey_file", path));
    }
    Ok(NatsCredentials::None)
}

fn tls(settings: &Settings) -> anyhow::Result<Option<ClientConfig>> {
    if !settings.has_tls() {
        return Ok(None);
    }
    let certificate = match (&settings.tls.cert, &settings.tls.key) {
        (Some(cert), Some(key)) => Some(read_pair("cluster.tls", cert, key)?),
        _ => None,
    };
    let ca = settings.tls.ca.as_deref();
    let authorities = ca
        .map(|path| read_file("cluster.tls.ca", path))
        .transpose()?;
    let config = outgoing::client_config(authorities.as_deref(), certificate);
    let culprit = || {
        ca.map_or("cluster.servers".to_owned(), |path| {
            named("cluster.tls.ca", path)
        })
    };
    config.with_context(culprit).map(Some)
}

/// The number of this process: the seconds since 1970, and random bits, by which two processes
/// of one second differ. After a clock that was set back the others know the process before
/// for 3 s more, unless it has said that it leaves.
fn incarnation() -> anyhow::Result<u64> {
    let since = clock::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    Ok(seconds << RANDOM_BITS | entropy::seed()? >> (u64::BITS - RANDOM_BITS))
}

/// The name of this node: by default the first part of the host's name.
fn node(settings: &Settings) -> anyhow::Result<String> {
    if !settings.node.is_empty() {
        return Ok(settings.node.clone());
    }
    let host = uname().nodename().to_string_lossy().into_owned();
    let name = host.split('.').next().unwrap_or_default().to_owned();
    ensure!(
        is_name(&name),
        "cluster.node: must be set, because this host's name cannot be used for it"
    );
    Ok(name)
}

/// The node of this broker, not yet running.
pub(in crate::app) struct ClusterHandle {
    cluster: Arc<Cluster>,
    /// Large, by the options of the library.
    nats: Box<Nats>,
    bus: Arc<NatsBus>,
    sid_keys: Vec<SidKey>,
    /// The number of copies of the bucket that the nodes share, if they do.
    replicas: Option<usize>,
}

impl ClusterHandle {
    /// Prepares the node and its connection, which is not made before [`Self::start`].
    pub(in crate::app) fn new(
        settings: &Settings,
        files: ClusterFiles,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let bus = Arc::new(NatsBus::default());
        let identity = NodeIdentity {
            node: files.node,
            incarnation: incarnation()?,
            started: clock::now(),
        };
        let sid_keys = files.keys.sid_keys();
        let nats = Nats::new(
            settings,
            &identity.node,
            &files.credentials,
            files.tls,
            &bus,
        )?;
        let cluster = Cluster::new(
            identity,
            &settings.name,
            files.keys,
            settings.reserve,
            bus.clone(),
            Arc::clone(metrics),
            entropy::seed()?,
        );
        Ok(Self {
            cluster: Arc::new(cluster),
            nats: Box::new(nats),
            bus,
            sid_keys,
            replicas: settings.jetstream.then_some(settings.replicas),
        })
    }

    /// Adds the other nodes to a broker, which asks them before its peers.
    pub(in crate::app) fn join(&self, broker: Broker, peers: Arc<dyn Overflow>) -> Broker {
        let nodes = self.cluster.other_nodes();
        let in_turn = InTurn(vec![nodes.clone(), peers]);
        broker
            .in_cluster(nodes, self.sid_keys.clone())
            .overflowing(Some(Arc::new(in_turn)))
    }

    /// The cluster, if its nodes have the windows of the metrics log in common.
    pub(in crate::app) fn shared(&self) -> Option<Arc<Cluster>> {
        self.replicas.is_some().then(|| Arc::clone(&self.cluster))
    }

    /// Connects to NATS, and begins to take part. A window of the metrics log has this length.
    pub(in crate::app) async fn start(
        self,
        broker: &Arc<Broker>,
        window: Duration,
        supervisor: &Supervisor,
    ) -> anyhow::Result<Arc<Cluster>> {
        let events = Box::pin(self.nats.connect()).await;
        let events = events.map_err(|error| anyhow!("cluster.servers: {error}"))?;
        let node = Arc::clone(&self.cluster).run(Arc::clone(broker), events);
        supervisor.keep("the node of the cluster", node);
        if let (Some(replicas), Some(client)) = (self.replicas, self.bus.client()) {
            let bucket = Arc::new(NatsBucket::default());
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let name = self.cluster.name().to_owned();
            let watch = Arc::clone(&bucket).watch(client.clone(), name, replicas, sender);
            supervisor.keep("the watch of the cluster's bucket", watch);
            let events = ReceiverStream::new(events);
            let share = Arc::clone(&self.cluster).share(bucket, window, events);
            supervisor.keep("what the cluster shares", share);
        }
        Ok(self.cluster)
    }
}
