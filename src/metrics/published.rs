//! Outcomes as the reference broker publishes them.

use super::labels::{AnswerFate, ClientOutcome, Label, PollOutcome, words};

words! {
    PublishedPoll { Idle = "idle", Matched = "matched" }
    PublishedClient { Matched = "matched", Denied = "denied", Timeout = "timeout" }
    PublishedAnswer { Success = "success", Timeout = "timeout" }
}

/// The outcome of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PublishedPoll {
    Idle,
    Matched,
}

impl PublishedPoll {
    pub(super) fn of(outcome: PollOutcome) -> Option<Self> {
        match outcome {
            PollOutcome::Matched => Some(Self::Matched),
            PollOutcome::Idle => Some(Self::Idle),
            PollOutcome::Refused | PollOutcome::Abandoned => None,
        }
    }
}

/// The outcome of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PublishedClient {
    Matched,
    Denied,
    Timeout,
}

impl PublishedClient {
    pub(super) fn of(outcome: ClientOutcome) -> Option<Self> {
        match outcome {
            ClientOutcome::Matched => Some(Self::Matched),
            ClientOutcome::Denied => Some(Self::Denied),
            ClientOutcome::TimedOut => Some(Self::Timeout),
            ClientOutcome::Refused | ClientOutcome::Abandoned => None,
        }
    }
}

/// The outcome of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PublishedAnswer {
    Success,
    Timeout,
}

impl PublishedAnswer {
    pub(super) fn of(outcome: AnswerFate) -> Option<Self> {
        match outcome {
            AnswerFate::Delivered => Some(Self::Success),
            AnswerFate::Refused => None,
            _ => Some(Self::Timeout),
        }
    }
}
