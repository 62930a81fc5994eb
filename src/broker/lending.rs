//! Lends our proxies to clients of other brokers.
//!
//! Only proxies beyond the reserve are lent, and only within the borrower's terms. The
//! offer is never passed on. Lender and borrower count it separately; the metrics log
//! counts a client only at the broker that it polled.

use std::ptr;
use std::sync::{Arc, PoisonError};

use futures_util::future::OptionFuture;
use tokio::sync::futures::Notified;

use crate::matching::{Borrower, ClientOffer, ClientReply, Denied, ServiceStage};
use crate::metrics::labels::{ClientOutcome, LoanOutcome, LoanRefusal, PeerName, PrivatePoolName};
use crate::policy::ClientFacts;
use crate::wire::candidates;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

use super::Broker;
use super::clock;
use super::directory::Directory;
use super::loan::{Lenders, LoanRequest, NotLent, Supply};
use super::lock::MutexGuard;
use super::trace::ClientTrace;

/// A borrower's offer in progress. If it is dropped without an outcome, it counts as
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

impl Broker {
    /// The proxies that a borrower can have now.
    pub fn supply_for(&self, borrower: &PeerName) -> Supply {
        let lenders = self.lenders();
        let Some(loans) = lenders.account(borrower).map(|account| account.loans) else {
            return Supply::NotLending;
        };
        let reserve = lenders.reserve;
        let shared = lenders.shared_with(borrower);
        drop(lenders);
        let private_pools = self.private_pools.as_ref();
        let private_pools =
            private_pools.map_or_else(Vec::new, |pools| pools.supplies_of(shared.iter()));
        if self.stage() != ServiceStage::Serving {
            return Supply::Draining;
        }
        let proxies = self.parked_beyond(reserve);
        Supply::Lending {
            proxies,
            private_pools,
            loans,
        }
    }

    /// The proxies beyond a reserve that other nodes of the cluster can have now; `None` if
    /// this broker is about to stop.
    pub fn supply_beyond(&self, reserve: usize) -> Option<[usize; NatClass::ALL.len()]> {
        let serves = self.stage() == ServiceStage::Serving;
        serves.then(|| self.parked_beyond(reserve))
    }

    fn parked_beyond(&self, reserve: usize) -> [usize; NatClass::ALL.len()] {
        let state = self.lock();
        NatClass::ALL.map(|pool| state.matcher.parked_beyond(reserve, pool))
    }

    /// Completes when the result of [`Self::supply_beyond`] may have changed since this call.
    pub fn supply_changed(&self) -> Notified<'_> {
        self.stepped.notified()
    }

    /// Completes when the result of [`Self::supply_for`], or the supply of this broker or of a
    /// private pool, may have changed since this call.
    pub fn any_supply_changed(&self) -> impl Future<Output = ()> + Send + '_ {
        let here = self.supply_changed();
        let private_pools = self.private_pools.as_ref();
        let in_pools = private_pools.map(|pools| pools.supply_changed());
        async move {
            tokio::select! {
                () = here => {}
                Some(()) = OptionFuture::from(in_pools) => {}
            }
        }
    }

    /// Finds a proxy for a peer's client and waits for its answer; for a client of a private
    /// pool one of that pool. No other broker is asked.
    pub async fn lend(
        &self,
        borrower: &PeerName,
        private_pool: Option<&PrivatePoolName>,
        request: LoanRequest,
    ) -> Result<SessionDescription, NotLent> {
        let Some(name) = private_pool else {
            return self.lend_from(self, borrower, request).await;
        };
        let is_shared = self.lenders().shared_with(borrower).contains(name);
        let private_pools = self.private_pools.as_ref().filter(|_| is_shared);
        let pool = private_pools.and_then(|pools| pools.named(name, clock::wall_clock()));
        let Some(pool) = pool else {
            self.metrics.lent(borrower, LoanOutcome::NoProxies);
            return Err(NotLent::NoProxies);
        };
        self.lend_from(&pool.broker, borrower, request).await
    }

    /// Lends a proxy of another broker of this process, or of this one, which has the
    /// borrowers' accounts.
    async fn lend_from(
        &self,
        lender: &Self,
        borrower: &PeerName,
        request: LoanRequest,
    ) -> Result<SessionDescription, NotLent> {
        let directory = lender.directory.load_full();
        // A bridge that takes no new clients is as good as none for the borrower.
        let relay_url = lender
            .choose_relay(&directory, request.fingerprint)
            .map_err(|_| self.refuse_loan(borrower, LoanRefusal::UnknownBridge))?;
        let taken = self.lenders().take(borrower);
        let reserve = taken.map_err(|reason| self.refuse_loan(borrower, reason))?;
        let mut loan = Loan {
            broker: self,
            borrower,
            outcome: LoanOutcome::Cancelled,
        };
        // A private pool may have few proxies, and its clients come to any of the brokers.
        let reserve = if ptr::eq(lender, self) { reserve } else { 0 };
        let lent = lender
            .match_borrower(&directory, &request, relay_url, reserve)
            .await;
        loan.outcome = match lent {
            Ok(_) => LoanOutcome::Answered,
            Err(not_lent) => not_lent.outcome(),
        };
        if let Err(NotLent::Refused(reason)) = lent {
            self.metrics.lending_refused(borrower, reason);
        }
        lent
    }

    /// Finds a proxy beyond the reserve for the client of another node of the cluster, and
    /// waits for its answer. If there is none, the future is ready at once.
    pub async fn lend_to_node(
        &self,
        request: LoanRequest,
        reserve: usize,
    ) -> Result<SessionDescription, NotLent> {
        let directory = self.directory.load_full();
        let relay_url = self
            .choose_relay(&directory, request.fingerprint)
            .map_err(|_| NotLent::Refused(LoanRefusal::UnknownBridge))?;
        self.match_borrower(&directory, &request, relay_url, reserve)
            .await
    }

    /// Counts a borrower's request that is not accepted as an offer.
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
        directory: &Directory,
        request: &LoanRequest,
        relay_url: Arc<str>,
        reserve: usize,
    ) -> Result<SessionDescription, NotLent> {
        let trace = ClientTrace::lent(self.tracer.as_ref(), request);
        let borrower = Borrower {
            deadline: request.deadline,
            attempt: request.attempt,
            reserve,
        };
        // A peer does not say whose client it is.
        let address = candidates::public_address(&request.offer);
        let facts = ClientFacts {
            whereabouts: directory.whereabouts_by_rules(address),
            nat: request.nat,
            rendezvous: request.rendezvous,
        };
        let (key, messages) = self.step(|state, now| {
            let offer = ClientOffer {
                offer: request.offer.clone(),
                nat: request.nat,
                relay_url,
                // It is never queued.
                network: None,
                marks: state.marks_of(now, &directory.policy, &facts),
            };
            state.add_client(now, offer, None, trace.timeline(), |matcher, offer| {
                matcher.handle_borrower(now, borrower, offer)
            })
        });
        let (outcome, lent) = match self.client_reply(key, messages, None).await {
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

    /// The lock, even if a holder panicked: the accounts are consistent at any time.
    pub(super) fn lenders(&self) -> MutexGuard<'_, Lenders> {
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
