//! Labels of the counters of NAT probes.

use super::word::{Label, labels, words};

labels! {
    /// The kind of client that the probe server plays.
    pub enum NatProbeMode {
        /// One that only a proxy reaches that takes packets of strangers.
        Strict = "strict",
        /// One that a proxy reaches whose packets come from where its offer says.
        Moderate = "moderate",
    }

    /// The end of a NAT probe.
    pub enum NatProbeOutcome {
        /// The proxy's data channel opened.
        Connected = "connected",
        /// It did not open in time.
        NotConnected = "not_connected",
        /// Nothing was tried: with these addresses, success would mean nothing.
        Assumed = "assumed",
        /// Others needed the memory before the end.
        CutShort = "cut_short",
        /// The request was malformed, or did not arrive in time.
        BadRequest = "bad_request",
        /// Too many probes were under way for one address or network.
        Limit = "limit",
        /// Too many probes were under way, or all ports were in use.
        Overloaded = "overloaded",
    }
}
