//! A proxy's poll as it arrives, with what the engine does not know.

use std::time::{Duration, Instant};

use crate::geoip::CountryCode;
use crate::matching::Source;
use crate::policy::{Generation, PolicyMarks};

use super::generations::ReturnKey;

/// The circumstances of a poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrivedPoll {
    pub(super) arrived: Instant,
    pub(super) source: Option<Source>,
    pub(super) traits: ProxyTraits,
    pub(super) country: CountryCode,
    /// The poll interval of the proxy's type, if it has one.
    pub(super) of_type: Option<Duration>,
}

/// The traits that a poll shows of its proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProxyTraits {
    /// The marks for the rules of the policy.
    pub(super) marks: PolicyMarks,
    pub(super) generation: Generation,
    /// The key of its returns; `None` for types whose returns show nothing.
    pub(super) returns: Option<ReturnKey>,
}
