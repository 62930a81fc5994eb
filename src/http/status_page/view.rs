//! The figures on the status page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use askama::Template;
use humantime::format_rfc3339_seconds;
use serde::{Serialize, Serializer};

use crate::broker::wanted::{KindNeed, parked, wanted};
use crate::broker::{Broker, clock};
use crate::http::status::Audience;
use crate::matching::ServiceStage;
use crate::metrics::labels::{BridgeCondition, BridgeState, ClientOutcome};
use crate::metrics::rounded::Rounded;
use crate::metrics::{GaugeSnapshot, PrivatePoolFigures};
use crate::wire::nat::NatClass;

use super::spans::HistorySpans;

/// The time before a certificate's end from which that is an alarm.
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// The state of the broker as an audience may see it: the part of the page that changes.
#[derive(Clone, Debug, Serialize, Template)]
#[template(path = "live.html", config = "src/http/status_page/askama.toml")]
pub(super) struct StatusView {
    /// The time of the figures.
    time: Moment,
    /// The operator's notice for volunteers.
    notice: Option<String>,
    /// True if new clients and proxies are served.
    is_serving: bool,
    /// The pools of parked polls.
    pools: Vec<PoolOnPage>,
    /// Figures for operators.
    operator: Option<OperatorView>,
}

/// A time: as data in the form of RFC 3339, and for people without its `T`.
#[derive(Clone, Copy, Debug)]
struct Moment(SystemTime);

impl Moment {
    fn as_data(self) -> String {
        format_rfc3339_seconds(self.0).to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.as_data().replace('T', " ").replace('Z', " UTC");
        formatter.write_str(&written)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_data())
    }
}

/// A pool of parked polls, and the clients that it is for.
#[derive(Clone, Debug, Serialize)]
struct PoolOnPage {
    /// The name of the NAT class.
    nat: &'static str,
    wanted: KindNeed,
    parked: u64,
    /// Parked polls by the type of the proxy.
    types: BTreeMap<String, u64>,
    /// The poll interval that is told, in seconds.
    interval_seconds: u64,
}

/// Figures that the public does not see.
#[derive(Clone, Debug, Serialize)]
struct OperatorView {
    /// Clients queued for a proxy.
    queued_clients: u64,
    /// Clients waiting for a proxy's answer.
    matched_clients: u64,
    #[serde(flatten)]
    spans: HistorySpans,
    peers: Vec<PeerView>,
    nodes: Vec<String>,
    private_pools: Vec<PrivatePoolView>,
    /// The end of the certificate.
    certificate_expires: Option<Moment>,
    alarms: Vec<String>,
}

/// Another operator's broker.
#[derive(Clone, Debug, Serialize)]
struct PeerView {
    name: String,
    is_connected: bool,
}

/// A private pool.
#[derive(Clone, Debug, Serialize)]
struct PrivatePoolView {
    name: String,
    /// Parked polls.
    parked: u64,
    /// Clients queued for a proxy.
    queued_clients: u64,
    /// Clients that got an answer, since the pool was created.
    answered: u64,
}

impl StatusView {
    /// Reads the figures that the audience may see.
    pub(super) fn of(broker: &Broker, audience: Audience, notice: Option<String>) -> Self {
        let figures = broker.control().waiting();
        let count = |count: usize| match audience {
            Audience::Public => Rounded::from(count as u64).get(),
            Audience::Operator => count as u64,
        };
        let pools = NatClass::ALL.into_iter();
        let operator = (audience == Audience::Operator).then(|| OperatorView::of(broker, &figures));
        Self {
            time: Moment(clock::wall_clock()),
            notice,
            is_serving: broker.stage() == ServiceStage::Serving,
            pools: pools
                .map(|pool| PoolOnPage::of(pool, &figures, &count))
                .collect(),
            operator,
        }
    }
}

impl PoolOnPage {
    fn of(pool: NatClass, figures: &GaugeSnapshot, count: &dyn Fn(usize) -> u64) -> Self {
        let mut types = BTreeMap::<String, usize>::new();
        let of_pool = figures.parked.iter();
        for (r#type, _, polls) in of_pool.filter(|(_, nat, _)| NatClass::of(*nat) == pool) {
            *types.entry(r#type.to_string()).or_default() += polls;
        }
        let interval = figures.poll_intervals.iter().find(|(it, _)| *it == pool);
        let types = types.into_iter().map(|(name, polls)| (name, count(polls)));
        Self {
            nat: pool.as_str(),
            wanted: wanted(pool, figures),
            parked: count(parked(pool, figures)),
            types: types.collect(),
            interval_seconds: interval.map_or(0, |(_, interval)| interval.as_secs()),
        }
    }
}

impl OperatorView {
    fn of(broker: &Broker, figures: &GaugeSnapshot) -> Self {
        let control = broker.control();
        let queued: usize = figures.queued.iter().map(|(_, count)| count).sum();
        let peers = control.peers().into_iter().map(|peer| PeerView {
            name: peer.figures.name.to_string(),
            is_connected: peer.figures.is_connected,
        });
        let nodes = control.cluster().map_or_else(Vec::new, |it| it.others);
        let nodes = nodes.iter().map(|node| node.name.to_string());
        let expiry = broker.metrics().certificate_expiry();
        Self {
            queued_clients: queued as u64,
            matched_clients: figures.matched as u64,
            spans: HistorySpans::of(broker.metrics(), clock::wall_clock(), figures),
            peers: peers.collect(),
            nodes: nodes.collect(),
            private_pools: figures
                .private_pools
                .iter()
                .map(PrivatePoolView::of)
                .collect(),
            certificate_expires: expiry.map(Moment),
            alarms: alarms(broker, figures, expiry),
        }
    }
}

impl PrivatePoolView {
    fn of(pool: &PrivatePoolFigures) -> Self {
        Self {
            name: pool.name.to_string(),
            parked: pool.parked as u64,
            queued_clients: pool.queued as u64,
            answered: pool.totals.client_outcomes[ClientOutcome::Matched as usize],
        }
    }
}

/// Everything that the broker knows to be wrong, without addresses.
fn alarms(broker: &Broker, figures: &GaugeSnapshot, expiry: Option<SystemTime>) -> Vec<String> {
    let mut alarms = Vec::new();
    match broker.stage() {
        ServiceStage::Serving => {}
        ServiceStage::LameDuck => alarms.push("The broker parks no more polls.".to_owned()),
        ServiceStage::Draining => alarms.push("The broker is draining.".to_owned()),
    }
    let ailing = (BridgeState::Up, BridgeCondition::Ailing);
    let ailing = figures.bridge_addresses.iter().filter(|it| **it == ailing);
    let ailing = ailing.count();
    if ailing > 0 {
        alarms.push(format!(
            "Addresses of bridges that cannot be reached: {ailing}."
        ));
    }
    for peer in broker.control().peers() {
        if !peer.figures.is_connected {
            alarms.push(format!("The peer {} is not connected.", peer.figures.name));
        }
    }
    if let Some(cluster) = broker.control().cluster() {
        if !cluster.is_connected {
            alarms.push("This node of the cluster is on its own.".to_owned());
        } else if !cluster.has_bucket {
            alarms.push("What the nodes of the cluster share cannot be reached.".to_owned());
        }
    }
    let soon = clock::wall_clock() + EXPIRES_SOON;
    if let Some(expiry) = expiry.filter(|expiry| *expiry < soon) {
        let expiry = Moment(expiry);
        alarms.push(format!("The certificate expires at {expiry}."));
    }
    alarms
}
