//! By what things between brokers are counted.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::word::{Label, labels, words};

/// The name of another broker in the configuration.
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
    /// The outcome of an offer that went from broker to broker.
    pub enum LoanOutcome {
        /// A proxy's answer came back.
        Answered = "answered",
        /// The lender had no proxy for it.
        NoProxies = "no_proxies",
        /// The lender's proxies did not answer in time.
        TimedOut = "timed_out",
        /// The lender did not take it, for one of the [`LoanRefusal`]s.
        Refused = "refused",
        /// The call itself failed: no connection, no reply in time, rubbish.
        Failed = "failed",
        /// The client left, or had its answer from elsewhere.
        Cancelled = "cancelled",
    }

    /// The reason of a lender that did not take an offer.
    pub enum LoanRefusal {
        /// It does not say, or for a reason that is not known here.
        Other = "other",
        /// It does not lend to this borrower.
        NotLending = "not_lending",
        /// The borrower sends more offers a second than it may.
        OverRate = "over_rate",
        /// As many of the borrower's offers wait for an answer as may.
        TooManyInFlight = "too_many_in_flight",
        /// It does not know the bridge.
        UnknownBridge = "unknown_bridge",
        /// It is about to stop.
        Draining = "draining",
        /// The request is not what it should be.
        Malformed = "malformed",
        /// As many clients wait for an answer there as may.
        Overloaded = "overloaded",
        /// The time was up when the offer came.
        NoTimeLeft = "no_time_left",
    }

    /// The readiness to ask a peer, after how it has answered of late.
    #[derive(Default)]
    pub enum CircuitState {
        /// It is.
        #[default]
        Closed = "closed",
        /// Once, for a trial.
        HalfOpen = "half_open",
        /// It is not.
        Open = "open",
    }
}
