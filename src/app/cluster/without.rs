//! A program that was built without clusters has none of this.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use crate::app::supervisor::Supervisor;
use crate::broker::Broker;
use crate::broker::overflow::Overflow;
use crate::cluster::{Cluster, Settings};
use crate::metrics::Metrics;

/// There are none.
pub(in crate::app) enum NoClusterFiles {}

/// There is none.
pub(in crate::app) enum NoCluster {}

/// Refuses a cluster.
pub(in crate::app) fn read(settings: &Settings) -> anyhow::Result<Option<NoClusterFiles>> {
    ensure!(
        !settings.is_used(),
        "cluster.servers: this program was built without clusters: install a package, or build it \
         with `cargo build --release --features cluster`"
    );
    Ok(None)
}

#[expect(
    clippy::needless_pass_by_value,
    clippy::unused_async,
    reason = "as in a program with clusters"
)]
impl NoCluster {
    pub(in crate::app) fn new(
        _: &Settings,
        files: NoClusterFiles,
        _: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        match files {}
    }

    pub(in crate::app) fn join(&self, _: Broker, _: Arc<dyn Overflow>) -> Broker {
        match *self {}
    }

    pub(in crate::app) fn shared(&self) -> Option<Arc<Cluster>> {
        match *self {}
    }

    pub(in crate::app) async fn start(
        self,
        _: &Arc<Broker>,
        _: Duration,
        _: &Supervisor,
    ) -> anyhow::Result<Arc<Cluster>> {
        match self {}
    }
}
