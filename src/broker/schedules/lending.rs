//! The same for clients of a broker that borrows the proxies of another one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::broker::clock;
use crate::broker::loan::{Lending, LoanRequest, NotLent, Terms};
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted, once_supplied};
use crate::matching::PeerReply;
use crate::metrics::labels::{PeerName, PrivatePoolName};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::*;

/// The offers that may wait at the lender, fewer than there are clients.
const MOST_LOANS: usize = 2;

/// A broker that lends, as its borrower sees it.
#[derive(Debug)]
struct LendingPeer {
    broker: Arc<Broker>,
    borrower: PeerName,
}

impl Overflow for LendingPeer {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        self.broker.can_spare(0, class, fingerprint)
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        let has_supply = move || self.has_supply(class, fingerprint);
        Box::pin(once_supplied(&self.broker.stepped, has_supply))
    }

    fn borrow(&self, wanted: Wanted) -> Borrowing<'_> {
        Box::pin(async move {
            let asked_at = clock::now();
            let request = LoanRequest {
                offer: wanted.want.offer,
                nat: wanted.want.nat,
                fingerprint: wanted.want.fingerprint,
                rendezvous: None,
                attempt: wanted.ask.attempt,
                arrived: asked_at,
                deadline: wanted.ask.deadline,
                traceparent: None,
            };
            match self.broker.lend(&self.borrower, None, request).await {
                Ok(answer) => PeerReply::Answered {
                    answer,
                    since_asked: clock::now() - asked_at,
                },
                Err(NotLent::TimedOut) => PeerReply::Unanswered,
                Err(NotLent::NoProxies) => PeerReply::NoProxy,
                Err(NotLent::Refused(_)) => PeerReply::NotAsked,
            }
        })
    }

    fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    fn for_private_pool(&self, _: &PrivatePoolName) -> Option<Arc<dyn Overflow>> {
        None
    }
}

#[test]
fn loans_end_with_their_clients() {
    let all_loans = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&all_loans);
    explore(move || {
        let borrower = PeerName::from("borrower");
        let lender = Arc::new(lending_to(&borrower));
        let peer = LendingPeer {
            broker: Arc::clone(&lender),
            borrower: borrower.clone(),
        };
        let broker = Arc::new(broker().overflowing(Some(Arc::new(peer))));
        let run = run(&broker, &[&broker, &lender, &lender]);
        assert!(run.count(Fate::Answered) <= run.taken, "{:?}", run.fates);
        let accounts = lender.lenders();
        let account = accounts.account(&borrower).unwrap();
        assert_eq!(account.in_flight, 0, "{:?}", run.fates);
        seen.fetch_add(usize::try_from(account.loans).unwrap(), Ordering::SeqCst);
        drop(accounts);
        check_empty(&[&broker, &lender]);
        run.fates
    });
    let loans = all_loans.load(Ordering::SeqCst);
    assert!(loans > RUNS, "{loans} loans");
}

fn lending_to(borrower: &PeerName) -> Broker {
    let lender = broker();
    let terms = Terms {
        lends: true,
        max_in_flight: MOST_LOANS,
        max_per_second: NonZeroU32::MAX,
        private_pools: Arc::default(),
    };
    lender.control().set_lending(Lending {
        reserve: 0,
        terms: BTreeMap::from([(borrower.clone(), terms)]),
    });
    lender
}
