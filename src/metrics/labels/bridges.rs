//! Labels of the bridges' addresses. No series names a bridge.

use super::word::{Label, labels, words};

labels! {
    /// The operator's word on whether an address takes new clients.
    pub enum BridgeState {
        /// It takes new clients.
        Up = "up",
        /// It serves the clients that it has.
        Drain = "drain",
        /// It serves nobody.
        Down = "down",
    }

    /// An address' health, from probes.
    pub enum BridgeCondition {
        /// Not probed, or not often enough.
        Unknown = "unknown",
        /// It can be reached.
        Well = "well",
        /// It cannot be reached.
        Ailing = "ailing",
    }

    /// The result of a probe.
    pub enum ProbeResult {
        /// The address can be reached.
        Ok = "ok",
        /// No name server knows an address of the host.
        NoAddress = "no_address",
        /// There was no TCP connection.
        Unreachable = "unreachable",
        /// The TLS handshake failed, or the certificate is not valid.
        Tls = "tls",
        /// The server did not speak WebSocket, or redirected.
        NoUpgrade = "no_upgrade",
        /// The probe took too long.
        TooSlow = "too_slow",
    }
}
