//! The interface to peers, for clients that find no proxy here. The broker only knows
//! that there are peers to ask; the implementation of [`Overflow`] decides which ones and
//! how.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::matching::{AskPeer, PeerReply, SupplyHint};
use crate::metrics::PeerFigures;
use crate::metrics::labels::{PeerName, PrivatePoolName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

/// Other brokers, which may have a proxy when this one has none.
pub trait Overflow: fmt::Debug + Send + Sync + 'static {
    /// Returns true if a peer reports a proxy for such a client.
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool;

    /// Completes once a peer reports such a proxy.
    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_>;

    /// Asks peers for an answer to a client's offer, one after the other, without those
    /// already asked. Dropping the future withdraws the offer.
    fn borrow(&self, wanted: Wanted) -> Borrowing<'_>;

    /// The state of all peers.
    fn peers(&self) -> Vec<PeerStatus>;

    /// The same brokers for the clients of a private pool; `None` if they have nothing for
    /// them.
    fn for_private_pool(&self, name: &PrivatePoolName) -> Option<Arc<dyn Overflow>>;
}

/// Several of them: those that come first are asked first.
#[derive(Debug)]
pub struct InTurn(pub Vec<Arc<dyn Overflow>>);

impl Overflow for InTurn {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        let mut all = self.0.iter();
        all.any(|one| one.has_supply(class, fingerprint))
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        let all = self.0.iter();
        let mut all: Vec<_> = all.map(|one| one.supplied(class, fingerprint)).collect();
        Box::pin(poll_fn(move |context| {
            let is_supplied = |one: &mut Supplied<'_>| one.as_mut().poll(context).is_ready();
            if all.iter_mut().any(is_supplied) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(async move {
            let mut reply = PeerReply::NotAsked;
            for one in &self.0 {
                reply = reply.followed_by(one.borrow(wanted.clone()).await);
                if matches!(reply, PeerReply::Answered { .. }) {
                    break;
                }
            }
            reply
        })
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.0.iter().flat_map(|one| one.peers()).collect()
    }

    fn for_private_pool(&self, name: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        let all = self.0.iter();
        let all: Vec<_> = all.filter_map(|one| one.for_private_pool(name)).collect();
        Some(Arc::new(Self(all)))
    }
}

/// A future that completes when there is a proxy to borrow.
pub type Supplied<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A future with the peers' reply.
pub type Borrowing<'a> = Pin<Box<dyn Future<Output = PeerReply> + Send + 'a>>;

/// Completes once there is a proxy. `changed` is notified whenever there may be.
pub async fn once_supplied(changed: &Notify, has_supply: impl Fn() -> bool) {
    loop {
        let notified = changed.notified();
        if has_supply() {
            return;
        }
        notified.await;
    }
}

/// A client's needs, as peers have to know them.
#[derive(Clone, Debug)]
pub struct PeerWant {
    /// The offer to be answered.
    pub offer: SessionDescription,
    /// The client's NAT.
    pub nat: NatType,
    /// The bridge that the client wants.
    pub fingerprint: Fingerprint,
    /// The client's rendezvous method.
    pub rendezvous: Rendezvous,
    /// The client's trace, which the peer continues (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// A client for which peers are asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The client's needs.
    pub want: PeerWant,
    /// The number of the attempt, and its deadlines.
    pub ask: AskPeer,
    /// The peers already asked for the client.
    pub asked: Arc<Asked>,
}

/// The peers already asked for one client.
#[derive(Debug, Default)]
pub struct Asked(Mutex<BTreeSet<PeerName>>);

impl Asked {
    /// The names of the peers.
    pub fn names(&self) -> MutexGuard<'_, BTreeSet<PeerName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's calls to peers, and its wait for a peer to have a proxy. Dropping it
/// cancels the calls.
pub(super) struct PeerCalls<'a> {
    overflow: &'a dyn Overflow,
    want: PeerWant,
    asked: Option<Arc<Asked>>,
    calls: Vec<PeerCall<'a>>,
    /// True until a peer reports a proxy, and again when none has one any more.
    is_without_supply: bool,
    supplied: Option<Supplied<'a>>,
}

/// A call in progress.
struct PeerCall<'a> {
    asked_at: Instant,
    borrowing: Borrowing<'a>,
}

/// An event from peers for one client.
pub(super) enum PeerEvent {
    /// A peer has a proxy.
    Supplied,
    /// The peers asked at this time have replied.
    Replied { asked_at: Instant, reply: PeerReply },
}

impl<'a> PeerCalls<'a> {
    pub(super) fn new(overflow: &'a dyn Overflow, want: PeerWant) -> Self {
        let class = NatClass::of(want.nat);
        Self {
            overflow,
            asked: None,
            calls: Vec::new(),
            is_without_supply: !overflow.has_supply(class, want.fingerprint),
            supplied: None,
            want,
        }
    }

    /// The proxies that peers reported when the client arrived.
    pub(super) fn supply(&self) -> SupplyHint {
        if self.is_without_supply {
            SupplyHint::Empty
        } else {
            SupplyHint::Available
        }
    }

    /// Starts a call.
    pub(super) fn call(&mut self, ask: AskPeer, asked_at: Instant) {
        let asked = self.asked.get_or_insert_default();
        let wanted = Wanted {
            want: self.want.clone(),
            ask,
            asked: Arc::clone(asked),
        };
        self.calls.push(PeerCall {
            asked_at,
            borrowing: self.overflow.borrow(wanted),
        });
    }

    /// Returns the next event for the engine. Cancel-safe.
    pub(super) async fn next_event(&mut self) -> PeerEvent {
        poll_fn(|context| match self.poll_calls(context) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => self.poll_supply(context),
        })
        .await
    }

    fn poll_calls(&mut self, context: &mut Context<'_>) -> Poll<PeerEvent> {
        let calls = self.calls.iter_mut().enumerate();
        let ended = calls.into_iter().find_map(|(index, call)| {
            match call.borrowing.as_mut().poll(context) {
                Poll::Ready(reply) => Some((index, reply)),
                Poll::Pending => None,
            }
        });
        match ended {
            Some((index, reply)) => {
                let asked_at = self.calls.swap_remove(index).asked_at;
                self.wait_for_more(&reply);
                Poll::Ready(PeerEvent::Replied { asked_at, reply })
            }
            None => Poll::Pending,
        }
    }

    /// If no peer had a proxy, waits until one reports another. Of those that report one even
    /// now it was tried.
    fn wait_for_more(&mut self, reply: &PeerReply) {
        let class = NatClass::of(self.want.nat);
        if matches!(reply, PeerReply::NoProxy | PeerReply::NotAsked) {
            self.is_without_supply = !self.overflow.has_supply(class, self.want.fingerprint);
        }
    }

    fn poll_supply(&mut self, context: &mut Context<'_>) -> Poll<PeerEvent> {
        if !self.is_without_supply {
            return Poll::Pending;
        }
        let (overflow, want) = (self.overflow, &self.want);
        let supplied = self
            .supplied
            .get_or_insert_with(|| overflow.supplied(NatClass::of(want.nat), want.fingerprint));
        std::task::ready!(supplied.as_mut().poll(context));
        self.supplied = None;
        self.is_without_supply = false;
        Poll::Ready(PeerEvent::Supplied)
    }
}

/// The state of a peer.
#[derive(Clone, Debug, Default)]
pub struct PeerStatus {
    /// The figures that the metrics show.
    pub figures: PeerFigures,
    /// True if our clients' offers may be sent to the peer.
    pub borrows: bool,
    /// The age of the peer's last report of its proxies; `None` without a report.
    pub supply_age: Option<Duration>,
    /// True if the peer reports that it is shutting down.
    pub is_draining: bool,
    /// The number of our offers that are waiting for the peer's answer.
    pub borrowing: usize,
    /// The recent average time of the peer's answers.
    pub latency: Option<Duration>,
    /// The last problem with the peer, without addresses.
    pub problem: Option<String>,
}
