//! Where clients are sent for whom no proxy is here: to other brokers. The broker
//! knows that there is somebody to ask; who, and how, is for whoever implements
//! [`Overflow`].

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::PeerFigures;
use crate::metrics::labels::{PeerName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

/// Other brokers that may have a proxy when this one has none.
pub trait Overflow: fmt::Debug + Send + Sync + 'static {
    /// Whether one of them says to have a proxy for such a client.
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool;

    /// Comes once one of them says so.
    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_>;

    /// Asks them, one after the other, for an answer to a client's offer, and none
    /// that was asked before. A future that is dropped takes the offer back.
    fn borrow<'a>(&'a self, wanted: &'a Wanted) -> Borrowing<'a>;

    /// What is known of each of them.
    fn peers(&self) -> Vec<PeerStatus>;
}

/// Comes when there is something to borrow.
pub type Supplied<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Comes to an answer, or not.
pub type Borrowing<'a> = Pin<Box<dyn Future<Output = Result<Borrowed, NotBorrowed>> + Send + 'a>>;

/// A client for whom other brokers are asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its offer.
    pub offer: SessionDescription,
    /// How it can be reached.
    pub nat: NatType,
    /// The bridge it wants.
    pub fingerprint: Fingerprint,
    /// By which way it came.
    pub rendezvous: Rendezvous,
    /// The how many-th proxy it is to get, from 1 on.
    pub attempt: usize,
    /// Until when an answer is of use to it.
    pub deadline: Instant,
    /// Until when a proxy that gets its offer still has time to answer.
    pub last_call: Instant,
    /// The trace that it is in, for the peer's part of it (W3C Trace Context).
    pub traceparent: Option<String>,
    /// Who was asked for it.
    pub asked: Arc<Asked>,
}

/// The other brokers that were asked for one client.
#[derive(Debug, Default)]
pub struct Asked(Mutex<BTreeSet<PeerName>>);

impl Asked {
    /// Their names.
    pub fn names(&self) -> MutexGuard<'_, BTreeSet<PeerName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of another broker's proxy.
#[derive(Clone, Debug)]
pub struct Borrowed {
    /// The answer.
    pub answer: SessionDescription,
    /// How long the broker took that had it.
    pub since_asked: Duration,
}

/// There is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBorrowed {
    /// True if anybody was asked.
    pub was_asked: bool,
    /// Whether a proxy may have had the offer.
    pub was_offered: bool,
}

impl NotBorrowed {
    /// What is true of two searches for the same client.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            was_asked: self.was_asked || other.was_asked,
            was_offered: self.was_offered || other.was_offered,
        }
    }
}

/// What is known of another broker.
#[derive(Clone, Debug, Default)]
pub struct PeerStatus {
    /// What metrics show of it.
    pub figures: PeerFigures,
    /// Whether it may be asked.
    pub borrows: bool,
    /// How old its last word on what it has is; `None` without one.
    pub supply_age: Option<Duration>,
    /// Whether it says that it is about to stop.
    pub is_draining: bool,
    /// How many of our offers wait for its answer.
    pub borrowing: usize,
    /// How long its answers take, on average of late.
    pub latency: Option<Duration>,
    /// What went wrong with it last, without addresses.
    pub problem: Option<String>,
}
