//! Outcomes in the terms of the reference broker; `None` for outcomes that it does not
//! publish.

use super::labels::{AnswerFate, ClientOutcome, PollOutcome};

pub(super) fn proxy_poll(outcome: PollOutcome) -> Option<&'static str> {
    match outcome {
        PollOutcome::Matched => Some("matched"),
        PollOutcome::Idle => Some("idle"),
        PollOutcome::Refused | PollOutcome::Abandoned => None,
    }
}

pub(super) fn client_poll(outcome: ClientOutcome) -> Option<&'static str> {
    match outcome {
        ClientOutcome::Matched => Some("matched"),
        ClientOutcome::Denied => Some("denied"),
        ClientOutcome::TimedOut => Some("timeout"),
        ClientOutcome::Refused | ClientOutcome::Abandoned => None,
    }
}

pub(super) fn proxy_answer(fate: AnswerFate) -> Option<&'static str> {
    match fate {
        AnswerFate::Delivered => Some("success"),
        AnswerFate::Refused => None,
        _ => Some("timeout"),
    }
}
