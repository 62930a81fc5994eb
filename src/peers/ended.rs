//! The outcomes of calls.

use crate::matching::PeerReply;
use crate::metrics::labels::{LoanOutcome, LoanRefusal};

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer returned an answer.
    Answered,
    /// The peer had no proxy.
    NoProxies,
    /// No proxy answered in time.
    TimedOut,
    /// The peer refused the offer.
    Refused(LoanRefusal),
    /// There was no connection, no reply in time, or an invalid reply.
    Failed,
    /// The client left, or got its answer elsewhere.
    Cancelled,
}

impl Ended {
    /// The reply of a call that ended without an answer: a proxy may have had the offer or not.
    pub fn without_answer(self) -> PeerReply {
        match self {
            Self::NoProxies | Self::Refused(_) => PeerReply::NoProxy,
            _ => PeerReply::Unanswered,
        }
    }

    /// The same, as it is counted.
    pub fn outcome(self) -> LoanOutcome {
        match self {
            Self::Answered => LoanOutcome::Answered,
            Self::NoProxies => LoanOutcome::NoProxies,
            Self::TimedOut => LoanOutcome::TimedOut,
            Self::Refused(_) => LoanOutcome::Refused,
            Self::Failed => LoanOutcome::Failed,
            Self::Cancelled => LoanOutcome::Cancelled,
        }
    }
}
