//! By what things between brokers are counted.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::word::{Label, words};

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

/// The outcome of an offer that went from broker to broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LoanOutcome {
    /// A proxy's answer came back.
    Answered,
    /// The lender had no proxy for it.
    NoProxies,
    /// The lender's proxies did not answer in time.
    TimedOut,
    /// The lender did not take it, for one of the [`LoanRefusal`]s.
    Refused,
    /// The call itself failed: no connection, no reply in time, rubbish.
    Failed,
    /// The client left, or had its answer from elsewhere.
    Cancelled,
}

/// The reason of a lender that did not take an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LoanRefusal {
    /// It does not say, or for a reason that is not known here.
    Other,
    /// It does not lend to this borrower.
    NotLending,
    /// The borrower sends more offers a second than it may.
    OverRate,
    /// As many of the borrower's offers wait for an answer as may.
    TooManyInFlight,
    /// It does not know the bridge.
    UnknownBridge,
    /// It is about to stop.
    Draining,
    /// The request is not what it should be.
    Malformed,
    /// As many clients wait for an answer there as may.
    Overloaded,
    /// The time was up when the offer came.
    NoTimeLeft,
}

impl LoanOutcome {
    /// The word in Prometheus labels and in traces.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

impl LoanRefusal {
    /// The word in Prometheus labels and in logs.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

/// The readiness to ask a peer, after how it has answered of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CircuitState {
    /// It is.
    #[default]
    Closed,
    /// Once, for a trial.
    HalfOpen,
    /// It is not.
    Open,
}

words! {
    LoanOutcome {
        Answered = "answered", NoProxies = "no_proxies", TimedOut = "timed_out",
        Refused = "refused", Failed = "failed", Cancelled = "cancelled",
    }
    LoanRefusal {
        Other = "other", NotLending = "not_lending", OverRate = "over_rate",
        TooManyInFlight = "too_many_in_flight", UnknownBridge = "unknown_bridge",
        Draining = "draining", Malformed = "malformed", Overloaded = "overloaded",
        NoTimeLeft = "no_time_left",
    }
    CircuitState { Closed = "closed", HalfOpen = "half_open", Open = "open" }
}
