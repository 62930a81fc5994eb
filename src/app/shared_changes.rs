//! The changes by the administration of any node of a cluster, put in force here.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::broker::{Broker, clock};
use crate::cluster::Cluster;
use crate::cluster::shared::{PRIVATE_POOL, SharedChange};
use crate::grpc::admin::operations::Operations;
use crate::grpc::admin::shared;
use crate::telemetry::{Kind, LogLimits};

use super::admin::Administration;
use super::reload::Reloads;
use super::supervisor::Supervisor;

/// The maximum number of changes of a node that are refused in the log in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
static REFUSED: LogLimits = LogLimits::new(
    Kind::new(Level::WARN, "cluster: changes that this node cannot have"),
    LOGGED_MAX,
    LOG_PERIOD,
);

/// Begins to put in force what the administration of any node changes, if there is a cluster.
pub(super) fn start(
    cluster: Option<Arc<Cluster>>,
    broker: &Arc<Broker>,
    administration: &Arc<Administration>,
    reloads: &Reloads,
    supervisor: &Supervisor,
) {
    if let Some(cluster) = cluster {
        let (broker, administration) = (Arc::clone(broker), Arc::clone(administration));
        let applied = keep_applied(cluster, broker, administration, reloads.clone());
        supervisor.keep("the changes of the cluster's administration", applied);
    }
}

/// Puts changes in force, one after the other. Never returns.
async fn keep_applied(
    cluster: Arc<Cluster>,
    broker: Arc<Broker>,
    administration: Arc<Administration>,
    reloads: Reloads,
) {
    for (name, pool) in administration.kept_private_pools().await {
        cluster.propose_change(&format!("{PRIVATE_POOL}{name}"), pool);
    }
    loop {
        let changed = cluster.shared_changed();
        let mut has_ended = false;
        for change in cluster.take_changes() {
            let is_ours = change.node == cluster.node();
            if let Some(pool) = change.name.strip_prefix(PRIVATE_POOL) {
                apply_pool(&administration, pool, &change).await;
                continue;
            }
            match &change.request {
                Some(request) => apply(&broker, &*administration, &change, request, is_ours).await,
                None => has_ended |= !is_ours,
            }
        }
        // As with the administration's changes of a broker on its own, a reload ends them,
        // here a reload of another node.
        if has_ended {
            tracing::info!("cluster: the administration's changes have ended, reloading");
            // It logs what is wrong.
            drop(reloads.reload().await);
        }
        changed.await;
    }
}

async fn apply_pool(administration: &Administration, pool: &str, change: &SharedChange) {
    let SharedChange { node, request, .. } = change;
    let has_pool = request.is_some();
    match administration
        .share_private_pool(pool, request.clone())
        .await
    {
        Ok(false) => {}
        Ok(true) if has_pool => {
            tracing::info!(%node, pool, "cluster: the administration of a node has created a private pool");
        }
        Ok(true) => {
            tracing::info!(%node, pool, "cluster: the administration of a node has removed a private pool");
        }
        Err(refused) => {
            if let Some(suppressed) = REFUSED.admit(node, clock::now()) {
                tracing::warn!(
                    %node,
                    pool,
                    suppressed,
                    "cluster: cannot have a private pool as the administration of a node has it: \
                     {refused}"
                );
            }
        }
    }
}

async fn apply(
    broker: &Broker,
    operations: &dyn Operations,
    change: &SharedChange,
    request: &[u8],
    is_ours: bool,
) {
    let SharedChange { name, node, .. } = change;
    match shared::apply(broker, operations, name, request).await {
        Ok(()) if is_ours => {}
        Ok(()) => tracing::info!(%node, "cluster: {name} set by the administration of a node"),
        // The values may have addresses in them.
        Err(status) => {
            if let Some(suppressed) = REFUSED.admit(node, clock::now()) {
                tracing::warn!(
                    %node,
                    suppressed,
                    "cluster: cannot have the {name} that the administration of a node has set: {}",
                    status.code().description()
                );
            }
        }
    }
}
