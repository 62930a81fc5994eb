//! Labels of counters about peers.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::word::{Label, labels, words};

/// A peer's name in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(Arc<str>);

impl PeerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PeerName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl EncodeLabelValue for PeerName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(&self.0)
    }
}

labels! {
    /// The outcome of an offer sent between brokers.
    pub enum LoanOutcome {
        /// The lender's proxy answered.
        Answered = "answered",
        /// The lender had no proxy for the offer.
        NoProxies = "no_proxies",
        /// The lender's proxies did not answer in time.
        TimedOut = "timed_out",
        /// The lender refused the offer for one of the [`LoanRefusal`]s.
        Refused = "refused",
        /// The call failed: no connection, no reply in time, or an invalid reply.
        Failed = "failed",
        /// The client left or got its answer elsewhere.
        Cancelled = "cancelled",
    }

    /// A lender's reason for refusing an offer.
    pub enum LoanRefusal {
        /// No reason, or one that this release does not know.
        Other = "other",
        /// The lender does not lend to this borrower.
        NotLending = "not_lending",
        /// The borrower sends too many offers a second.
        OverRate = "over_rate",
        /// Too many of the borrower's offers are waiting for an answer.
        TooManyInFlight = "too_many_in_flight",
        /// The lender does not know the bridge, or the bridge takes no new clients.
        UnknownBridge = "unknown_bridge",
        /// The lender is shutting down.
        Draining = "draining",
        /// The request is malformed.
        Malformed = "malformed",
        /// Too many clients are waiting for an answer at the lender.
        Overloaded = "overloaded",
        /// The deadline had passed when the offer arrived.
        NoTimeLeft = "no_time_left",
    }

    /// The state of the circuit breaker for a peer.
    #[derive(Default)]
    pub enum CircuitState {
        /// The peer is asked.
        #[default]
        Closed = "closed",
        /// The peer is asked once, as a trial.
        HalfOpen = "half_open",
        /// The peer is not asked.
        Open = "open",
    }
}
