//! The other nodes as a broker sees them: for everybody's clients and proxies, or for those of
//! one private pool, whom the nodes keep apart.

use std::sync::Arc;

use crate::broker::nodes::{ClusterStatus, OtherNodes, PassingOn};
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted, once_supplied};
use crate::broker::{Broker, clock};
use crate::metrics::labels::PrivatePoolName;
use crate::peers::Need;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::proxy::Sid;
use crate::wire::session_description::SessionDescription;

use super::Cluster;

/// The other nodes for one broker of this process.
#[derive(Debug)]
struct NodesOfPool {
    cluster: Arc<Cluster>,
    /// The private pool; `None` for everybody's broker.
    private_pool: Option<PrivatePoolName>,
}

/// The broker of this process for those of a private pool, which a message names by a word that
/// is empty for everybody; `None` if there is no such pool.
pub(super) fn broker_of(public: &Arc<Broker>, private_pool: &str) -> Option<Arc<Broker>> {
    if private_pool.is_empty() {
        return Some(Arc::clone(public));
    }
    let name = PrivatePoolName::from(private_pool);
    let pool = public.private_pools()?.named(&name, clock::wall_clock())?;
    Some(Arc::clone(&pool.broker))
}

impl Cluster {
    /// The other nodes for everybody's broker, which also reaches those of private pools.
    pub fn other_nodes(self: &Arc<Self>) -> Arc<dyn OtherNodes> {
        Arc::new(NodesOfPool {
            cluster: Arc::clone(self),
            private_pool: None,
        })
    }
}

impl NodesOfPool {
    fn need(&self, class: NatClass, fingerprint: Fingerprint) -> Need {
        Need {
            private_pool: self.private_pool.clone(),
            class,
            fingerprint,
        }
    }
}

impl Overflow for NodesOfPool {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        self.cluster.has_supply(&self.need(class, fingerprint))
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        let has_supply = move || self.has_supply(class, fingerprint);
        Box::pin(once_supplied(&self.cluster.heard_of_supply, has_supply))
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(self.cluster.ask_nodes(self.private_pool.clone(), wanted))
    }

    /// Nodes are no peers.
    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    fn for_private_pool(&self, name: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        Some(self.of_private_pool(name))
    }
}

impl OtherNodes for NodesOfPool {
    fn pass_on(&self, sid: Sid, answer: Option<SessionDescription>) -> PassingOn<'_> {
        Box::pin(async move {
            let answer = answer.map(|answer| answer.text()).unwrap_or_default();
            let private_pool = self.private_pool.as_ref();
            self.cluster.search(private_pool, sid, answer).await
        })
    }

    fn status(&self) -> ClusterStatus {
        self.cluster.seen()
    }

    fn of_private_pool(&self, name: &PrivatePoolName) -> Arc<dyn OtherNodes> {
        Arc::new(Self {
            cluster: Arc::clone(&self.cluster),
            private_pool: Some(name.clone()),
        })
    }
}
