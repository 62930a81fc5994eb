//! The way to peers, for clients for whom no proxy is here. The broker knows that
//! there is somebody to ask; who, and how, is for whoever implements [`Overflow`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::matching::{AskPeer, PeerReply, SupplyHint};
use crate::metrics::PeerFigures;
use crate::metrics::labels::{PeerName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

/// Other brokers that may have a proxy when this one has none.
pub trait Overflow: fmt::Debug + Send + Sync + 'static {
    /// Returns true if one of them says to have a proxy for such a client.
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool;

    /// Comes once one of them says so.
    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_>;

    /// Asks them, one after the other, for an answer to a client's offer, and none
    /// that was asked before. A future that is dropped takes the offer back.
    fn borrow(&self, wanted: Wanted) -> Borrowing<'_>;

    /// The state of each of them.
    fn peers(&self) -> Vec<PeerStatus>;
}

/// Comes when there is something to borrow.
pub type Supplied<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Comes to an answer, or not.
pub type Borrowing<'a> = Pin<Box<dyn Future<Output = PeerReply> + Send + 'a>>;

/// The needs of a client that peers can serve.
#[derive(Clone, Debug)]
pub struct PeerWant {
    /// The answer to this offer.
    pub offer: SessionDescription,
    /// The NAT that the client is behind.
    pub nat: NatType,
    /// The bridge that it wants.
    pub fingerprint: Fingerprint,
    /// The way by which it came.
    pub rendezvous: Rendezvous,
    /// The trace that it is in, for the peer's part of it (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// A client for whom peers are asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its needs.
    pub want: PeerWant,
    /// The number of the proxy that it is to get, and its times.
    pub ask: AskPeer,
    /// The peers that were asked for it.
    pub asked: Arc<Asked>,
}

/// The peers that were asked for one client.
#[derive(Debug, Default)]
pub struct Asked(Mutex<BTreeSet<PeerName>>);

impl Asked {
    /// Their names.
    pub fn names(&self) -> MutexGuard<'_, BTreeSet<PeerName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's calls to peers, and its wait for one of them to have a proxy.
/// Dropped, it breaks them off.
pub(super) struct PeerCalls<'a> {
    overflow: &'a dyn Overflow,
    want: PeerWant,
    asked: Option<Arc<Asked>>,
    calls: Vec<PeerCall<'a>>,
    /// True until a peer is known to have a proxy.
    is_without_supply: bool,
    supplied: Option<Supplied<'a>>,
}

/// A call that is under way.
struct PeerCall<'a> {
    asked_at: Instant,
    borrowing: Borrowing<'a>,
}

/// News from peers for one client.
pub(super) enum PeerEvent {
    /// One of them has a proxy.
    Supplied,
    /// Those that were asked at a time have replied.
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

    /// The proxies that peers said to have for the client when it came.
    pub(super) fn supply(&self) -> SupplyHint {
        if self.is_without_supply {
            SupplyHint::Empty
        } else {
            SupplyHint::Available
        }
    }

    /// Begins a call.
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

    /// The next thing to tell the engine. Nothing is lost when it is dropped.
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
                Poll::Ready(PeerEvent::Replied { asked_at, reply })
            }
            None => Poll::Pending,
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
    /// The figures that metrics show of it.
    pub figures: PeerFigures,
    /// True if it may be asked.
    pub borrows: bool,
    /// The age of its last word on what it has; `None` without one.
    pub supply_age: Option<Duration>,
    /// True if it says that it is about to stop.
    pub is_draining: bool,
    /// The number of our offers that wait for its answer.
    pub borrowing: usize,
    /// The time that its answers take, on average of late.
    pub latency: Option<Duration>,
    /// The last thing that went wrong with it, without addresses.
    pub problem: Option<String>,
}
