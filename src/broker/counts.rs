//! How many requests had which end, since the start. Each poll and each client
//! that the engine took has one end.

use crate::matching::{AnswerOutcome, ClientReply, Event, NoMatch, Output, PollReply};

/// The counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Polls that were handed an offer, for whatever attempt of its client.
    pub polls_matched: u64,
    /// Polls to which no client came in their time.
    pub polls_idle: u64,
    /// Polls turned away because too many are parked.
    pub polls_overloaded: u64,
    /// Polls let go because the broker is about to stop.
    pub polls_drained: u64,
    /// Polls whose proxy left.
    pub polls_abandoned: u64,
    /// Polls refused for their relay pattern.
    pub polls_refused_pattern: u64,
    /// Polls refused because their `Sid` is in use.
    pub polls_refused_sid: u64,
    /// Clients that got an answer.
    pub clients_answered: u64,
    /// Clients that were offered to no proxy.
    pub clients_denied: u64,
    /// Clients without an answer in their time.
    pub clients_timed_out: u64,
    /// Clients that left.
    pub clients_abandoned: u64,
    /// Clients refused because their bridge is unknown.
    pub clients_refused_bridge: u64,
    /// Clients that had to wait for a proxy; each has its end besides.
    pub clients_queued: u64,
    /// Hand-offs to a further proxy.
    pub rematches: u64,
    /// Hand-offs that did not reach their proxy. The poll counts as matched.
    pub hand_offs_failed: u64,
    /// Answers that a client got.
    pub answers_delivered: u64,
    /// Answers for clients that had timed out, left, or had an answer already.
    pub answers_late: u64,
    /// Answers after the first one from the same proxy.
    pub answers_repeated: u64,
    /// Answers to no offer that is known of.
    pub answers_unknown: u64,
}

impl Counts {
    /// Counts what the engine said.
    pub(super) fn record(&mut self, output: &Output) {
        *self.count_of(output) += 1;
        if let Output::Poll(_, PollReply::Offer(hand_off)) = output
            && hand_off.attempt > 1
        {
            self.rematches += 1;
        }
    }

    fn count_of(&mut self, output: &Output) -> &mut u64 {
        match output {
            Output::Poll(_, PollReply::Offer(_)) => &mut self.polls_matched,
            Output::Poll(_, PollReply::NoMatch(NoMatch::Idle)) => &mut self.polls_idle,
            Output::Poll(_, PollReply::NoMatch(NoMatch::Overloaded)) => &mut self.polls_overloaded,
            Output::Poll(_, PollReply::NoMatch(NoMatch::Draining)) => &mut self.polls_drained,
            Output::Client(_, ClientReply::Answer(_)) => &mut self.clients_answered,
            Output::Client(_, ClientReply::Denied(_)) => &mut self.clients_denied,
            Output::Client(_, ClientReply::TimedOut) => &mut self.clients_timed_out,
            Output::Event(event) => self.count_of_event(*event),
        }
    }

    fn count_of_event(&mut self, event: Event) -> &mut u64 {
        match event {
            Event::ClientQueued => &mut self.clients_queued,
            Event::ClientAbandoned => &mut self.clients_abandoned,
            Event::PollAbandoned => &mut self.polls_abandoned,
            Event::HandOffFailed => &mut self.hand_offs_failed,
            Event::Answer { outcome, .. } => match outcome {
                AnswerOutcome::Delivered => &mut self.answers_delivered,
                AnswerOutcome::TooLate | AnswerOutcome::ClientLeft => &mut self.answers_late,
                AnswerOutcome::Repeated => &mut self.answers_repeated,
                AnswerOutcome::Unknown => &mut self.answers_unknown,
            },
        }
    }
}
