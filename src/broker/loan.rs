//! Loans: their terms, requests, outcomes and accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::metrics::labels::{LoanOutcome, LoanRefusal, PeerName, PrivatePoolName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

use super::rate::EventRate;

/// The terms of all borrowers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lending {
    /// The number of proxies in each pool that are reserved for our own clients.
    pub reserve: usize,
    /// The terms, by borrower.
    pub terms: BTreeMap<PeerName, Terms>,
}

/// The terms of one borrower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// True if the borrower may borrow at all.
    pub lends: bool,
    /// Maximum number of its offers that are waiting for an answer.
    pub max_in_flight: usize,
    /// Maximum number of offers a second, in the long run; the same number may come at
    /// once.
    pub max_per_second: NonZeroU32,
    /// The private pools whose proxies are lent to their clients at the borrower.
    pub private_pools: Arc<BTreeSet<PrivatePoolName>>,
}

/// A peer's client.
#[derive(Clone, Debug)]
pub struct LoanRequest {
    /// The client's offer.
    pub offer: SessionDescription,
    /// The client's NAT.
    pub nat: NatType,
    /// The bridge that the client wants.
    pub fingerprint: Fingerprint,
    /// The client's rendezvous method at its broker; `None` if the broker does not say.
    pub rendezvous: Option<Rendezvous>,
    /// The number of the attempt, counted from 1.
    pub attempt: usize,
    /// The time at which the borrower's request arrived here.
    pub arrived: Instant,
    /// The time until which the borrower waits.
    pub deadline: Instant,
    /// The client's trace (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// The reason why a borrower gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLent {
    /// No proxy is idle beyond the reserve.
    NoProxies,
    /// A proxy had the offer, but none answered in time.
    TimedOut,
    /// The offer was refused.
    Refused(LoanRefusal),
}

/// The proxies that a borrower can have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Proxies can be lent.
    Lending {
        /// The number of proxies, by pool.
        proxies: [usize; NatClass::ALL.len()],
        /// The same for each private pool that is shared with the borrower and has any.
        private_pools: Vec<(PrivatePoolName, [usize; NatClass::ALL.len()])>,
        /// The number of the borrower's offers taken so far. The borrower counts each
        /// offer since then as one proxy less until the next update, even if there are as
        /// many again.
        loans: u64,
    },
    /// No proxies, because the broker is shutting down.
    Draining,
    /// No proxies, because this borrower may not borrow.
    NotLending,
}

/// The current terms, and the account of each borrower.
#[derive(Debug, Default)]
pub(super) struct Lenders {
    pub(super) reserve: usize,
    pub(super) accounts: BTreeMap<PeerName, BorrowerAccount>,
}

/// The account of one borrower.
#[derive(Debug)]
pub(super) struct BorrowerAccount {
    pub(super) terms: Terms,
    pub(super) in_flight: usize,
    pub(super) loans: u64,
    rate: EventRate,
}

impl Lenders {
    /// Replaces the terms. Offers already taken continue.
    pub(super) fn set(&mut self, lending: Lending) {
        self.reserve = lending.reserve;
        let mut before = std::mem::take(&mut self.accounts);
        for (name, terms) in lending.terms {
            let account = match before.remove(&name) {
                Some(account) if account.terms == terms => account,
                Some(account) => BorrowerAccount {
                    in_flight: account.in_flight,
                    loans: account.loans,
                    ..BorrowerAccount::new(terms)
                },
                None => BorrowerAccount::new(terms),
            };
            self.accounts.insert(name, account);
        }
    }

    /// Takes one more offer from a borrower. Returns the reserve.
    pub(super) fn take(&mut self, borrower: &PeerName) -> Result<usize, LoanRefusal> {
        let account = self.accounts.get_mut(borrower);
        let account = account
            .filter(|account| account.terms.lends)
            .ok_or(LoanRefusal::NotLending)?;
        if account.in_flight >= account.terms.max_in_flight {
            return Err(LoanRefusal::TooManyInFlight);
        }
        if !account.rate.admits() {
            return Err(LoanRefusal::OverRate);
        }
        account.in_flight += 1;
        account.loans += 1;
        Ok(self.reserve)
    }

    /// The borrower's account, if it may borrow at all.
    pub(super) fn account(&self, borrower: &PeerName) -> Option<&BorrowerAccount> {
        let account = self.accounts.get(borrower)?;
        account.terms.lends.then_some(account)
    }

    /// The private pools whose clients at the borrower may borrow.
    pub(super) fn shared_with(&self, borrower: &PeerName) -> Arc<BTreeSet<PrivatePoolName>> {
        let account = self.account(borrower);
        account.map_or_else(Arc::default, |account| {
            Arc::clone(&account.terms.private_pools)
        })
    }

    pub(super) fn give_back(&mut self, borrower: &PeerName) {
        if let Some(account) = self.accounts.get_mut(borrower) {
            account.in_flight = account.in_flight.saturating_sub(1);
        }
    }
}

impl BorrowerAccount {
    fn new(terms: Terms) -> Self {
        Self {
            rate: EventRate::per_second(terms.max_per_second),
            terms,
            in_flight: 0,
            loans: 0,
        }
    }
}

impl NotLent {
    /// The same, as it is counted.
    pub fn outcome(self) -> LoanOutcome {
        match self {
            Self::NoProxies => LoanOutcome::NoProxies,
            Self::TimedOut => LoanOutcome::TimedOut,
            Self::Refused(_) => LoanOutcome::Refused,
        }
    }
}
