//! Problems with peers, for the operator.

/// A problem with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProblem {
    /// The problem in one short line without addresses.
    pub words: String,
    /// True if the connection ended without a stated reason.
    pub is_vague: bool,
}

/// The last problem.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) words: String,
    pub(super) weight: Weight,
}

/// The significance of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The end of a connection.
    Vague,
    /// The outcome of a call.
    OfCall,
    /// The reason why there is no connection.
    Reason,
}
