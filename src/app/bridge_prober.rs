//! The prober of bridges: connects to their addresses from time to time, as proxies do.

mod attempt;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use arc_swap::ArcSwapOption;
use futures_util::{StreamExt as _, stream};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

use crate::bridges::health::{HealthChange, ProbeFailure};
use crate::bridges::{AddressState, BridgeHealth, BridgeList, Settings};
use crate::broker::Broker;
use crate::metrics::labels::ProbeResult;
use crate::tls::outgoing;

use super::supervisor::Supervisor;

/// The time limit of a probe. Proxies wait longer, but not for much.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of probes at the same time, so that a few dead addresses do not delay
/// the others for long.
const AT_ONCE: usize = 8;

/// The TLS configuration of probes: the machine's authorities, as proxies have them. `None`
/// if there are no probes.
pub(super) fn tls(settings: &Settings) -> anyhow::Result<Option<ClientConfig>> {
    if !settings.probe {
        return Ok(None);
    }
    let config = outgoing::client_config(None, None);
    let mut config = config.map_err(|error| anyhow!("bridges.probe: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

/// The prober, as far as a reload replaces its parts.
#[derive(Clone)]
pub(super) struct BridgeProber {
    settings: Arc<watch::Sender<Settings>>,
    tls: Arc<ArcSwapOption<ClientConfig>>,
}

impl BridgeProber {
    /// A prober that probes nothing before [`Self::start`].
    pub(super) fn new(settings: &Settings, tls: Option<ClientConfig>) -> Self {
        Self {
            settings: Arc::new(watch::Sender::new(settings.clone())),
            tls: Arc::new(ArcSwapOption::from_pointee(tls)),
        }
    }

    /// Applies settings. Other ones start a round of probes at once.
    pub(super) fn set(&self, settings: &Settings, tls: Option<ClientConfig>) {
        self.tls.store(tls.map(Arc::new));
        self.settings.send_if_modified(|current| {
            let is_other = current != settings;
            current.clone_from(settings);
            is_other
        });
    }

    /// Begins to probe the broker's bridges.
    pub(super) fn start(&self, broker: &Arc<Broker>, supervisor: &Supervisor) {
        let rounds = Rounds {
            broker: Arc::clone(broker),
            tls: Arc::clone(&self.tls),
            health: BridgeHealth::default(),
        };
        let settings = self.settings.subscribe();
        supervisor.keep("the prober of bridges", rounds.run(settings));
    }
}

/// The rounds of probes, each of which probes every address once.
struct Rounds {
    broker: Arc<Broker>,
    tls: Arc<ArcSwapOption<ClientConfig>>,
    health: BridgeHealth,
}

impl Rounds {
    /// Probes under the current settings. Never returns.
    async fn run(mut self, mut settings: watch::Receiver<Settings>) {
        loop {
            let current = settings.borrow_and_update().clone();
            let changed = tokio::select! {
                changed = settings.changed() => changed,
                () = self.probe(&current) => return,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Probes at intervals, if at all. Never returns.
    async fn probe(&mut self, settings: &Settings) {
        self.health.acts = settings.act_on_probe;
        if !settings.probe {
            self.health.retain(|_| false);
        }
        self.publish();
        if !settings.probe {
            return std::future::pending().await;
        }
        let mut ticks = interval(settings.probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let Some(tls) = self.tls.load_full() else {
            return;
        };
        let names = names(&self.broker.directory().bridges);
        self.health
            .retain(|relay_url| names.contains_key(relay_url));
        self.publish();
        let probes = names.into_iter().map(|(relay_url, name)| {
            let tls = TlsConnector::from(Arc::clone(&tls));
            async move {
                let attempt = timeout(PATIENCE, attempt::connect(&relay_url, &tls)).await;
                let result = attempt.unwrap_or(Err(ProbeFailure::TooSlow));
                (relay_url, name, result)
            }
        });
        let mut probes = stream::iter(probes).buffer_unordered(AT_ONCE);
        while let Some((relay_url, name, result)) = probes.next().await {
            self.broker.metrics().bridge_probed(label(result));
            let change = self.health.record(&relay_url, result);
            log(&name, change);
            self.publish();
        }
    }

    fn publish(&self) {
        let control = self.broker.control();
        if *control.bridge_health() != self.health {
            control.set_bridge_health(self.health.clone());
        }
    }
}

/// The addresses to probe, each with its name for the log, which must not have URLs. An
/// address that is down is known to serve nobody.
fn names(bridges: &BridgeList) -> HashMap<Arc<str>, String> {
    let mut names = HashMap::new();
    for (fingerprint, addresses) in bridges.sorted() {
        for (number, address) in (1..).zip(addresses) {
            if address.state == AddressState::Down {
                continue;
            }
            let bridge = match &*address.display_name {
                "" => fingerprint.to_string(),
                name => name.to_owned(),
            };
            let name = match addresses.len() {
                1 => bridge,
                count => format!("{bridge} (address {number} of {count})"),
            };
            names.insert(Arc::clone(&address.relay_url), name);
        }
    }
    names
}

fn log(bridge: &str, change: Option<HealthChange>) {
    match change {
        Some(HealthChange::Ailing(failure)) => {
            tracing::warn!(bridge, "proxies may not reach a bridge: {failure}");
        }
        Some(HealthChange::WellAgain) => {
            tracing::info!(bridge, "a bridge can be reached again");
        }
        None => {}
    }
}

fn label(result: Result<(), ProbeFailure>) -> ProbeResult {
    match result {
        Ok(()) => ProbeResult::Ok,
        Err(ProbeFailure::NoAddress) => ProbeResult::NoAddress,
        Err(ProbeFailure::Unreachable) => ProbeResult::Unreachable,
        Err(ProbeFailure::Tls | ProbeFailure::Certificate) => ProbeResult::Tls,
        Err(ProbeFailure::Redirect(_) | ProbeFailure::Status(_) | ProbeFailure::NoWebSocket) => {
            ProbeResult::NoUpgrade
        }
        Err(ProbeFailure::TooSlow) => ProbeResult::TooSlow,
    }
}
