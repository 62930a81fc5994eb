//! What peers hear that do not get what they ask for.

/// Why a client gets no answer. The texts are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its bridge is not in the list.
    #[error("bridge with requested fingerprint is unknown to the broker")]
    UnknownBridge,
    /// It was offered to no proxy.
    #[error("no snowflake proxies currently available")]
    NoProxies,
    /// No proxy answered in time.
    #[error("timed out waiting for answer!")]
    TimedOut,
    /// More clients than may asked from where it is.
    #[error("too many requests, slow down")]
    OverLimit,
}

/// More answers than may came from where a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many answers")]
pub struct OverLimit;
