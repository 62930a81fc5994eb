//! Loans: their terms, what borrowers ask for and get, and their accounts.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Instant;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::metrics::labels::{LoanOutcome, LoanRefusal, PeerName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

use super::clock;

/// The terms of all borrowers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lending {
    /// The number of proxies of each pool that are kept for own clients.
    pub reserve: usize,
    /// By borrower.
    pub terms: BTreeMap<PeerName, Terms>,
}

/// The terms of one borrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// True if it gets anything.
    pub lends: bool,
    /// The number of its offers that may wait for an answer.
    pub max_in_flight: usize,
    /// The number of offers that it may send a second, in the long run; as many may come
    /// at once.
    pub max_per_second: NonZeroU32,
}

/// A client of another broker.
#[derive(Clone, Debug)]
pub struct LoanRequest {
    /// Its offer.
    pub offer: SessionDescription,
    /// The NAT that it is behind.
    pub nat: NatType,
    /// The bridge it wants.
    pub fingerprint: Fingerprint,
    /// The way by which it came to its broker; `None` if that does not say.
    pub rendezvous: Option<Rendezvous>,
    /// The how many-th proxy it is to get, from 1 on.
    pub attempt: usize,
    /// The time at which its broker's request arrived here.
    pub arrived: Instant,
    /// Until when its broker waits.
    pub deadline: Instant,
    /// The trace that it is in (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// The reason why a borrower gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLent {
    /// No proxy waits beyond the reserve.
    NoProxies,
    /// It was handed to a proxy, and none has answered in time.
    TimedOut,
    /// It was not taken.
    Refused(LoanRefusal),
}

/// The proxies that a borrower can have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Proxies.
    Lending {
        /// So many by pool.
        proxies: [usize; NatClass::ALL.len()],
        /// The number of its offers that were taken until now. It counts each of them as
        /// a proxy less until it is told anew, even if there are as many again.
        loans: u64,
    },
    /// Nothing: the broker is about to stop.
    Draining,
    /// Nothing: it is not lent to.
    NotLending,
}

/// The terms in force, and what each borrower has.
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
    rate: RateLimiter<NotKeyed, InMemoryState, SinceStart>,
}

impl Lenders {
    /// Puts other terms in force. What a borrower has it keeps.
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

    /// Takes one more offer of a borrower; returns the reserve.
    pub(super) fn take(&mut self, borrower: &PeerName) -> Result<usize, LoanRefusal> {
        let account = self.accounts.get_mut(borrower);
        let account = account
            .filter(|account| account.terms.lends)
            .ok_or(LoanRefusal::NotLending)?;
        if account.in_flight >= account.terms.max_in_flight {
            return Err(LoanRefusal::TooManyInFlight);
        }
        if account.rate.check().is_err() {
            return Err(LoanRefusal::OverRate);
        }
        account.in_flight += 1;
        account.loans += 1;
        Ok(self.reserve)
    }

    /// The borrower's account, if it gets anything at all.
    pub(super) fn account(&self, borrower: &PeerName) -> Option<&BorrowerAccount> {
        let account = self.accounts.get(borrower)?;
        account.terms.lends.then_some(account)
    }

    pub(super) fn give_back(&mut self, borrower: &PeerName) {
        if let Some(account) = self.accounts.get_mut(borrower) {
            account.in_flight = account.in_flight.saturating_sub(1);
        }
    }
}

impl BorrowerAccount {
    fn new(terms: Terms) -> Self {
        let quota = Quota::per_second(terms.max_per_second);
        Self {
            terms,
            in_flight: 0,
            loans: 0,
            rate: RateLimiter::direct_with_clock(quota, SinceStart(clock::now())),
        }
    }
}

/// The broker's clock, as governor reads it: counted from then on.
#[derive(Clone, Copy, Debug)]
struct SinceStart(Instant);

impl governor::clock::Clock for SinceStart {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        clock::now().saturating_duration_since(self.0).into()
    }
}

impl NotLent {
    pub(super) fn outcome(self) -> LoanOutcome {
        match self {
            Self::NoProxies => LoanOutcome::NoProxies,
            Self::TimedOut => LoanOutcome::TimedOut,
            Self::Refused(_) => LoanOutcome::Refused,
        }
    }
}
