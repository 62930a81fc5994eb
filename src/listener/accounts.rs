//! Accounts of memory and connections. Every buffered byte, whether of a request's head,
//! its body or an unwritten response, belongs to the account of an address, and so does
//! every connection.
//!
//! An address has a share of the memory ([`SHARES`]), and so do the networks around it,
//! so that nobody can use all of it. When all accounts together exceed their bound or the
//! high-water mark, the largest account pays: it loses its oldest requests first, then
//! its idle connections.
//!
//! Only hashes of addresses are kept, under a key of this process, and only while the
//! account holds something.

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

/// The fixed cost of a request in bytes: the memory that the program uses for each
/// waiting request, measured with 50,000 parked polls over HTTP/2.
const REQUEST_COST: usize = 2 * 1024;

/// All accounts.
#[derive(Debug)]
pub struct Accounts {
    ledger: Mutex<Ledger>,
    exempt: ArcSwap<Vec<IpNet>>,
    hasher: NetworkHasher,
}

impl Accounts {
    /// Empty accounts.
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

    /// Replaces the networks without a share of their own.
    pub fn set_exempt(&self, exempt: Vec<IpNet>) {
        self.exempt.store(Arc::new(exempt));
    }

    /// The memory and connections in use.
    pub fn figures(&self) -> AccountFigures {
        self.ledger().figures()
    }

    /// Opens a reservation for a request, with `bytes` in addition to its fixed cost.
    pub fn open(self: &Arc<Self>, payer: Payer, bytes: usize) -> Result<Reservation, NoRoom> {
        let reservation = self.hold(payer, HolderKind::Request, REQUEST_COST);
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Counts one more connection, with its fixed cost, if the settings allow it.
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

    /// Returns true if the address has no share of its own.
    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let exempt = self.exempt.load();
        exempt.iter().any(|net| net.contains(&address))
    }

    /// The ledger is consistent even if a thread panicked while holding the lock.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that a request or a connection holds, released on drop.
#[derive(Debug)]
#[must_use = "dropped, the memory counts as free"]
pub struct Reservation {
    accounts: Arc<Accounts>,
    key: HolderKey,
    state: Arc<HolderState>,
}

impl Reservation {
    /// Takes `bytes` more, if there is room.
    pub fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        self.accounts.ledger().take(self.key, bytes)
    }

    /// Takes `bytes` more, even without room, since they already exist.
    pub(super) fn grow_anyway(&self, bytes: usize) {
        self.accounts.ledger().add(self.key, bytes);
    }

    /// Releases `bytes`.
    pub fn shrink(&self, bytes: usize) {
        self.accounts.ledger().give_back(self.key, bytes);
    }

    /// Releases everything except the fixed cost of a request.
    pub fn shrink_to_least(&self) {
        self.accounts.ledger().give_back(self.key, usize::MAX);
    }

    /// Returns when others need the memory more. The reservation must then be dropped.
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

    /// Returns true if others need the memory more.
    pub fn is_revoked(&self) -> bool {
        self.state.is_revoked()
    }

    /// Withdraws the revocation: the connection is needed after all.
    pub(super) fn stay(&self) {
        self.accounts.ledger().stay(self.key);
    }

    /// Notes that the connection has become idle or busy.
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
