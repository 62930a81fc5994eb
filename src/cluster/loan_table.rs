//! The offers of other nodes that are remembered.

use std::collections::HashMap;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::metrics::labels::{DroppedMessage, PeerName};

use super::members::Sender;

/// The maximum number of offers that are remembered.
const LOANS_MAX: usize = 10_000;

/// The offers that other nodes have sent. Each is remembered until its deadline, so that a
/// doubled message is known.
#[derive(Debug, Default)]
pub(super) struct NodeLoans(HashMap<LoanKey, RememberedLoan>);

/// One offer of a process of a node.
pub(super) type LoanKey = (PeerName, u64, u64);

#[derive(Debug)]
struct RememberedLoan {
    until: Instant,
    cancelled: CancellationToken,
}

impl NodeLoans {
    /// Remembers an offer, unless that is not possible.
    pub(super) fn begin(
        &mut self,
        key: LoanKey,
        until: Instant,
    ) -> Result<CancellationToken, DroppedMessage> {
        if self.0.contains_key(&key) {
            return Err(DroppedMessage::Repeated);
        }
        if self.0.len() >= LOANS_MAX {
            return Err(DroppedMessage::Overloaded);
        }
        let cancelled = CancellationToken::new();
        let remembered = RememberedLoan {
            until,
            cancelled: cancelled.clone(),
        };
        self.0.insert(key, remembered);
        Ok(cancelled)
    }

    /// Withdraws an offer.
    pub(super) fn cancel(&self, sender: Sender<'_>, id: u64) {
        let key = (PeerName::from(sender.node), sender.incarnation, id);
        if let Some(loan) = self.0.get(&key) {
            loan.cancelled.cancel();
        }
    }

    /// Forgets offers whose time is up.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, loan| loan.until > now);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
