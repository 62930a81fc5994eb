//! The statuses of refused polls.

use serde::{Deserialize, Serialize};

use crate::wire::proxy::PollStatus;

/// The form in which each refusal is told. Released proxies that obey `NextPoll` do so only
/// in `client match` and `no match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefusalsAs {
    /// Of a poll from whose address too many came.
    pub polled_too_soon: RefusalForm,
    /// Of a poll whose source or network has its share. Its status would be `polled too
    /// soon`, too.
    pub over_share: RefusalForm,
    /// Of a poll whose relay pattern does not cover the allowed one.
    pub relay_pattern: RefusalForm,
}

/// The form in which a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalForm {
    /// The reason as a status.
    Status,
    /// `no match`, as if no client had come.
    NoMatch,
}

impl Default for RefusalsAs {
    fn default() -> Self {
        Self {
            polled_too_soon: RefusalForm::NoMatch,
            over_share: RefusalForm::NoMatch,
            relay_pattern: RefusalForm::Status,
        }
    }
}

impl RefusalsAs {
    /// The status of a poll from whose address too many came.
    pub(in crate::broker) fn polled_too_soon(self) -> PollStatus {
        self.polled_too_soon.status(PollStatus::PolledTooSoon)
    }

    /// The status of a poll whose source or network has its share.
    pub(in crate::broker) fn over_share(self) -> PollStatus {
        self.over_share.status(PollStatus::PolledTooSoon)
    }

    /// The status of a poll whose relay pattern does not cover the allowed one.
    pub(in crate::broker) fn relay_pattern(self) -> PollStatus {
        self.relay_pattern.status(PollStatus::IncorrectRelayPattern)
    }
}

impl RefusalForm {
    fn status(self, reason: PollStatus) -> PollStatus {
        match self {
            Self::Status => reason,
            Self::NoMatch => PollStatus::NoMatch,
        }
    }
}
