//! All programs of a run, and their files.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::configs::{self, NATS};
use crate::node::Node;
use crate::support::certificates::Authority;
use crate::support::wait::until;

/// The maximum age of a broker's metrics.
pub(crate) const PAGE_AGE: Duration = Duration::from_secs(1);

/// The programs. Dropping it kills them.
pub(crate) struct Site {
    /// The broker that is judged.
    pub(crate) a: Node,
    /// The other node of its cluster.
    pub(crate) b: Node,
    /// Its peer.
    pub(crate) p: Node,
    pub(crate) nats: Node,
    pub(crate) folder: TempDir,
}

impl Site {
    /// Starts all, and waits until A knows the others.
    pub(crate) async fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let authority = Authority::new(path, "brokers");
        for name in ["a", "p"] {
            authority.certify(path, name, &format!("{name}.example"), 2_040);
        }
        configs::write(path)?;
        let mut site = Self {
            a: Node::broker(program, path, "a", 9_580),
            b: Node::broker(program, path, "b", 9_581),
            p: Node::broker(program, path, "p", 9_582),
            nats: Node::nats(path, NATS.parse()?)?,
            folder,
        };
        site.nats.start().await?;
        for node in [&mut site.a, &mut site.b, &mut site.p] {
            node.start().await.context("a broker does not start")?;
        }
        knows_others(&site.a).await?;
        Ok(site)
    }
}

/// Waits until A is connected to the other node and to its peer.
pub(crate) async fn knows_others(a: &Node) -> Result<()> {
    until("A knows the others", async || {
        let page = a.metrics().await?;
        let is = |name, number| page.sum(name, &[]) == number;
        let all = is("snowflake_broker_cluster_nodes", 2)
            && is("snowflake_broker_cluster_connected", 1)
            && is("snowflake_broker_cluster_bucket_away", 0)
            && is("snowflake_broker_peer_connected", 1);
        Ok(all.then_some(()))
    })
    .await
}
