//! The peers as a broker sees them: for everybody's clients, or for those of one private pool
//! that is shared with some of them.

use std::sync::Arc;

use crate::broker::clock;
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted, once_supplied};
use crate::metrics::labels::PrivatePoolName;
use crate::peers::Need;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::state::Federation;

/// The peers for one broker of this process.
#[derive(Debug)]
struct PeersOfPool {
    federation: Arc<Federation>,
    /// The private pool; `None` for everybody's broker.
    private_pool: Option<PrivatePoolName>,
}

impl Federation {
    /// The peers for everybody's broker, which also reaches those of private pools.
    pub fn peers(self: &Arc<Self>) -> Arc<dyn Overflow> {
        Arc::new(PeersOfPool {
            federation: Arc::clone(self),
            private_pool: None,
        })
    }
}

impl Overflow for PeersOfPool {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        let need = Need {
            private_pool: self.private_pool.clone(),
            class,
            fingerprint,
        };
        self.federation
            .state()
            .peers
            .has_supply(clock::now(), &need)
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        let has_supply = move || self.has_supply(class, fingerprint);
        Box::pin(once_supplied(&self.federation.reported, has_supply))
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        let private_pool = self.private_pool.clone();
        Box::pin(self.federation.ask_peers(private_pool, wanted))
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.federation.state().peers.statuses(clock::now())
    }

    fn for_private_pool(&self, name: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        Some(Arc::new(Self {
            federation: Arc::clone(&self.federation),
            private_pool: Some(name.clone()),
        }))
    }
}
