//! Accounts of memory and of connections: every byte that waits for somebody, in
//! the head of a request, in its body, in a response that is not written yet,
//! belongs to the account of an address, and so does every connection.
//!
//! An address has its share of the memory ([`SHARES`]), and so have the networks
//! that it is in: nobody has all of it. Above the bound of all accounts together,
//! or above the high-water mark, the largest account pays: it loses its oldest
//! requests, and then the connections that idle.
//!
//! Only hashes of addresses are kept, under a key of this process, and each only
//! while something of it is held.

mod holder;
mod ledger;
mod payer;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::observer::DropCause;
use super::settings::Settings;

use holder::{Holder, HolderKey, HolderKind, HolderState};
use ledger::Ledger;
use payer::NetworkHasher;

pub use ledger::{AccountFigures, Bounds, NoRoom, SHARES};
pub use payer::Payer;

/// Bytes that a request costs whatever is in it: what the program keeps of each
/// that waits, measured with 50,000 parked polls over HTTP/2.
const REQUEST_COST: usize = 2 * 1024;

/// All accounts.
#[derive(Debug)]
pub struct Accounts {
    ledger: Mutex<Ledger>,
    exempt: ArcSwap<Vec<IpNet>>,
    hasher: NetworkHasher,
}

impl Accounts {
    /// Accounts in which nothing is held.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(Ledger::new(bounds)),
            exempt: ArcSwap::default(),
            hasher: NetworkHasher::default(),
        })
    }

    /// Replaces the bounds.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.ledger().set_bounds(bounds);
    }

    /// Replaces the networks that have no share of their own.
    pub fn set_exempt(&self, exempt: Vec<IpNet>) {
        self.exempt.store(Arc::new(exempt));
    }

    /// The memory and connections that are held.
    pub fn figures(&self) -> AccountFigures {
        self.ledger().figures()
    }

    /// Opens what a request holds, so many bytes at first.
    pub fn open(self: &Arc<Self>, payer: Payer, bytes: usize) -> Result<Reservation, NoRoom> {
        let reservation = self.hold(payer, HolderKind::Request, REQUEST_COST);
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Counts one more connection, which costs so many bytes by itself, if the
    /// settings let it be served.
    pub fn admit(
        self: &Arc<Self>,
        peer: impl Into<Payer>,
        settings: &Settings,
        cost: usize,
    ) -> Result<Reservation, DropCause> {
        let payer = self.payer(peer.into());
        let path = self.hasher.of(payer);
        self.ledger().admit(&path, settings, cost)?;
        Ok(self.hold(payer, HolderKind::Connection, cost))
    }

    fn hold(self: &Arc<Self>, payer: Payer, kind: HolderKind, cost: usize) -> Reservation {
        let path = self.hasher.of(self.payer(payer));
        let state = Arc::new(HolderState::default());
        let holder = Holder::new(path, kind, cost, Arc::clone(&state));
        Reservation {
            accounts: Arc::clone(self),
            key: self.ledger().open(holder),
            state,
        }
    }

    fn payer(&self, payer: Payer) -> Payer {
        match payer {
            Payer::Address(address) if self.is_exempt(address) => Payer::Many,
            payer => payer,
        }
    }

    /// Returns true if somebody at this address has no share of his own.
    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let exempt = self.exempt.load();
        exempt.iter().any(|net| net.contains(&address))
    }

    /// Each step leaves it whole, even if a holder of the lock panicked.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a request or a connection holds, given back by its drop.
#[derive(Debug)]
#[must_use = "dropped, the memory counts as free"]
pub struct Reservation {
    accounts: Arc<Accounts>,
    key: HolderKey,
    state: Arc<HolderState>,
}

impl Reservation {
    /// Takes so many bytes more, unless there is no room for them.
    pub fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        self.accounts.ledger().take(self.key, bytes)
    }

    /// Takes so many bytes more, which are there already.
    pub(super) fn grow_anyway(&self, bytes: usize) {
        self.accounts.ledger().add(self.key, bytes);
    }

    /// Gives so many bytes back.
    pub fn shrink(&self, bytes: usize) {
        self.accounts.ledger().give_back(self.key, bytes);
    }

    /// Gives back all but what a request costs that brings nothing.
    pub fn shrink_to_least(&self) {
        self.accounts.ledger().give_back(self.key, usize::MAX);
    }

    /// Returns once somebody else needs the memory more: it is to be dropped.
    pub async fn revoked(&self) {
        poll_fn(|context| {
            if self.state.is_revoked() {
                return Poll::Ready(());
            }
            self.state.waker.register(context.waker());
            if self.state.is_revoked() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Returns true if somebody else needs the memory more.
    pub fn is_revoked(&self) -> bool {
        self.state.is_revoked()
    }

    /// Takes back that it has to go: it is needed after all.
    pub(super) fn stay(&self) {
        self.accounts.ledger().stay(self.key);
    }

    /// The connection idles from now on, or does no more.
    pub fn set_idle(&self, is_idle: bool) {
        self.accounts.ledger().set_idle(self.key, is_idle);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.accounts.ledger().close(self.key);
    }
}

#[cfg(test)]
mod tests;
