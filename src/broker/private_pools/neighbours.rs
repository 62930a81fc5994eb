//! Proxies across the border of a private pool: where the operator lets them, its clients get
//! those of everybody, and everybody gets its idle ones beyond a reserve. The broker on the
//! other side is asked as a peer is, but in this process.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::broker::loan::{LoanRequest, NotLent};
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted, once_supplied};
use crate::broker::{Broker, clock};
use crate::matching::PeerReply;
use crate::metrics::labels::{LoanRefusal, PrivatePoolName};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::PrivatePools;
use super::settings::{PoolSettings, ToPublic};

/// The proxies of everybody, for a private pool's clients.
#[derive(Debug)]
pub(super) struct PublicProxies {
    pub(super) settings: Arc<ArcSwap<PoolSettings>>,
    pub(super) public: Weak<Broker>,
}

impl PublicProxies {
    /// The public broker, if the pool's clients may go there.
    fn public(&self) -> Option<Arc<Broker>> {
        let may_overflow = self.settings.load().overflow == ToPublic::ToPublic;
        self.public.upgrade().filter(|_| may_overflow)
    }
}

impl Overflow for PublicProxies {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        let public = self.public();
        public.is_some_and(|public| public.can_spare(0, class, fingerprint))
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        Box::pin(async move {
            let Some(public) = self.public() else {
                return std::future::pending().await;
            };
            let has_supply = || public.can_spare(0, class, fingerprint);
            once_supplied(&public.stepped, has_supply).await;
        })
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(async move {
            match self.public() {
                Some(public) => borrow(&public, &wanted, 0).await,
                None => PeerReply::NotAsked,
            }
        })
    }

    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    /// An offer crosses one border at most.
    fn for_private_pool(&self, _: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        None
    }
}

/// The spare proxies of all private pools, for everybody's clients.
#[derive(Debug)]
pub(in crate::broker) struct SpareProxies(pub(in crate::broker) Arc<PrivatePools>);

impl Overflow for SpareProxies {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        !self.0.sparing(class, fingerprint).is_empty()
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        let has_supply = move || self.has_supply(class, fingerprint);
        Box::pin(once_supplied(&self.0.spared, has_supply))
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(async move {
            let class = NatClass::of(wanted.want.nat);
            let mut reply = PeerReply::NotAsked;
            for (pool, reserve) in self.0.sparing(class, wanted.want.fingerprint) {
                reply = reply.followed_by(borrow(&pool.broker, &wanted, reserve).await);
                // Another pool's proxy would be one more that has the offer.
                if !matches!(reply, PeerReply::NotAsked | PeerReply::NoProxy) {
                    break;
                }
            }
            reply
        })
    }

    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    /// An offer crosses one border at most.
    fn for_private_pool(&self, _: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        None
    }
}

/// Asks a broker of this process for a proxy.
async fn borrow(lender: &Broker, wanted: &Wanted, reserve: usize) -> PeerReply {
    let want = &wanted.want;
    let asked_at = clock::now();
    let request = LoanRequest {
        offer: want.offer.clone(),
        nat: want.nat,
        fingerprint: want.fingerprint,
        rendezvous: Some(want.rendezvous),
        attempt: wanted.ask.attempt,
        arrived: asked_at,
        deadline: wanted.ask.deadline,
        traceparent: want.traceparent.clone(),
    };
    match lender.lend_to_node(request, reserve).await {
        Ok(answer) => PeerReply::Answered {
            answer,
            since_asked: clock::now().saturating_duration_since(asked_at),
        },
        Err(NotLent::TimedOut) => PeerReply::Unanswered,
        Err(NotLent::NoProxies | NotLent::Refused(LoanRefusal::UnknownBridge)) => {
            PeerReply::NoProxy
        }
        Err(NotLent::Refused(_)) => PeerReply::NotAsked,
    }
}
