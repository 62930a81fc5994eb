//! Proxies of ours for clients of other brokers.
//!
//! A lent proxy is one beyond the reserve, and for whoever asks in its terms. The
//! offer is never passed on, and is counted by lender and borrower apart: the
//! metrics log knows a client at the broker that it asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::futures::Notified;

use crate::matching::{Borrower, ClientOffer, ClientReply, Denied, Stage};
use crate::metrics::labels::{ClientOutcome, LoanOutcome, LoanRefusal, PeerName, Rendezvous};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

use super::trace::ClientTrace;
use super::waiters::{Guard, Waiter};
use super::{Broker, clock};

/// To whom proxies are lent, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lending {
    /// How many proxies of each pool are kept for own clients.
    pub reserve: usize,
    /// By borrower.
    pub terms: BTreeMap<PeerName, Terms>,
}

/// What one borrower may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether it gets anything.
    pub lends: bool,
    /// How many of its offers may wait for an answer.
    pub max_in_flight: usize,
    /// How many offers it may send a second, in the long run; as many may come
    /// at once.
    pub max_per_second: NonZeroU32,
}

/// A client of another broker.
#[derive(Clone, Debug)]
pub struct LoanRequest {
    /// Its offer.
    pub offer: SessionDescription,
    /// How it can be reached.
    pub nat: NatType,
    /// The bridge it wants.
    pub fingerprint: Fingerprint,
    /// By which way it came to its broker; `None` if that does not say.
    pub rendezvous: Option<Rendezvous>,
    /// The how many-th proxy it is to get, from 1 on.
    pub attempt: usize,
    /// When its broker's request arrived here.
    pub arrived: Instant,
    /// Until when its broker waits.
    pub deadline: Instant,
    /// The trace that it is in (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// Why a borrower gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLent {
    /// No proxy waits beyond the reserve.
    NoProxies,
    /// It was handed to a proxy, and none has answered in time.
    TimedOut,
    /// It was not taken.
    Refused(LoanRefusal),
}

/// What a borrower can have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Proxies.
    Lending {
        /// So many by pool.
        proxies: [usize; NatClass::ALL.len()],
        /// How many of its offers were taken until now. It counts each of them as
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
    reserve: usize,
    accounts: BTreeMap<PeerName, Account>,
}

#[derive(Debug)]
struct Account {
    terms: Terms,
    in_flight: usize,
    loans: u64,
    rate: RateLimiter<NotKeyed, InMemoryState, SinceStart>,
}

impl Lenders {
    /// Puts other terms in force. What a borrower has it keeps.
    fn set(&mut self, lending: Lending) {
        self.reserve = lending.reserve;
        let mut before = std::mem::take(&mut self.accounts);
        for (name, terms) in lending.terms {
            let account = match before.remove(&name) {
                Some(account) if account.terms == terms => account,
                Some(account) => Account {
                    in_flight: account.in_flight,
                    loans: account.loans,
                    ..Account::new(terms)
                },
                None => Account::new(terms),
            };
            self.accounts.insert(name, account);
        }
    }

    /// Takes one more offer of a borrower; returns the reserve.
    fn take(&mut self, borrower: &PeerName) -> Result<usize, LoanRefusal> {
        let account = self.accounts.get_mut(borrower);
        let account = account.filter(|account| account.terms.lends);
        let account = account.ok_or(LoanRefusal::NotLending)?;
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
    fn account(&self, borrower: &PeerName) -> Option<&Account> {
        let account = self.accounts.get(borrower)?;
        account.terms.lends.then_some(account)
    }

    fn give_back(&mut self, borrower: &PeerName) {
        if let Some(account) = self.accounts.get_mut(borrower) {
            account.in_flight = account.in_flight.saturating_sub(1);
        }
    }
}

impl Account {
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

/// An offer of a borrower while it lasts. Dropped without an outcome, it was
/// cancelled.
struct Loan<'a> {
    broker: &'a Broker,
    borrower: &'a PeerName,
    outcome: LoanOutcome,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.broker.lenders().give_back(self.borrower);
        self.broker.metrics.lent(self.borrower, self.outcome);
    }
}

impl NotLent {
    fn outcome(self) -> LoanOutcome {
        match self {
            Self::NoProxies => LoanOutcome::NoProxies,
            Self::TimedOut => LoanOutcome::TimedOut,
            Self::Refused(_) => LoanOutcome::Refused,
        }
    }
}

impl Broker {
    /// Puts other terms in force. What a borrower has it keeps.
    pub fn set_lending(&self, lending: Lending) {
        for borrower in lending.terms.keys() {
            self.metrics.peer_configured(borrower);
        }
        self.lenders().set(lending);
        self.stepped.notify_waiters();
    }

    /// The terms of each borrower, and how many of its offers wait for an answer.
    pub fn borrowers(&self) -> BTreeMap<PeerName, (Terms, usize)> {
        let lenders = self.lenders();
        let accounts = lenders.accounts.iter();
        accounts
            .map(|(name, account)| (name.clone(), (account.terms, account.in_flight)))
            .collect()
    }

    /// What a borrower can have now.
    pub fn supply_for(&self, borrower: &PeerName) -> Supply {
        let lenders = self.lenders();
        let Some(loans) = lenders.account(borrower).map(|account| account.loans) else {
            return Supply::NotLending;
        };
        let reserve = lenders.reserve;
        drop(lenders);
        if self.stage() != Stage::Serving {
            return Supply::Draining;
        }
        let state = self.lock();
        let proxies = NatClass::ALL.map(|pool| state.matcher.parked_beyond(reserve, pool));
        Supply::Lending { proxies, loans }
    }

    /// Comes when something happens that [`Self::supply_for`] may tell, from now
    /// on.
    pub fn supply_changed(&self) -> Notified<'_> {
        self.stepped.notified()
    }

    /// Finds a proxy for a client of another broker, and waits for its answer.
    /// Nobody else is asked.
    pub async fn lend(
        &self,
        borrower: &PeerName,
        request: LoanRequest,
    ) -> Result<SessionDescription, NotLent> {
        let relay_url = self.knowledge.load().bridges.relay_url(request.fingerprint);
        let Some(relay_url) = relay_url else {
            return Err(self.refuse_loan(borrower, LoanRefusal::UnknownBridge));
        };
        let taken = self.lenders().take(borrower);
        let reserve = taken.map_err(|reason| self.refuse_loan(borrower, reason))?;
        let mut loan = Loan {
            broker: self,
            borrower,
            outcome: LoanOutcome::Cancelled,
        };
        let offer = ClientOffer {
            offer: request.offer.clone(),
            nat: request.nat,
            relay_url,
        };
        let lent = self.match_borrower(&request, offer, reserve).await;
        loan.outcome = match lent {
            Ok(_) => LoanOutcome::Answered,
            Err(not_lent) => not_lent.outcome(),
        };
        if let Err(NotLent::Refused(reason)) = lent {
            self.metrics.lending_refused(borrower, reason);
        }
        lent
    }

    /// A borrower's request that is not taken for an offer.
    pub fn bad_loan_request(&self, borrower: &PeerName) {
        self.refuse_loan(borrower, LoanRefusal::Malformed);
    }

    fn refuse_loan(&self, borrower: &PeerName, reason: LoanRefusal) -> NotLent {
        self.metrics.lent(borrower, LoanOutcome::Refused);
        self.metrics.lending_refused(borrower, reason);
        NotLent::Refused(reason)
    }

    async fn match_borrower(
        &self,
        request: &LoanRequest,
        offer: ClientOffer,
        reserve: usize,
    ) -> Result<SessionDescription, NotLent> {
        let trace = ClientTrace::lent(self.tracer.as_ref(), request);
        let borrower = Borrower {
            deadline: request.deadline,
            attempt: request.attempt,
            reserve,
        };
        let (key, mut receivers) = self.step(|state, now| {
            state.add_client(now, offer, trace.timeline(), |matcher, offer| {
                matcher.handle_borrower(now, borrower, offer)
            })
        });
        let mut guard = Guard::new(self, Waiter::Client(key));
        let reply = guard.reply(&mut receivers.reply).await;
        let (outcome, lent) = match reply {
            Some(ClientReply::Answer(answered)) => (ClientOutcome::Matched, Ok(answered.answer)),
            Some(ClientReply::TimedOut) => (ClientOutcome::TimedOut, Err(NotLent::TimedOut)),
            Some(ClientReply::Denied(reason)) => (ClientOutcome::Denied, Err(not_lent(reason))),
            None => (
                ClientOutcome::Denied,
                Err(NotLent::Refused(LoanRefusal::Draining)),
            ),
        };
        trace.end(outcome);
        lent
    }

    /// Accounts are whole at any time, even if a holder of the lock panicked.
    fn lenders(&self) -> MutexGuard<'_, Lenders> {
        self.lenders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_lent(reason: Denied) -> NotLent {
    match reason {
        Denied::NoneToLend | Denied::NoProxy | Denied::QueueFull => NotLent::NoProxies,
        Denied::Overloaded => NotLent::Refused(LoanRefusal::Overloaded),
        Denied::NoTimeLeft => NotLent::Refused(LoanRefusal::NoTimeLeft),
        Denied::Draining => NotLent::Refused(LoanRefusal::Draining),
    }
}
